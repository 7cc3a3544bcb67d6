"""A figure as SVG to stand in a page."""

from __future__ import annotations

import io

from matplotlib import rc_context
from matplotlib.figure import Figure


def as_svg(figure: Figure) -> str:
    """The element ``<svg>``, without a date; letters are in the reader's own font: smaller, and read aloud."""
    out = io.StringIO()
    with rc_context({"svg.fonttype": "none"}):
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    drawn = out.getvalue()
    return drawn[drawn.index("<svg") :]
