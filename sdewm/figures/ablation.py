"""What each erratum of the expansion does alone: every formula corrected but that one, system by system.

The change of a coefficient in parts of its true value, which is common to both orders and of its own scale in every
system: the numbers are at the bars. A 0 stands where an erratum makes no difference on a system, and two standard
errors where its effect is smaller than these.
"""

from __future__ import annotations

import textwrap
from pathlib import Path

from matplotlib.axes import Axes

from sdewm.drawing import PRINTED, save, styled
from sdewm.expansion.variation_of_constants import CORRECTIONS
from sdewm.figures.record import checks, lines
from sdewm.verdicts.record import Curve

SYSTEMS = {
    "circle": "equation\non the circle",
    "latent-linear": "linear\nlatent model",
    "latent": "reference\nlatent model",
    "latent-f-bar": "the same, with\na noise in h",
}
ORDERS = {"coefficient of ε": "ε", "coefficient of ε²": "ε²"}
ROUNDING = 1e-9


def draw(results: Path, out: Path) -> list[Path]:
    report = checks(results)
    found = {system: lines(report, "ablation", system) for system in SYSTEMS}
    first = next(iter(found.values()))
    with styled(7.2, 5.2) as figure:
        heights = [len(first[order].x) for order in ORDERS]
        grid = figure.subplots(len(ORDERS), len(found), sharex="col", sharey="row", height_ratios=heights)
        for column, (system, curves) in zip(grid.T, found.items(), strict=True):
            for axes, order in zip(column, ORDERS, strict=True):
                _bars(axes, curves[order])
            low, high = (pick(y for order in ORDERS for y in curves[order].y) for pick in (min, max))
            room = 0.55 * (max(high, 0) - min(low, 0))  # for the numbers
            column[0].set_xlim(min(low, 0) - room, max(high, 0) + room)
            paths = curves["coefficient of ε"].config["paths"]
            column[0].set_title(f"{SYSTEMS[system]}\n{paths} paths", fontsize=8)
        for axes, (order, power) in zip(grid[:, 0], ORDERS.items(), strict=True):
            errata = first[order].config["errata"]
            axes.set_yticks(range(len(errata)), [_name(e) for e in errata], fontsize=7, linespacing=1.1)
            axes.set_ylabel(power, rotation=0, ha="right", fontsize=11)
            axes.set_ylim(len(errata) - 0.5, -0.5)
        figure.align_ylabels(grid[:, 0])
        largest = max(abs(y) for curves in found.values() for order in ORDERS for y in curves[order].y)
        figure.suptitle(
            f"Each erratum alone changes a coefficient on some system, by up to {share(largest, 0)[1:]} per cent\n"
            "(rows: coefficients of ε and of ε²; numbers: per cent of the true one; bars: two standard errors)",
            fontsize=9,
        )
        return save(figure, out, "ablation")


def _name(erratum: str) -> str:
    text = f"{erratum}: {CORRECTIONS[erratum]}"
    for old, new in (("_k", "ₖ"), (" = ", "\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}")):
        text = text.replace(old, new)
    return textwrap.fill(text, 30)


def _bars(axes: Axes, curve: Curve) -> None:
    assert curve.stderr is not None
    for i, (y, stderr) in enumerate(zip(curve.y, curve.stderr, strict=True)):
        bar, side = 2 * stderr, -1 if y < 0 else 1
        text = share(y, bar)
        if text != "0":
            axes.barh(i, y, 0.66, xerr=bar, color=PRINTED.color, error_kw={"lw": 0.8, "capsize": 1.5})
        axes.annotate(text, (y + side * bar, i), (3 * side, 0), textcoords="offset points", fontsize=7, va="center",
                      ha="left" if side > 0 else "right")  # fmt: skip
    axes.axvline(0, color="#111111", lw=0.6)
    axes.set_xticks([])
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.tick_params(axis="y", length=0)


def share(y: float, bar: float) -> str:
    """A share in per cent, to two digits; what it might be where it is not told from 0; 0 where it is nothing."""
    if abs(y) + bar < ROUNDING:
        return "0"
    if abs(y) <= bar:
        return f"0 ± {100 * bar:.2g}"
    return f"{100 * y:+.2g}".replace("-", "−") if abs(y) < 0.995 else f"{100 * y:+.0f}".replace("-", "−")
