"""E sup ‖Φ‖² against the horizon, beside (18) with the smallest constant that will do, and beside certified bounds.

(18) does not name its constant, so that it holds on any one model with a constant chosen for it: the smallest makes it
equal to the measurement at the last horizon. Certified bounds have no free constant. Values outside a panel are written
as numbers.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

from matplotlib.axes import Axes

from sdewm.drawing import CERTIFIED, CORRECTED, MEASURED, PRINTED, draw_curve, save, styled, times
from sdewm.figures.record import checks, lines, records
from sdewm.verdicts.record import Curve

CLAIM = "fundamental_matrix_bound"
SYSTEMS = {"latent": ("reference model", "horizon T"), "trained-step": ("trained model", "horizon T, steps")}
LABEL = "log10 E sup ‖Φ‖² over T, "
LOOKS = {"3n exp(3 (T a² + 4 b²) T)": CERTIFIED, "from the mean square": CORRECTED, "block by block": CERTIFIED}
TOP = 10.0  # of a panel, as a power of ten


def draw(results: Path, out: Path) -> list[Path]:
    report = checks(results)
    with styled(7.2, 3.8) as figure:
        row = figure.subplots(1, len(SYSTEMS))
        for axes, (system, (name, horizon)) in zip(row, SYSTEMS.items(), strict=True):
            (record,) = records(report, CLAIM, system, "smallest C of (18)").values()
            _panel(axes, lines(report, CLAIM, system), record["statistic"])
            axes.set(title=f"{name}, {record['paths']} paths", xlabel=horizon, yscale="log", ylim=(3, 10**TOP))
            axes.legend(loc="upper left", bbox_to_anchor=(-0.1, -0.2))
        row[0].set_ylabel("E sup ‖Φ‖²")
        figure.suptitle(
            "(18) holds on any one model, by a constant chosen for it; the certified bounds hold without one\n"
            "(numbers: bound over measured at the last horizon; bars: two standard errors)",
            fontsize=9,
        )
        return save(figure, out, "fundamental_matrix_bound")


def _panel(axes: Axes, curves: dict[str, Curve], constant: float) -> None:
    measured = curves["E sup ‖Φ‖² over T, measured"]
    draw_curve(axes, measured, MEASURED, label="measured")
    printed = curves["E sup ‖Φ‖² over T, (18) with the smallest C for all T"]
    draw_curve(axes, printed, PRINTED, label=f"printed, (18) with the smallest C, {constant:.3f}")
    for name, look in LOOKS.items():
        if LABEL + name in curves:
            curve = curves[LABEL + name]
            ratio = curve.y[-1] - math.log10(measured.y[-1])
            bound = replace(curve, y=[10**y for y in curve.y])
            draw_curve(axes, bound, look, label=f"certified, {name}: {times(ratio)}")
