"""The figure of an expansion: the expected loss against ε, to first, second and third order."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from sdewm.drawing import CORRECTED, GUIDE, MEASURED, OTHER, drawn_on
from sdewm.estimate.samples import Sample

POINTS = 41
BEYOND = 1.25  # ε is drawn up to this many radii
WITHOUT_RADIUS = 1.0  # ε is drawn up to this where the radius is not known, or infinite
LOOKS = (MEASURED._replace(linestyle="--"), CORRECTED, OTHER[0])
LABELS = ("up to ε", "up to ε²", "up to ε³")


def draw_loss(sample: Sample, names: Sequence[str], radius: float, axes: Axes | None, largest: float | None) -> Axes:
    """Draw the partial sums of the series, whose coefficients have these ``names``; see ``Expansion.plot``."""
    if largest is None:
        largest = BEYOND * radius if 0 < radius < math.inf else WITHOUT_RADIUS
    eps = np.linspace(-largest, largest, POINTS)
    # The partial sums, by order, ε and replicate.
    sums = np.cumsum([np.outer(eps**k, sample[name]) for k, name in enumerate(names)], axis=0)
    with drawn_on(axes) as axes:
        for order, label, look in zip(range(1, len(names)), LABELS, LOOKS, strict=False):
            estimates = [sample.estimate(row) for row in sums[order]]
            mean = np.array([e.mean for e in estimates])
            axes.plot(eps, mean, color=look.color, linestyle=look.linestyle, label=label)
            if order == 2:
                half = 2 * np.array([e.stderr for e in estimates])
                axes.fill_between(eps, mean - half, mean + half, color=look.color, alpha=0.25, lw=0)
        if 0 < radius < largest:
            hatched: dict[str, Any] = {"fc": "#eeeeee", "ec": "#bbbbbb", "hatch": "///", "lw": 0, "zorder": 0}
            axes.axvspan(radius, largest, **hatched, label=f"beyond the radius, {radius:.2g}")
            axes.axvspan(-largest, -radius, **hatched)
        axes.axvline(0.0, **GUIDE)
        axes.set(xlabel="ε, size of the error", ylabel="E L(x^ε), expected loss", xlim=(-largest, largest))
        axes.legend(frameon=True, framealpha=1.0, edgecolor="none")  # so that it can be read over the hatching
    return axes
