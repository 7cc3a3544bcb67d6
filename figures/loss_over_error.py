"""The expected loss against the error's magnitude: simulated, and as the expansion predicts it, within its validity."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from figures.record import checks, curves
from figures.style import CORRECTED, MEASURED, PRINTED, save, styled
from sdewm.report import Curve

SYSTEMS = {
    "linear": "linear system, exact moments known",
    "latent": "reference latent model",
    "trained, state error J_O": "trained model, reconstruction loss",
}


def draw(results: Path, out: Path) -> list[Path]:
    report = checks(results)
    panels = {
        s: c for s in SYSTEMS if (c := {k[1]: v for k, v in curves(report, "corollary_3_8").items() if k[0] == s})
    }
    with styled(7.2, 2.8) as figure:
        row = figure.subplots(1, len(panels), squeeze=False)[0]
        for axes, (system, lines) in zip(row, panels.items(), strict=True):
            _panel(axes, lines, SYSTEMS[system])
        row[0].set_ylabel("expected loss")
        handles, labels = row[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=4)
        return save(figure, out, "loss_over_error")


def _panel(axes: Axes, lines: dict[str, Curve], title: str) -> None:
    simulated, corrected = lines["simulated"], lines["corrected"]
    valid = simulated.config["valid"]
    axes.axvspan(-valid, valid, color="#eeeeee", zorder=0, label="ε³ term at most a tenth of the others")
    assert simulated.stderr is not None and corrected.stderr is not None
    y, half = np.array(corrected.y), 2 * np.array(corrected.stderr)
    axes.plot(corrected.x, corrected.y, color=CORRECTED.color, ls=CORRECTED.linestyle, label="second order, corrected")
    axes.fill_between(corrected.x, y - half, y + half, color=CORRECTED.color, alpha=0.25, lw=0)
    if "printed" in lines:
        printed = lines["printed"]
        axes.plot(printed.x, printed.y, color=PRINTED.color, ls=PRINTED.linestyle, label="second order, printed")
    axes.errorbar(simulated.x, simulated.y, [2 * e for e in simulated.stderr], color=MEASURED.color, ls="", marker="o",
                  ms=3, label="simulated (two standard errors)")  # fmt: skip
    axes.axvline(0, color="#888888", lw=0.6, zorder=0)
    axes.set(title=title, xlabel="ε")
