"""A measured order drawn: errors against the step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import NullFormatter

from sdewm.drawing import CORRECTED, GUIDE, drawn_on

if TYPE_CHECKING:
    from sdewm.solvers.orders import Convergence


def draw_order(found: Convergence, axes: Axes | None) -> Axes:
    """See :meth:`Convergence.plot`."""
    seen = found.errors > 0  # others have no logarithm
    dt, errors, bars = found.dt[seen], found.errors[seen], 2 * found.stderrs[seen]
    with drawn_on(axes) as axes:
        label = f"{found.method}, no order: {found.regime}"
        if found.regime == "asymptotic":
            low, high = found.interval()
            label = f"{found.method}, order {found.order.mean:.2f} [{low:.2f}, {high:.2f}]"
        # A bar that reaches 0 would leave a logarithmic axis.
        below = np.minimum(bars, 0.999 * errors)
        axes.errorbar(dt, errors, [below, bars], **CORRECTED.line(), elinewidth=0.8, label=label)
        if len(dt):
            guide = errors[-1] * (dt / dt[-1]) ** found.declared
            axes.plot(dt, guide, **GUIDE, label=f"order {found.declared:g}, as declared")
        axes.set_xscale("log", base=2)
        axes.set(yscale="log", xlabel="Δt, length of a step", ylabel=f"{found.kind} error (bars: two standard errors)")
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.legend()
    return axes
