"""Two families of systems on which printed bounds fail for every constant: heavy-tailed errors, and random slopes.

For ε = M e with probability M⁻³, else 0, δ = E‖ε‖ = M⁻² and d_ε ≥ E‖ε‖² = M⁻¹. As M grows (46) over δ does not, and
d_ε/δ does. For dx = a x dt with a = M with probability M⁻², else 0, E sup ‖∂g‖² = 1, so that (18) stays the same, and
E sup ‖Φ‖² grows like M⁻² exp(2M). The corrected statements hold on both.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

from matplotlib.axes import Axes

from sdewm.drawing import CERTIFIED, MEASURED, OTHER, PRINTED, draw_curve, save, styled, times
from sdewm.figures.record import checks, lines, records
from sdewm.verdicts.record import Curve

HEAVY, FROZEN = ("theorem_4_1", "heavy tails"), ("fundamental_matrix_bound", "frozen slopes")


def draw(results: Path, out: Path) -> list[Path]:
    report = checks(results)
    tails, slopes = lines(report, *HEAVY), lines(report, *FROZEN)
    paths = next(iter(records(report, *HEAVY, "log of d_ε over K E‖ε‖²").values()))["paths"]
    with styled(7.2, 3.9) as figure:
        left, right = figure.subplots(1, 2)
        _family(
            left,
            (tails["certified K E‖ε‖²/E‖ε‖ over M"], "corrected: K E‖ε‖² / δ, K certified"),
            (tails["d_ε/δ over M, measured"], "measured: $d_ε$ / δ"),
            "(46)",
            (tails["E‖ε‖²/E‖ε‖ over M"], "E‖ε‖² / δ, below which $d_ε$ / δ cannot be"),
        )
        left.set_title(f"errors with heavy tails, δ = M⁻² → 0\nreference model, {paths} paths")
        _family(
            right,
            (slopes["n exp(2 ess sup ‖∂g‖₂ T) over M"], "corrected: n exp(2 ess sup ‖∂g‖ T)"),
            (slopes["E sup ‖Φ‖² over M"], "exact: E sup ‖Φ‖²"),
            "(18)",
            (slopes["E sup ‖∂g‖² over M"], "E sup ‖∂g‖², all that (18) sees of the slopes"),
        )
        right.set_title("frozen random slopes\ndx = a x dt, a = M with probability M⁻², else 0")
        figure.suptitle(
            "On two families of systems the printed bounds fail for every value of their constant;\n"
            "the corrected ones hold",
            fontsize=9,
        )
        return save(figure, out, "counterexamples")


Labelled = tuple[Curve, str]


def _family(axes: Axes, corrected: Labelled, actual: Labelled, printed: str, known: Labelled) -> None:
    """What is bounded, between the corrected bound and the most that the printed one says, C fitted at the first M."""
    curve, label = actual
    first, last = curve.x[0], curve.x[-1]
    held = replace(curve, y=[curve.y[0] for _ in curve.x], stderr=None)
    draw_curve(axes, corrected[0], CERTIFIED, label=corrected[1])
    draw_curve(axes, curve, MEASURED, label=label)
    draw_curve(axes, held, PRINTED, label=f"printed: {printed} at the most, C fitted at M = {first:g}")
    draw_curve(axes, known[0], OTHER[0], label=known[1])
    axes.set_xscale("log", base=2)
    axes.set(yscale="log", xlabel="M")
    axes.set_xticks(curve.x, [f"{m:g}" for m in curve.x])
    exceeded = times(math.log10(curve.y[-1] / held.y[-1]))
    axes.annotate(f"exceeded {exceeded} at M = {last:g}", (last, held.y[-1]), (0, 6), textcoords="offset points",
                  ha="right", color=PRINTED.color, fontsize=7)  # fmt: skip
    axes.legend(loc="upper left", bbox_to_anchor=(-0.1, -0.2))
