"""Two families on which no constant saves a printed bound: errors with heavy tails, and slopes that are frozen.

ε = M e with probability M⁻³, else 0, makes δ = E‖ε‖ = M⁻² small, while d_ε ≥ E‖ε‖² = M⁻¹: (46), over δ, is at most what
it was for a smaller M, and d_ε/δ grows without end. dx = a x dt with a = M with probability M⁻², else 0, holds
E sup ‖∂g‖² at 1, hence (18) where it was, and E sup ‖Φ‖² grows like M⁻² exp(2M). The corrected statements hold on both.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

from matplotlib.axes import Axes

from figures.record import checks, lines, records
from figures.style import CERTIFIED, MEASURED, OTHER, PRINTED, draw_curve, note, save, styled, times
from sdewm.report import Curve

HEAVY, FROZEN = ("theorem_4_1", "heavy tails"), ("fundamental_matrix_bound", "frozen slopes")


def draw(results: Path, out: Path) -> list[Path]:
    report = checks(results)
    with styled(7.2, 3.9) as figure:
        left, right = figure.subplots(1, 2)
        tails, slopes = lines(report, *HEAVY), lines(report, *FROZEN)
        draw_curve(left, tails["certified K E‖ε‖²/E‖ε‖ over M"], CERTIFIED, label="corrected: K E‖ε‖² / δ, certified")
        _passed(left, tails["d_ε/δ over M, measured"], "measured, $d_ε$ / δ", "(46), with the C that just does at M = ")
        draw_curve(left, tails["E‖ε‖²/E‖ε‖ over M"], OTHER[0], label="E‖ε‖² / δ, which $d_ε$ / δ cannot go below")
        draw_curve(right, slopes["n exp(2 ess sup ‖∂g‖₂ T) over M"], CERTIFIED, label="corrected: n exp(2 ess sup ‖∂g‖ T)")
        _passed(right, slopes["E sup ‖Φ‖² over M"], "exact, E sup ‖Φ‖²", "(18), with the C that just does at M = ")
        draw_curve(right, slopes["E sup ‖∂g‖² over M"], OTHER[0], label="E sup ‖∂g‖², all that (18) knows of the slopes")
        paths = next(iter(records(report, *HEAVY, "log of d_ε over K E‖ε‖²").values()))["paths"]
        left.set_title(f"errors with heavy tails, δ = M⁻² → 0\nreference model, {paths} paths")
        right.set_title("frozen random slopes\na = M with probability M⁻², else 0")
        for axes in (left, right):
            axes.set_xscale("log", base=2)
            axes.set(yscale="log", xlabel="M")
            axes.legend(loc="upper left", bbox_to_anchor=(-0.1, -0.2))
        figure.suptitle("Along two families the printed bounds are passed by any factor: no constant saves them", fontsize=9)
        return save(figure, out, "counterexamples")


def _passed(axes: Axes, actual: Curve, label: str, printed: str) -> None:
    """What is bounded, beside the most that the printed bound says after it has just held at the first M."""
    draw_curve(axes, actual, MEASURED, label=label)
    held = replace(actual, y=[actual.y[0] for _ in actual.x], stderr=None)
    draw_curve(axes, held, PRINTED, label=f"printed: at most this, {printed}{actual.x[0]:g}")
    passed = times(math.log10(actual.y[-1] / held.y[-1]))
    note(axes, f"passed {passed} at M = {actual.x[-1]:g}", (0.98, 0.02), ha="right", color=PRINTED.color)
