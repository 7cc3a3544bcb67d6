"""Theorem 4.1's bounds beside the divergence that is measured: over the error, the horizon and the Jacobian's norm.

d_ε = E sup_t ‖x^ε_t − x⁰_t‖² is of order δ². The printed bound (46) is linear in δ and leaves a constant free: drawn is
the smallest that will do for the errors shown, and how it moves with the Jacobian. The certified bound K E‖ε‖² leaves
nothing free. On the trained model it is far outside any panel; how far is written there.
"""

from __future__ import annotations

import math
from pathlib import Path

from matplotlib.axes import Axes

from sdewm.drawing import CERTIFIED, MEASURED, PRINTED, Look, draw_curve, note, save, styled, times
from sdewm.figures.record import checks, lines
from sdewm.verdicts.record import Curve

SYSTEMS = {"latent": ("reference model", ""), "trained-step": ("trained model", ", steps")}
ROOM = 1e3  # how far above what is measured a panel goes where the certified bound would squash it


def draw(results: Path, out: Path) -> list[Path]:
    report = checks(results)
    found = {system: lines(report, "theorem_4_1", system) for system in SYSTEMS}
    with styled(7.2, 5.0) as figure:
        grid = figure.subplots(2, 3)
        for row, (system, curves) in zip(grid, found.items(), strict=True):
            name, unit = SYSTEMS[system]
            config = curves["d_ε over δ, measured"].config
            _over_error(row[0], curves)
            _over_horizon(row[1], curves)
            row[0].set(title=f"{name}, T = {_horizon(curves):g}", xlabel="size of the error, δ", ylabel="$d_ε$")
            row[1].set(title=f"{name}, {config['paths']} paths", xlabel=f"horizon T{unit}", ylabel="$d_ε$ / δ²")
        _over_norm(grid[0][2], found["latent"])
        _smallest_constant(grid[1][2], found["latent"])
        for axes in grid[:, 2]:
            axes.set(title=grid[0][0].get_title(), xlabel="‖∂f‖, by scaling the weights")
        handles, labels = grid[0][0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=3)
        figure.suptitle(
            "$d_ε$ grows as δ², and so does the certified bound; the printed one, linear in δ, holds only because\n"
            "its constant is free. The certified bound is loose in T and in ‖∂f‖ (numbers: slopes at the smallest δ)",
            fontsize=9,
        )
        return save(figure, out, "divergence")


def _over_error(axes: Axes, curves: dict[str, Curve]) -> None:
    measured, certified = curves["d_ε over δ, measured"], curves["d_ε over δ, certified"]
    printed = curves["d_ε over δ, (46) with the smallest C for all δ"]
    axes.set(xscale="log", yscale="log")
    _sloped(axes, certified, CERTIFIED, "certified, K E‖ε‖²")
    _sloped(axes, measured, MEASURED, "measured (bars: two standard errors)")
    _sloped(axes, printed, PRINTED, "printed, (46) with the smallest C")
    _within(axes, measured, certified)
    axes.set_xlim(left=measured.x[-1] / 2.4)  # room for the slopes
    note(axes, f"certified: {_ratio(certified, measured, 0)} measured", (0.03, 0.99), va="top", color=CERTIFIED.color)


def _sloped(axes: Axes, curve: Curve, look: Look, label: str) -> None:
    """The curve, and its slope between its two smallest errors, which come last."""
    draw_curve(axes, curve, look, label=label)
    slope = math.log(curve.y[-2] / curve.y[-1]) / math.log(curve.x[-2] / curve.x[-1])
    axes.annotate(f"{slope:.2f}", (curve.x[-1], curve.y[-1]), (-6, 0), textcoords="offset points", ha="right",
                  va="center", color=look.color, fontsize=7, annotation_clip=True)  # fmt: skip


def _over_horizon(axes: Axes, curves: dict[str, Curve]) -> None:
    measured, certified = curves["d_ε/δ² over T, measured"], curves["d_ε/δ² over T, certified"]
    axes.set_yscale("log")
    draw_curve(axes, certified, CERTIFIED)
    draw_curve(axes, measured, MEASURED)
    _within(axes, measured, certified)
    text = f"certified: {_ratio(certified, measured, -1)}\nmeasured at T = {measured.x[-1]:g}"
    note(axes, text, (0.15, 0.97), va="top", color=CERTIFIED.color)


def _over_norm(axes: Axes, curves: dict[str, Curve]) -> None:
    measured, certified = curves["d_ε/δ² over ‖∂f‖, measured"], curves["d_ε/δ² over ‖∂f‖, certified"]
    axes.set(yscale="log", ylabel="$d_ε$ / δ²")
    draw_curve(axes, certified, CERTIFIED)
    draw_curve(axes, measured, MEASURED)
    text = f"certified: {_ratio(certified, measured, 0)} to\n{_ratio(certified, measured, -1)} measured"
    note(axes, text, (0.03, 0.97), va="top", color=CERTIFIED.color)


def _smallest_constant(axes: Axes, curves: dict[str, Curve]) -> None:
    curve = curves["smallest C over ‖∂f‖"]
    draw_curve(axes, curve, PRINTED)
    axes.set(ylabel="smallest C of (46)", ylim=(0, 1.25 * max(curve.y)))


def _ratio(certified: Curve, measured: Curve, at: int) -> str:
    return times(math.log10(certified.y[at] / measured.y[at]))


def _horizon(curves: dict[str, Curve]) -> float:
    """The T that the errors are compared at: where d_ε/δ² over T is that of the smallest δ."""
    over_error, over_time = curves["d_ε over δ, measured"], curves["d_ε/δ² over T, measured"]
    value = over_error.y[-1] / over_error.x[-1] ** 2
    return min(zip(over_time.x, over_time.y, strict=True), key=lambda point: abs(point[1] - value))[0]


def _within(axes: Axes, measured: Curve, certified: Curve) -> None:
    low, high = min(measured.y), max(measured.y)
    if max(certified.y) > ROOM * high:
        axes.set_ylim(low / 5, high * ROOM)
