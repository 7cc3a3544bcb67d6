"""How a method's paths are drawn for an estimate: with what its steps take beside increments."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from sdewm.noise.brownian import BrownianSampler
from sdewm.noise.further_channels import FurtherChannels, MomentAreas, TimeIntegrals
from sdewm.noise.grid import TimeGrid
from sdewm.noise.samplers import Sampler
from sdewm.solvers.methods import Method, stepper
from sdewm.systems.sde import SDE


def sampler_for(
    sampler: Sampler, sde: SDE, x0: Float[Tensor, "*paths n"], grid: TimeGrid, *, method: Method
) -> Sampler:
    """The sampler, and further channels by it where the method takes integrals over time, or areas in the mean.

    A :class:`~sdewm.noise.BrownianSampler` has both itself.
    """
    chosen = stepper(method, sde)
    if isinstance(sampler, BrownianSampler):
        return sampler
    if chosen.needs_time_areas:
        return FurtherChannels(sampler, TimeIntegrals)
    if chosen.moments_suffice and chosen.prepare(sde, x0, grid).needs_areas:
        return FurtherChannels(sampler, MomentAreas)
    return sampler
