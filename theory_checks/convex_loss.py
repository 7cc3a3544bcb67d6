"""Remark after Theorem 3.7: where the loss is convex, S ≥ 0, and the zero-drift error acts as a regularizer.

S = E yᵀ∇²L y with y the response to the diffusion error, so a loss with ∇²L ⪰ 0 where the paths go has S ≥ 0, path by
path. Of the losses of a trained model only the reconstruction loss is convex in x; that S ≥ 0 for the other two is
measured, and is no consequence of the remark.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache

from torch import Tensor

from sdewm.estimate.estimates import Estimate
from sdewm.estimate.samples import Sample, sample
from sdewm.expansion.checks import check_problem
from sdewm.expansion.pathwise_derivatives import corrected_terms
from sdewm.noise.increments import Increments
from sdewm.systems.losses import SummedLoss
from sdewm.verdicts.judge import Row
from sdewm.verification.samples import without_drift_error
from sdewm.verification.settings import Settings
from sdewm.verification.system import System
from theory_checks import systems
from theory_checks.claim import Claim
from theory_checks.rows import Rows, exact

CONVEX = {"latent": ("squared errors",), "trained-step": ("J_O",)}


def check(rows: Rows, settings: Settings) -> Iterator[Row]:
    system = rows.system
    found, smallest = _measure(system, settings)
    for name in found.values:
        s = found.estimate(name)
        rows, convex = replace(rows, system=f"{system} {name}"), name in CONVEX[system]
        negative = Estimate(-s.mean, s.stderr, s.n, s.dof, s.seed)
        config = {"S": s.mean, "smallest S of a path": smallest[name], "paths": found.paths}
        reading = "convex" if convex else "not convex in x"
        yield rows.at_most("−S ≤ 0", "printed", reading, negative, config=config)
        if convex:
            least = exact(-smallest[name], found.paths, found.seed)
            yield rows.at_most(
                "−S ≤ 0 on every path", "corrected", "", least, numerical=1e-12, scale=abs(s.mean), config=config
            )


def losses(system: System) -> dict[str, SummedLoss]:
    """The system's losses by name."""
    return {name or "squared errors": loss for name, loss in system.losses.items()}


@cache
def _measure(name: str, settings: Settings) -> tuple[Sample, dict[str, float]]:
    """S of each loss, and its smallest value on any path."""
    system = systems.system(name)
    family, of = without_drift_error(system.family), losses(system)
    smallest: dict[str, float] = {}

    def evaluate(noise: Increments) -> Mapping[str, Tensor]:
        terms = corrected_terms(family, of, system.x0, system.grid, noise=noise, method=system.method)
        values = {loss: terms[loss, "S"] for loss in of}
        for loss, value in values.items():
            smallest[loss] = min(smallest.get(loss, float("inf")), float(value.min()))
        return values

    channels = check_problem(family, of, system.x0, system.grid, method=system.method, grids=1)
    drawn = settings.draw(settings.paths(2**10), 0)
    return sample(evaluate, drawn, channels, system.grid, system.x0), smallest


CLAIM = Claim("convex_loss", ("(12)",), tuple(CONVEX), check, quick=("latent",), seconds={"trained-step": 5.0})
