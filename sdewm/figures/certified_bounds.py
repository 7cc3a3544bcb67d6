"""Certified bounds beside the growth of errors that is measured, step by step to the last horizon.

Of E sup ‖x^ε − x⁰‖² / ‖ε‖², logarithms to base 10, and by how much each bound ends above it. One bound holds for errors
of every size: it limits the difference, not its ratio to ‖ε‖, and is compared with large errors, a curve of their own.
With a leak and additive noise the bound holds on every path, and shows that errors decay.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes

from sdewm.drawing import CERTIFIED, CORRECTED, MEASURED, OTHER, draw_curve, save, styled, times
from sdewm.figures.record import checks, lines, records
from sdewm.verdicts.record import Curve

CLAIM, ADDITIVE = "certified_bounds", "latent, leak and additive noise"
SYSTEMS = {"latent": "reference model", "trained-step": "trained model"}
BOUND = "log10 bound by steps, "
LOOKS = {
    "block by block": CERTIFIED,
    "from the mean square": CORRECTED,
    "Gronwall, certified by multipliers": OTHER[0],
    "Gronwall, products of spectral norms": OTHER[2],
    "block by block, or what no error exceeds": CORRECTED,
}
TOP = 8.0  # of a panel; what leaves it is given as a number


def draw(results: Path, out: Path) -> list[Path]:
    report = checks(results)
    held = {system: ratios(report, system) for system in SYSTEMS}
    with styled(7.2, 4.2) as figure:
        row = figure.subplots(1, 3)
        for axes, (system, name) in zip(row, SYSTEMS.items(), strict=False):
            curves = lines(report, CLAIM, system)
            _bounds(axes, curves, held[system])
            paths = next(iter(curves.values())).config["paths"]
            axes.set(title=f"{name}\n{paths} paths", ylim=(-0.4, TOP), xlabel="steps")
        row[0].set_ylabel("log10 of E sup ‖$x^ε − x^0$‖² / ‖ε‖²")
        _additive(row[2], lines(report, CLAIM, ADDITIVE))
        (record,) = records(report, CLAIM, ADDITIVE, "log of ‖x^ε − x⁰‖ over its bound, largest of all paths").values()
        row[2].set(title=f"with leak and additive noise\nlargest of {record['paths']} paths", xlabel="time")
        row[2].set_ylabel("‖$x^ε − x^0$‖ / ‖ε‖")
        for axes in row:
            axes.legend(loc="upper left", bbox_to_anchor=(-0.2, -0.2))
        best = [times(min(by_steps[max(by_steps)] for _, by_steps in held[system].values())) for system in SYSTEMS]
        figure.suptitle(
            f"Certified bounds hold; the best of them ends {best[0]} above what is measured on the reference model,\n"
            f"{best[1]} on the trained one (numbers: bound over measured at the last step; bars: two standard errors)",
            fontsize=9,
        )
        return save(figure, out, "certified_bounds")


def ratios(report: dict[str, Any], system: str) -> dict[str, tuple[float, dict[int, float]]]:
    """By bound: the ‖ε‖ it is held against, and by steps log10 of its ratio to what is measured with such errors."""
    found = records(report, CLAIM, system, "log of E sup ‖x^ε − x⁰‖² over its bound")
    configs = {name: record["config"] for name, record in found.items()}
    return {
        name: (c["‖ε‖"], {int(n): ratio for n, ratio in c["log10 bound/measured by steps"].items()})
        for name, c in configs.items()
    }


def _bounds(axes: Axes, curves: dict[str, Curve], held: dict[str, tuple[float, dict[int, float]]]) -> None:
    measured = curves["log10 E sup ‖x^ε − x⁰‖²/‖ε‖² by steps, measured"]
    smallest = min(size for size, _ in held.values())
    draw_curve(axes, measured, MEASURED, label=f"measured, ‖ε‖ = {smallest:g}")
    for name, (size, by_steps) in held.items():
        bound = curves[BOUND + name]
        if size > smallest:
            y = [b - by_steps[int(n)] for n, b in zip(bound.x[1:], bound.y[1:], strict=True)]
            draw_curve(axes, replace(bound, x=bound.x[1:], y=y), OTHER[1], label=f"measured, ‖ε‖ = {size:g}")
        label = name.replace(", or", ",\nor").replace("Gronwall, ", "Gronwall,\n")
        draw_curve(axes, bound, LOOKS[name], label=f"{label}: {times(by_steps[int(bound.x[-1])])}")


def _additive(axes: Axes, curves: dict[str, Curve]) -> None:
    measured, certified = curves["max over paths of ‖x^ε − x⁰‖/‖ε‖"], curves["certified, pathwise"]
    axes.set_yscale("log")
    draw_curve(axes, measured, MEASURED, label="measured")
    ratio = math.log10(certified.y[-1] / measured.y[-1])
    draw_curve(axes, certified, CERTIFIED, label=f"certified on every path: {times(ratio)}")
