"""The expected loss against the error's magnitude: simulated, and as the expansion predicts it, within its validity."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from sdewm.drawing import CORRECTED, MEASURED, PRINTED, save, styled
from sdewm.figures.record import checks, curves_of
from sdewm.verdicts.record import Curve

SYSTEMS = {
    "linear": "linear system",
    "latent": "reference latent model",
    "trained, state error J_O": "trained model, J_O",
}


def draw(results: Path, out: Path) -> list[Path]:
    every = curves_of(checks(results), "corollary_3_8")
    panels = {system: every[system] for system in SYSTEMS if system in every}
    with styled(7.2, 4.4) as figure:
        grid = figure.subplots(2, len(panels), squeeze=False, sharex="col")
        for column, (system, lines) in zip(grid.T, panels.items(), strict=True):
            _effect(column[0], lines)
            _left(column[1], lines)
            column[0].set_title(SYSTEMS[system])
            column[1].set_xlabel("ε")
        grid[0][0].set_ylabel("E L(x^ε) − E L(x⁰)")
        grid[1][0].set_ylabel("simulated less predicted")
        handles, labels = grid[0][0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=4)
        figure.suptitle(
            "The effect of an error of size ε on the expected loss, and the error of the expansion", fontsize=9
        )
        return save(figure, out, "loss_over_error")


def _effect(axes: Axes, lines: dict[str, Curve]) -> None:
    simulated = lines["simulated"]
    _valid(axes, simulated)
    for form, look in (("corrected", CORRECTED), ("printed", PRINTED)):
        curve = lines[form]
        axes.plot(curve.x, curve.y, color=look.color, ls=look.linestyle, label=f"second order, {form}")
        _band(axes, curve, look.color)
    axes.plot(simulated.x, simulated.y, color=MEASURED.color, ls="", marker="o", ms=3, label="simulated")


def _left(axes: Axes, lines: dict[str, Curve]) -> None:
    _valid(axes, lines["simulated"])
    for form, look in (("corrected", CORRECTED), ("printed", PRINTED)):
        curve = lines[f"left by the {form}"]
        axes.plot(curve.x, curve.y, **look.line(), ms=3)
        _band(axes, curve, look.color)


def _band(axes: Axes, curve: Curve, color: str) -> None:
    assert curve.stderr is not None
    y, half = np.array(curve.y), 2 * np.array(curve.stderr)
    axes.fill_between(curve.x, y - half, y + half, color=color, alpha=0.25, lw=0)


def _valid(axes: Axes, curve: Curve) -> None:
    valid = curve.config["valid"]
    axes.axvspan(-valid, valid, color="#eeeeee", zorder=0, label="ε³ term at most a tenth of the others")
    axes.axhline(0, color="#888888", lw=0.6, zorder=0)
