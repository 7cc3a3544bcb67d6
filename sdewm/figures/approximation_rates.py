"""Error of the best encoders found against their size, beside the slopes that Theorem 3.6 prints.

The printed bound has a constant for each case and leaves the networks' size free: only slopes can be compared, drawn
from the first point that the best network has. With 1 for the constant of its O, d_θ is smallest as θ → 1.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import NullFormatter

from sdewm.drawing import CERTIFIED, CORRECTED, GUIDE, OTHER, PRINTED, Look, save, styled
from sdewm.figures.record import load

LOOKS = {"interpolated": CERTIFIED, "features": OTHER[1], "trained": CORRECTED}
NAMES = {"interpolated": "interpolated", "features": "random features, least squares", "trained": "the same, trained"}
PANELS = ((1, 1), (1, 3), (2, 1), (2, 3))  # d and k
AMBIENT = (16, 64)


def draw(results: Path, out: Path) -> list[Path]:
    command = f"python -m benchmarks.approximation --json {results / 'approximation.json'}"
    record = load(results, "approximation.json", command)
    if "summary" not in record:
        raise ValueError(f"the record is not finished; go on with: {command}")
    with styled(7.2, 5.2) as figure:
        grid = figure.subplots(2, 2, sharex=True, sharey="row")
        for axes, (d, k) in zip(grid.ravel(), PANELS, strict=True):
            _panel(axes, record, d, k)
            smooth = "analytic density" if (d, k) == (2, 3) else f"density of class $C^{{{k},½}}$"
            axes.set_title(f"{'arc' if d == 1 else 'sphere cap'}, d = {d}, {smooth}")
        for axes in grid[1]:
            axes.set_xlabel("units N of the network")
        for axes in grid[:, 0]:
            axes.set_ylabel("∫‖g − g*‖ dQ, mean of seeds")
        handles, labels = grid[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=3)
        figure.suptitle(
            "The measured rate depends on d, and hardly on k or on the ambient dimension D\n"
            "(geometric means over seeds; bars: two standard errors)",
            fontsize=9,
        )
        return save(figure, out, "approximation_rates")


def _panel(axes: Axes, record: dict[str, Any], d: int, k: int) -> None:
    rows = [r for r in record["rows"] if (r["d"], r["k"]) == (d, k)]
    for network, look in LOOKS.items():
        for ambient, style in zip(AMBIENT, ("-", ":"), strict=True):
            found = [r for r in rows if (r["network"], r["D"]) == (network, ambient)]
            units = sorted({r["units"] for r in found})
            if not units:
                continue
            logs = [np.log([r["error"] for r in found if r["units"] == n]) for n in units]
            means = np.exp([float(x.mean()) for x in logs])
            # Two standard errors of the mean logarithm, to either side.
            spread = np.exp([2 * float(x.std(ddof=1)) / math.sqrt(len(x)) for x in logs])
            bars = np.stack([means - means / spread, means * spread - means])
            axes.errorbar(
                units,
                means,
                bars,
                **look._replace(linestyle=style).line(),
                elinewidth=0.8,
                label=f"{NAMES[network]}, D = {ambient}",
            )
    trained = [r for r in rows if r["network"] == "trained" and r["D"] == AMBIENT[0]]
    first, last = min(r["units"] for r in trained), max(r["units"] for r in trained)
    start = float(np.exp(np.mean([math.log(r["error"]) for r in trained if r["units"] == first])))
    slopes = next(r for r in record["summary"] if (r["d"], r["k"], r["D"]) == (d, k, AMBIENT[0]))
    drawn: tuple[tuple[str, Look], ...] = (("θ = ½", PRINTED), ("θ → 1", OTHER[2]))
    for theta, look in drawn:
        end = start * (last / first) ** slopes[f"printed slope, {theta}"]
        axes.plot(
            [first, last],
            [start, end],
            color=look.color,
            linestyle=look.linestyle,
            label=f"printed slope, {theta}, D = {AMBIENT[0]}",
        )
    # What shallow ReLU networks reach on smooth maps.
    power = -(d + 3) / (2 * d)
    axes.plot([first, last], [start, start * (last / first) ** power], **GUIDE)
    axes.annotate(f"{power:g}", (last, start * (last / first) ** power), (3, 0), textcoords="offset points",
                  va="center", fontsize=7, color=GUIDE["color"])  # fmt: skip
    axes.set(xscale="log", yscale="log", xticks=sorted({r["units"] for r in trained}))
    axes.xaxis.set_major_formatter("{x:.0f}")
    axes.xaxis.set_minor_formatter(NullFormatter())
