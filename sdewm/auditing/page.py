"""An audit as one web page that needs nothing else."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

from markupsafe import Markup
from matplotlib.axes import Axes

from sdewm.auditing.findings import CONFIDENCE, Findings, steps_shown
from sdewm.auditing.over_episodes import bounded
from sdewm.auditing.plots import draw_errors, draw_expansion, draw_growth
from sdewm.drawing import styled
from sdewm.estimate.estimates import Estimate
from sdewm.files import write_text
from sdewm.page.svg import as_svg
from sdewm.page.template import rendered


def write_audit_page(found: Findings, file: Path) -> None:
    """Write an audit's page; the file is replaced in one step."""
    text = files("sdewm.auditing").joinpath("audit.html").read_text(encoding="utf-8")
    filters: dict[str, Callable[[Any], str]] = {
        "value": value, "interval": interval_text, "positive": positive_interval, "share": share_interval,
        "reach": radius_text,
    }  # fmt: skip
    facts = (
        ("predictions", f"{found.windows} in {found.episodes} episode{'s' * (found.episodes != 1)}"),
        ("seen before", f"{found.context} observations"),
        ("seed", str(found.seed)),
        ("paths of an expansion", str(found.paths)),
        ("dtype", found.dtype),
        ("time", f"{found.seconds:.0f} s"),
    )
    expansions = [(e, _picture(partial(draw_expansion, e))) for e in found.expansions]
    page = rendered(
        text,
        filters,
        found=found,
        facts=facts,
        confidence=f"{100 * CONFIDENCE:g} %",
        shown=steps_shown(found.horizon),
        errors=_picture(partial(draw_errors, found)),
        growth=_picture(partial(draw_growth, found)),
        expansions=expansions,
    )
    write_text(file, page)


def value(e: Estimate) -> str:
    """Mean and standard error, and a dagger where it is flagged."""
    bar = f"± {e.stderr:.2g}" if math.isfinite(e.stderr) else "± unknown"
    return f"{e.mean:.3g} {bar}" + " †" * bool(e.flags)


def interval_text(e: Estimate) -> str:
    """The interval at the audit's confidence."""
    return _interval(e)


def positive_interval(e: Estimate) -> str:
    """The same of a number that cannot be below 0."""
    return _interval(e, 0.0)


def share_interval(e: Estimate) -> str:
    """The same of a number from 0 to 1."""
    return _interval(e, 0.0, 1.0)


def radius_text(radius: float) -> str:
    """Up to which ε an expansion holds, in a few letters."""
    if math.isnan(radius):
        return "not known"
    return "every ε" if math.isinf(radius) else f"ε ≤ {radius:.2g}"


def _interval(e: Estimate, least: float = -math.inf, most: float = math.inf) -> str:
    low, high = bounded(e, CONFIDENCE, least, most)
    return f"{low:.3g} to {high:.3g}" if math.isfinite(low) and math.isfinite(high) else "unknown"


def _picture(draw: Callable[[Axes], Axes]) -> Markup:
    with styled(4.6, 3.0) as figure:
        draw(figure.add_subplot())
        return Markup(as_svg(figure))
