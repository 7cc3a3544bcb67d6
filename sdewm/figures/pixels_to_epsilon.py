"""Losses under perturbed images: predicted over measured against the size of the error, for the models that ship.

A point is one model, kind and size, for which both are known to a fifth or better; others are left out, and counted.
Its bar is two standard errors of both. Filled where nothing spoke against the prediction, hollow where a flag did.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes

from sdewm.drawing import CORRECTED, GUIDE, MEASURED, PRINTED, save, styled
from sdewm.figures.record import load

KIND_LOOKS = {"noise": MEASURED, "rotation": CORRECTED, "mask": PRINTED._replace(marker="D")}
TITLES = {
    "J_O": "$J_O$, reconstruction",
    "J_R": "$J_R$, reward",
    "J_D": "$J_D$, KL(q ‖ p)",
    "J_L": "$J_L$, guess ahead",
}
ROWS = {"predicted": "second order\n/ measured", "simulated": "fitted SDE, ε = 1\n/ measured"}
SHOWN = (-0.5, 2.5)  # what lies beyond is drawn at the edge, as an arrow
CLOSE = 0.2


def draw(results: Path, out: Path) -> list[Path]:
    path = results / "pixels_to_epsilon.json"
    record = load(results, "pixels_to_epsilon.json", f"python -m benchmarks.pixels_to_epsilon --json {path}")
    rows, counts = record["rows"], record["summary"]["counts"]
    with styled(7.2, 4.4) as figure:
        grid = figure.subplots(2, 4, sharex=True, sharey=True)
        for axes_of_row, (what, label) in zip(grid, ROWS.items(), strict=True):
            axes_of_row[0].set_ylabel(label)
            for axes, (loss, title) in zip(axes_of_row, TITLES.items(), strict=True):
                _points(axes, [r for r in rows if r["loss"] == loss], what)
                if what == "predicted":
                    axes.set_title(title)
                else:
                    axes.set_xlabel("size, latent spreads")
        for kind, look in KIND_LOOKS.items():
            grid[0][0].plot([], [], color=look.color, marker=look.marker, ls="none", label=kind)
        grid[0][0].legend(loc="lower left", handlelength=1.2)
        free, marked = counts["unflagged"], counts["flagged"]
        figure.suptitle(
            f"Increase of losses under perturbed images, {counts['all']['sharp']} of {counts['all']['rows']} known to "
            "a fifth; band: within a fifth of what is measured\n"
            f"second order: {free['sharp and predicted within a fifth']} of {free['sharp']} unflagged (filled) lie in "
            f"it, {marked['sharp and predicted within a fifth']} of {marked['sharp']} flagged (hollow)",
            fontsize=8.5,
        )
        return save(figure, out, "pixels_to_epsilon")


def _points(axes: Axes, rows: list[dict[str, Any]], what: str) -> None:
    axes.axhspan(1 - CLOSE, 1 + CLOSE, color="#dddddd", lw=0, zorder=0)
    axes.axhline(1.0, **GUIDE)
    for row in rows:
        (mean, stderr), (predicted, own), look = row["measured"], row[what], KIND_LOOKS[row["kind"]]
        if 2 * math.hypot(row["predicted"][1], stderr) >= CLOSE * abs(mean):
            continue
        ratio, bar = predicted / mean, 2 * math.hypot(own, stderr) / abs(mean)
        inside = SHOWN[0] <= ratio <= SHOWN[1]
        marker = look.marker if inside else "^" if ratio > SHOWN[1] else "v"
        y = min(max(ratio, SHOWN[0] + 0.08), SHOWN[1] - 0.08)
        axes.errorbar(
            row["spreads"][0], y, bar if inside else None, color=look.color, marker=marker, ls="none", markersize=3.5,
            markerfacecolor="white" if row["flags"] else look.color, markeredgewidth=0.8, elinewidth=0.6, capsize=0,
        )  # fmt: skip
    axes.set_xscale("log")
    axes.set_ylim(*SHOWN)
