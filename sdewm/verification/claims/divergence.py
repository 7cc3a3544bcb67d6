"""The divergence of solutions with different initial values: E sup_t ‖x^ε − x⁰‖² against ε² E sup_t ‖∂x‖².

For a latent model the solutions are its rollouts (19), and the error is one of z̃, as in Theorem 4.1.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial

import numpy as np
import torch
from torch import Tensor

from sdewm.divergence.distances import divergence, sensitivity_suprema
from sdewm.estimate.samples import Sample, richardson, sample
from sdewm.jets import nonsmooth_met
from sdewm.noise.increments import Increments
from sdewm.systems.latent import LatentSDE
from sdewm.systems.rollout import LatentRollout
from sdewm.systems.sde import SDE, noise_channels
from sdewm.verdicts.judge import Comparison, LeftOut, Row
from sdewm.verification.comparisons import excuse
from sdewm.verification.once import once_for_system
from sdewm.verification.pathwise import reach
from sdewm.verification.samples import needs_areas, sampler
from sdewm.verification.settings import Settings, pooled
from sdewm.verification.system import System

CLAIM = "divergence"
QUANTITY = "E sup_t ‖x^ε − x⁰‖²/ε², ε → 0, less E sup_t ‖∂x[u]‖²"
# ‖ε‖ relative to the initial state, the smallest first; ε² doubles from one to the next.
LADDER = (1e-3, 2**0.5 * 1e-3, 2e-3)
PATHS = 2**9


def check(system: System, settings: Settings) -> Iterator[Row]:
    """One row: the mean square distance over ε², extrapolated to ε = 0, against the sensitivity, on common noise."""
    started = time.perf_counter()
    if needs_areas(system):
        reason = "copies of a path by a method that takes Lévy areas are not there"
        yield LeftOut(CLAIM, system.name, QUANTITY, "corrected", "", reason)
        return
    with nonsmooth_met() as kinks:
        found = _suprema(system, settings)
    flags = found.estimate("jets").flags
    if flags:  # as where a distance has no fourth moment: its mean cannot be estimated
        yield LeftOut(CLAIM, system.name, QUANTITY, "corrected", "", "; ".join(flags))
        return
    # Distances at ±ε are averaged, so that what is odd in ε is gone.
    measured, moved = richardson([np.asarray(found[f"{i}"]) for i in range(len(LADDER))])
    by_jets = np.asarray(found["jets"])
    size = float(by_jets.mean())
    unit = float(torch.finfo(system.x0.dtype).eps) / LADDER[0]
    yield Comparison(
        CLAIM, system.name, QUANTITY, "corrected", "jets, against perturbed solutions",
        found.estimate(measured - by_jets), 0.0, moved + 20 * unit * size, settings.precision * size, size,
        time.perf_counter() - started, {"steps": system.grid.steps, "method": system.method},
        excuse=excuse(frozenset(kinks)),
    )  # fmt: skip


def _rollout(system: System) -> tuple[SDE, Tensor, Tensor]:
    """The equation that is followed, its initial state, and the unit vector along which that is perturbed."""
    base, x0 = system.family.base, system.x0
    generator = torch.Generator().manual_seed(0)

    def unit(n: int) -> Tensor:
        u = torch.randn(n, generator=generator, dtype=torch.float64).to(x0)
        return u / u.norm()

    if isinstance(base, LatentSDE):
        rollout = LatentRollout(base)
        return rollout, rollout.state(x0), rollout.perturbation(unit(base.sizes.z_tilde)[None])[0]
    return base, x0, unit(len(x0))


@partial(pooled, keep=once_for_system)
def _suprema(system: System, settings: Settings, round: int) -> Sample:
    sde, x0, u = _rollout(system)
    # The states of a latent model are of order one; other systems can have states of any size.
    size = float(reach(system).norm()) if len(x0) == len(system.x0) else 1 + float(x0.norm())
    ladder = [size * part for part in LADDER]
    shifts = torch.stack([sign * c * u for c in ladder for sign in (1.0, -1.0)])

    def evaluate(noise: Increments) -> dict[str, Tensor]:
        found = divergence(sde, x0, system.grid, perturbations=shifts, method=system.method, noise=noise)[:, -1]
        pairs = found.unflatten(0, (len(ladder), 2)).mean(1)
        values = {f"{i}": pair / c**2 for i, (pair, c) in enumerate(zip(pairs, ladder, strict=True))}
        first, _ = sensitivity_suprema(sde, x0, system.grid, directions=u[None], method=system.method, noise=noise)
        return {**values, "jets": first[-1, 0]}

    drawn = sampler(system, settings, PATHS, round, purpose=7)
    time = torch.as_tensor(system.grid.t0, dtype=x0.dtype, device=x0.device)
    return sample(evaluate, drawn, noise_channels(sde, time, x0[None]), system.grid, x0)
