"""Samples of a system: the terms of its expansion, and all routes to its coefficients on common noise."""

from __future__ import annotations

from collections.abc import Mapping

from jaxtyping import Float
from torch import Tensor

from sdewm.estimate.samples import Sample, sample
from sdewm.expansion.checks import check_problem
from sdewm.expansion.pathwise_derivatives import corrected_terms
from sdewm.expansion.variation_of_constants import CORRECTED, READINGS, Corrections, formula_terms
from sdewm.noise.brownian import BrownianSampler
from sdewm.noise.grid import TimeGrid
from sdewm.noise.increments import Increments
from sdewm.noise.samplers import Sampler
from sdewm.solvers.loop import trajectory
from sdewm.solvers.methods import stepper
from sdewm.solvers.sampling import sampler_for
from sdewm.systems.losses import SummedLoss
from sdewm.systems.perturbed import Magnitude, PerturbedSDE
from sdewm.systems.sde import SDE
from sdewm.verification.once import once_for_system
from sdewm.verification.settings import Settings
from sdewm.verification.system import System

VARIATION = "variation of constants"
CASES = ("zero drift", "full")
# Central differences over seven points: exact for polynomials of degree six.
STENCIL = (-3, -2, -1, 1, 2, 3)


def variants(system: System) -> dict[str, Corrections]:
    """The formulas with Φ and Φ⁻¹ to evaluate: the required readings of the printed one, and the corrected one."""
    if not system.has_limit:
        return {}
    return {**{reading: READINGS[reading] for reading in system.readings}, VARIATION: CORRECTED}


def without_drift_error(family: PerturbedSDE) -> PerturbedSDE:
    """The same family with σ = 0, the zero-drift case of Theorem 3.7."""
    return _ZeroDrift(family.base, family.error)


class _ZeroDrift(PerturbedSDE):
    def at(self, eps: Magnitude, eps_drift: Magnitude | None = None) -> SDE:
        return super().at(eps, 0.0)


def channels(system: System) -> int:
    """Check all input of the system before any work is done. Returns the number of noise channels."""
    return check_problem(system.family, system.losses, system.x0, system.grid, method=system.method, grids=system.grids)


@once_for_system
def needs_areas(system: System) -> bool:
    """Whether the system's method takes Lévy areas, as "milstein" does where noises do not commute."""
    sde = system.family.at(1.0)
    return stepper(system.method, sde).prepare(sde, system.x0, system.grid).needs_areas


def sampler(
    system: System,
    settings: Settings,
    paths: int,
    round: int,
    purpose: int = 0,
    *,
    widen: float = 1.0,
    block: int = 4096,
) -> Sampler:
    """The sampler of one round: that of the settings, or Brownian paths with Lévy areas where the method needs them."""
    if needs_areas(system):
        return BrownianSampler(paths, settings.stream(round, purpose), block=block)
    drawn = settings.draw(paths, round, purpose, widen=widen, block=block)
    return sampler_for(drawn, system.family.at(1.0), system.x0, system.grid, method=system.method)


def term_grids(system: System) -> int:
    """The number of grids for the terms: several only if their limit Δt → 0 is compared with exact values."""
    return system.grids if system.truth is not None else 1


def sample_terms(system: System, drawn: Sampler) -> Sample:
    """The terms of the corrected expansion, ``loss|jets|term/halvings``, by jets."""

    def evaluate(noise: Increments) -> dict[str, Tensor]:
        values: dict[str, Tensor] = {}
        for halvings in range(term_grids(system)):
            values |= _jets(system, system.grid.coarsen(2**halvings), noise.coarsen(2**halvings), halvings)
        return values

    return sample(evaluate, drawn, channels(system), system.grid, system.x0)


def sample_formulas(system: System, drawn: Sampler, formulas: Mapping[str, Corrections]) -> Sample:
    """The terms by jets and by these formulas, ``loss|route|term/halvings``, on each grid and on common noise."""

    def evaluate(noise: Increments) -> dict[str, Tensor]:
        values: dict[str, Tensor] = {}
        for halvings in range(system.grids):
            values |= _by_formulas(system, noise, halvings, formulas)
        return values

    return sample(evaluate, drawn, channels(system), system.grid, system.x0)


def sample_routes(system: System, drawn: Sampler, h: float) -> Sample:
    """All routes on common noise: jets, the formulas, and losses at several ε, ``h`` apart, where nothing is exact."""

    def evaluate(noise: Increments) -> dict[str, Tensor]:
        values: dict[str, Tensor] = {}
        for halvings in range(system.grids):
            values |= _by_formulas(system, noise, halvings, variants(system))
            grid, increments = system.grid.coarsen(2**halvings), noise.coarsen(2**halvings)
            if system.truth is None:
                for case in CASES:
                    for k in STENCIL:
                        eps = (k * h, 0.0 if case == "zero drift" else k * h)
                        for loss, v in losses_at(system, system.losses, eps, grid, increments).items():
                            values[f"{loss}|{case}|{k}/{halvings}"] = v
        return values

    return sample(evaluate, drawn, channels(system), system.grid, system.x0)


def _by_formulas(
    system: System, noise: Increments, halvings: int, formulas: Mapping[str, Corrections]
) -> dict[str, Tensor]:
    grid, increments = system.grid.coarsen(2**halvings), noise.coarsen(2**halvings)
    values = _jets(system, grid, increments, halvings)
    if formulas:
        found = formula_terms(system.family, system.losses, system.x0, grid, noise=increments, variants=formulas)
        values |= {f"{loss}|{route}|{term}/{halvings}": v for (loss, route, term), v in found.items()}
    return values


def _jets(system: System, grid: TimeGrid, noise: Increments, halvings: int) -> dict[str, Tensor]:
    terms = corrected_terms(system.family, system.losses, system.x0, grid, noise=noise, method=system.method)
    return {f"{loss}|jets|{term}/{halvings}": v for (loss, term), v in terms.items()}


def losses_at(
    system: System, losses: Mapping[str, SummedLoss], eps: tuple[float, float], grid: TimeGrid, noise: Increments
) -> dict[str, Float[Tensor, " paths"]]:
    """Each loss per path, ``(paths,)``, at the magnitudes ``eps`` of the diffusion and of the drift error."""
    weights = {name: loss.on(grid) for name, loss in losses.items()}
    total: dict[str, Tensor] = {}
    for i, t, x in trajectory(system.family.at(*eps), system.x0, grid, method=system.method, noise=noise):
        for name, loss in losses.items():
            if i in weights[name]:
                total[name] = total.get(name, 0.0) + weights[name][i] * loss.fn(t, x)
    return total
