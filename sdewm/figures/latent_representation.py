"""The paper's Figure 2, computed: states on a sphere cap, the latent ball, and the maps between them.

The maps are Dacorogna and Moser's flow and its inverse, with the cap's chart: points of Q are encoded to points of P,
and a polar grid of the ball is decoded onto the cap. The boundary is mapped to the boundary; inside, the maps
stretch area as the two densities require.
"""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes

from sdewm.drawing import CORRECTED, MEASURED, save, styled
from sdewm.figures.record import checks, lines
from sdewm.verdicts.record import Curve

CLAIM, SYSTEM = "proposition_a7", "disk to sphere cap"
LATENT = "latent line {}"
DECODED = "latent line {}, decoded"


def draw(results: Path, out: Path) -> list[Path]:
    curves = lines(checks(results), CLAIM, SYSTEM)
    lines_of_grid = range(sum(DECODED.format(i) in curves for i in range(len(curves))))
    with styled(7.2, 3.1) as figure:
        states, latent, decoded = figure.subplots(1, 3)
        _lines(states, [curves["edge of the cap"]])
        _points(states, curves["points of Q, seen from the side"])
        states.set_title("points of Q\non the manifold M, a sphere cap")
        _lines(latent, [curves[LATENT.format(i)] for i in lines_of_grid])
        _points(latent, curves["points of Q, encoded"])
        latent.set_title("encoded: points of P\nin the latent ball, with a grid")
        _lines(decoded, [curves[DECODED.format(i)] for i in lines_of_grid])
        decoded.set_title("the grid decoded:\ng carries P to Q")
        for axes in (states, latent, decoded):
            axes.set_aspect("equal", adjustable="datalim")
            axes.axis("off")
        figure.suptitle("Oracle encoder and decoder of Proposition A.7, computed", fontsize=9)
        return save(figure, out, "latent_representation")


def _lines(axes: Axes, curves: list[Curve]) -> None:
    for curve in curves:
        axes.plot(curve.x, curve.y, color=CORRECTED.color, lw=0.6)


def _points(axes: Axes, curve: Curve) -> None:
    axes.plot(curve.x, curve.y, ".", color=MEASURED.color, markersize=1.5)
