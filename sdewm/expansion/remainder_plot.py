"""The figure of a Taylor test: the remainder of each order of the expansion against ε."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64
from matplotlib.axes import Axes

from sdewm.drawing import CORRECTED, GUIDE, MEASURED, OTHER, drawn_on
from sdewm.expansion.rates import Rate

LOOKS = (MEASURED, OTHER[0], CORRECTED)
LEFT = {"strong": "left of the state", "loss": "left of the loss", "weak": "left of the mean loss"}


def draw_remainders(
    ladder: Sequence[float],
    remainders: Sequence[Float64[np.ndarray, " points"]],
    rates: Sequence[Rate],
    axes: Axes | None,
    kind: str,
    title: str,
) -> Axes:
    """Draw the remainder of each order at each ε of the ladder, and its rate; see ``TaylorTest.plot``."""
    eps = np.array(ladder)
    with drawn_on(axes) as axes:
        for order, (look, left, rate) in enumerate(zip(LOOKS, remainders, rates, strict=False)):
            seen = left > 0  # others have no logarithm
            if not seen.any():
                continue
            found = f"rate {rate.value:.2f}" if rate.rungs else rate.outcome
            label = f"after order {order}: {found}, expected {rate.expected}"
            axes.plot(eps[seen], left[seen], **look.line(), label=label)
            hidden = seen & (np.arange(len(eps)) >= rate.rungs)
            axes.plot(eps[hidden], left[hidden], color=look.color, linestyle="none", marker=look.marker, mfc="white")
            axes.plot(eps, left[seen][0] * (eps / eps[seen][0]) ** rate.expected, **GUIDE)
        axes.set(xscale="log", yscale="log", xlabel="ε, size of the error", ylabel=LEFT[kind])
        axes.set_title(title)
        axes.legend(title="grey: the rate expected")
    return axes
