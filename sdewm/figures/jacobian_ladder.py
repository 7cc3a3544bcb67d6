"""World models trained alike but for λ of the Jacobian penalty: Jacobian norms and the growth of errors against λ.

Points are means over training seeds, whose number stands under each λ, with two standard errors of a single mean. Runs
of one seed are a pair, so that a change is surer than these bars say: the numbers are its mean ratio and 95 % interval
from λ = 0 to the largest λ, as the check has them. The right column shows why Theorem 4.1 does not explain the penalty:
the norm of the Jacobian of the drift GRU − h rises, while errors in h decay faster. Its logarithmic norm μ₂ falls too.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes

from sdewm.drawing import CERTIFIED, CORRECTED, MEASURED, OTHER, PRINTED, Look, draw_curve, save, styled
from sdewm.figures.record import checks, lines
from sdewm.verdicts.record import Curve

CLAIM, SYSTEM = "jacobian_regularization", "ladder"
# The label of the curve in the record, and what it is called here.
EFFECTS = {
    "|E L(x^ε) − E L(x⁰)|": "|E L($x^ε$) − E L($x^0$)|",
    "|R̃|": "|R̃|, its expansion",
    "E sup‖Φ‖²_F": "E sup ‖Φ‖²",
    "d_ε / E|ε|²": "$d_ε$ / E|ε|²",
    "error after 15 steps / ε": "error after 15 steps / ε",
    "reconstruction, nats": "reconstruction, nats",
}
NORMS = {"‖∂_h f‖_F of the map": ("map", CORRECTED), "‖∂_h f‖_F of the drift": ("drift", PRINTED)}
RATES = {
    "log σ_max of the map": ("log σ, map", CERTIFIED),
    "μ₂ of the drift": ("μ₂, drift", CORRECTED),
    "log growth of the flow": ("errors, flow", MEASURED),
    "log growth of the own step": ("errors, step", OTHER[1]),
}


def draw(results: Path, out: Path) -> list[Path]:
    report = checks(results)
    effects, leak = lines(report, CLAIM, SYSTEM), lines(report, "leak", SYSTEM)
    changes = paired_changes(report)
    with styled(7.2, 4.6) as figure:
        grid = figure.subplots(2, 4, sharex="col", width_ratios=(1, 1, 1, 1.45))
        for axes, (label, title) in zip(grid[:, :3].flat, EFFECTS.items(), strict=True):
            curve = effects[label]
            _over_weights(axes, {"": (curve, MEASURED)})
            change, low, high = changes[curve.config["measured"]]
            axes.set_title(f"{title}\n× {change:.3f} [{low:.3f}, {high:.3f}]", fontsize=7.5)
        for axes, named, title in ((grid[0][3], NORMS, "‖$∂_h$f‖"), (grid[1][3], RATES, "log growth per step")):
            _over_weights(axes, {name: (leak[label], look) for label, (name, look) in named.items()})
            axes.set_title(title, fontsize=7.5)
        for axes in grid[1]:
            axes.set_xlabel("λ (seeds)")
        weights = next(iter(effects.values())).x
        figure.suptitle(
            "As λ grows the norm of the drift's Jacobian rises, yet errors in h decay faster; μ₂ falls too\n"
            f"(×: change from λ = {weights[0]:g} to {weights[-1]:g} within a seed, and its 95 % interval; bars: two "
            "standard errors)",
            fontsize=9,
        )
        return save(figure, out, "jacobian_ladder")


def paired_changes(report: dict[str, Any]) -> dict[str, tuple[float, float, float]]:
    """By measured quantity: the ratio of its size at the largest λ to that at 0, within a seed, and its interval."""
    found = {}
    for record in report["records"]:
        config = record["config"]
        of_ladder = (record["claim"], record["system"], record["form"]) == (CLAIM, SYSTEM, "printed")
        if of_ladder and "ratio" in config:
            low, high = config["95 % interval"]
            found[config["measured"]] = (config["ratio"], math.exp(low), math.exp(high))
    return found


def _over_weights(axes: Axes, shown: dict[str, tuple[Curve, Look]]) -> None:
    """Curves over λ as a category, for it spans decades and 0; a name at a curve's end."""
    for name, (curve, look) in shown.items():
        places = [float(i) for i in range(len(curve.x))]
        draw_curve(axes, replace(curve, x=places), look)
        axes.annotate(name, (places[-1], curve.y[-1]), (7, 0), textcoords="offset points", va="center",
                      color=look.color, fontsize=7)  # fmt: skip
        seeds = curve.config["seeds"]
        axes.set_xticks(places, [f"{weight:g}\n({n})" for weight, n in zip(curve.x, seeds, strict=True)])
