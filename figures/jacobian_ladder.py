"""World models trained alike but for λ of the Jacobian penalty: what falls with it, what rises, and what orders the two.

Means over training seeds, which are the unit. Beside each λ stands how many seeds it has: those of the middle are part
of those of the ends. The last two panels show why Theorem 4.1 is no reason for the penalty: the norm that it speaks of,
of the drift GRU − h, rises while errors in h die out faster; the logarithmic norm μ₂ falls with them.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from matplotlib.axes import Axes

from figures.record import checks, lines
from figures.style import CERTIFIED, CORRECTED, MEASURED, OTHER, PRINTED, Look, draw_curve, save, styled
from sdewm.report import Curve

PENALTY, LEAK = "jacobian_regularization", "leak"
# A title, and the curve's label.
EFFECTS = {
    "increase of the loss\n|E L($x^ε$) − E L($x^0$)|": "|E L(x^ε) − E L(x⁰)|",
    "its expansion, |R̃|": "|R̃|",
    "divergence, $d_ε$ / E|ε|²": "d_ε / E|ε|²",
    "error after 15 steps / ε": "error after 15 steps / ε",
    "E sup‖Φ‖²": "E sup‖Φ‖²_F",
    "reconstruction, nats": "reconstruction, nats",
}
NORMS = {"of the map": ("‖∂_h f‖_F of the map", CORRECTED), "of the drift": ("‖∂_h f‖_F of the drift", PRINTED)}
RATES = {
    "μ₂ of the drift": ("μ₂ of the drift", CORRECTED),
    "log σ_max of the map": ("log σ_max of the map", CERTIFIED),
    "growth, flow": ("log growth of the flow", MEASURED),
    "growth, own step": ("log growth of the own step", OTHER[1]),
}


def draw(results: Path, out: Path) -> list[Path]:
    report = checks(results)
    effects, leak = lines(report, PENALTY, "ladder"), lines(report, LEAK, "ladder")
    with styled(7.2, 4.6) as figure:
        grid = figure.subplots(2, 4, sharex=True)
        for axes, (title, label) in zip([*grid[0], *grid[1]], EFFECTS.items(), strict=False):
            _over_weights(axes, {"": (effects[label], MEASURED)})
            axes.set_title(title)
        for axes, title, shown in (
            (grid[1][2], "‖∂_h f‖", NORMS), (grid[1][3], "rate per step", RATES)):
            _over_weights(axes, {name: (leak[label], look) for name, (label, look) in shown.items()})
            axes.set_title(title)
            axes.legend()
        figure.suptitle("x", fontsize=9)
        return save(figure, out, "jacobian_ladder")


def _over_weights(axes: Axes, shown: dict[str, tuple[Curve, Look]]) -> None:
    """Curves over λ, which is a category here: it spans decades and 0."""
    for name, (curve, look) in shown.items():
        places = [float(i) for i, _ in enumerate(curve.x)]
        draw_curve(axes, replace(curve, x=places), look, label=name)
        seeds = curve.config["seeds"]
    axes.set_xticks(places, [f"{weight:g}\n({n})" for weight, n in zip(curve.x, seeds, strict=True)])
