"""What is left of the loss after an expansion to order 0, 1 and 2, against ε: the printed ε² term gains nothing."""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes

from sdewm.drawing import CORRECTED, MEASURED, OTHER, PRINTED, save, slope_triangle, styled
from sdewm.figures.record import checks, curves_of
from sdewm.verdicts.record import Curve

SYSTEMS = {
    "circle": "equation on the circle",
    "latent": "reference latent model",
    "trained, own step, state error J_O": "trained model, J_O",
}
LOOKS = {"order 0": MEASURED, "order 1": OTHER[0], "order 2, printed": PRINTED, "order 2, corrected": CORRECTED}


def draw(results: Path, out: Path) -> list[Path]:
    report = checks(results)
    every = curves_of(report, "prop_b5")
    found = {system: every[system] for system in SYSTEMS if system in every}
    with styled(7.2, 3.3) as figure:
        row = figure.subplots(1, len(found), squeeze=False)[0]
        for axes, (system, lines) in zip(row, found.items(), strict=True):
            _panel(axes, lines, SYSTEMS[system])
        row[0].set_ylabel("root mean square of the remainder")
        handles, labels = row[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=4)
        figure.suptitle(
            "Remainder of the loss along paths: the printed ε² term leaves an error of order ε², the\n"
            "corrected one leaves ε³ (numbers: fitted rates)",
            fontsize=9,
        )
        return save(figure, out, "remainder")


def _panel(axes: Axes, lines: dict[str, Curve], title: str) -> None:
    for label, look in LOOKS.items():
        curve = lines[label]
        axes.loglog(curve.x, curve.y, **look.line(), label=label)
        end = (curve.x[0], curve.y[0])
        text = f"{curve.config['rate']:.2f}"
        axes.annotate(text, end, (5, 0), textcoords="offset points", va="center", color=look.color, fontsize=7)
    lowest = lines["order 2, corrected"]
    slope_triangle(axes, lowest.x[-2], lowest.y[-1] * 0.25, 3)
    axes.set_xlim(right=lowest.x[0] * 3)  # room for the rates
    axes.set(title=title, xlabel="ε")
