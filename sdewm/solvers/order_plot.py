"""A measured order drawn: errors against the step."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64
from matplotlib.axes import Axes
from matplotlib.ticker import NullFormatter

from sdewm.drawing import CORRECTED, GUIDE, drawn_on


def draw_order(
    dt: Float64[np.ndarray, " lengths"],
    errors: Float64[np.ndarray, " lengths"],
    stderrs: Float64[np.ndarray, " lengths"],
    axes: Axes | None,
    *,
    label: str,
    declared: float,
    kind: str,
) -> Axes:
    """Errors ``(k,)`` at steps ``(k,)``, beside an order that a method declares; see ``Convergence.plot``."""
    seen = errors > 0  # others have no logarithm
    dt, errors, bars = dt[seen], errors[seen], 2 * stderrs[seen]
    with drawn_on(axes) as axes:
        # A bar that reaches 0 would leave a logarithmic axis.
        below = np.minimum(bars, 0.999 * errors)
        axes.errorbar(dt, errors, [below, bars], **CORRECTED.line(), elinewidth=0.8, label=label)
        if len(dt):
            guide = errors[-1] * (dt / dt[-1]) ** declared
            axes.plot(dt, guide, **GUIDE, label=f"order {declared:g}, as declared")
        axes.set_xscale("log", base=2)
        axes.set(yscale="log", xlabel="Δt, length of a step", ylabel=f"{kind} error (bars: two standard errors)")
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.legend()
    return axes
