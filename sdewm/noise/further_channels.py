"""What a step takes beside increments, made of further channels of the noise: any sampler draws them.

The further channels are drawn as the increments are, so that quasi-Monte Carlo gives them its good dimensions: each is
a Brownian bridge too.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from sdewm.noise.grid import TimeGrid, check_factor
from sdewm.noise.increments import Increments
from sdewm.noise.samplers import Sampler


class MomentAreas:
    """Increments, and areas that are right in the mean alone: A_kl = ½ Δt Z_kl, a normal Z of its own for each pair.

    A Lévy area has the mean 0 and the variance ¼ Δt², whatever the increments are on average, and is uncorrelated with
    them; schemes of weak order 2 ask no more of it (Kloeden & Platen 1992, 15.1). Paths by such areas are not near the
    solution's: they are for means. On a coarser grid Z is the sum of the finer one's, rescaled.

    ``drawn`` has ``channels`` channels of increments, and then one for each pair k < l.
    """

    def __init__(self, drawn: Increments, channels: int, dt: float) -> None:
        self.drawn, self.channels, self.dt = drawn, channels, dt
        self.steps, self.paths, self.weights = drawn.steps, drawn.paths, drawn.weights
        self.mirrored = getattr(drawn, "mirrored", False)

    @staticmethod
    def further(channels: int) -> int:
        """How many channels there are beside the increments'."""
        return channels * (channels - 1) // 2

    def __iter__(self) -> Iterator[Float[Tensor, "paths channels"]]:
        return (dB[:, : self.channels] for dB in self.drawn)

    def moment_areas(
        self,
    ) -> Iterator[tuple[Float[Tensor, "paths channels"], Float[Tensor, "paths channels channels"]]]:
        """Increments ``(paths, m)`` and areas ``(paths, m, m)``, step by step."""
        m = self.channels
        rows, columns = torch.triu_indices(m, m, 1)
        for dB in self.drawn:
            area = dB.new_zeros(len(dB), m, m)
            area[:, rows, columns] = 0.5 * math.sqrt(self.dt) * dB[:, m:]
            yield dB[:, :m], area - area.mT

    def coarsen(self, factor: int) -> MomentAreas:
        """The same increments over steps ``factor`` times as long."""
        return MomentAreas(self.drawn.coarsen(factor), self.channels, self.dt * factor)


class TimeIntegrals:
    """Increments, and their integrals over time: ½ Δt ΔB + Δt Z/√12 with an increment Z of another motion, as they are.

    ``drawn`` has ``channels`` channels of increments, and then as many more. Each step sums ``sum_of`` of them.
    """

    def __init__(self, drawn: Increments, channels: int, dt: float, sum_of: int = 1) -> None:
        self.drawn, self.channels, self.dt, self.sum_of = drawn, channels, dt, sum_of
        self.steps, self.paths, self.weights = drawn.steps // sum_of, drawn.paths, drawn.weights
        self.mirrored = getattr(drawn, "mirrored", False)

    @staticmethod
    def further(channels: int) -> int:
        """How many channels there are beside the increments'."""
        return channels

    def __iter__(self) -> Iterator[Float[Tensor, "paths channels"]]:
        return (dB[:, : self.channels] for dB in self.drawn.coarsen(self.sum_of))

    def time_areas(self) -> Iterator[tuple[Float[Tensor, "paths channels"], Float[Tensor, "paths channels"]]]:
        """Increments and the integrals of B(s) − B(t) over each step, both ``(paths, m)``."""
        steps, m, h = iter(self.drawn), self.channels, self.dt
        for first in steps:
            dB, integral = first[:, :m], h * (0.5 * first[:, :m] + first[:, m:] / math.sqrt(12))
            for _ in range(self.sum_of - 1):
                more = next(steps)
                integral = integral + h * (dB + 0.5 * more[:, :m] + more[:, m:] / math.sqrt(12))
                dB = dB + more[:, :m]
            yield dB, integral

    def coarsen(self, factor: int) -> TimeIntegrals:
        """The same motions over steps ``factor`` times as long."""
        check_factor(factor, self.steps)
        return TimeIntegrals(self.drawn, self.channels, self.dt, self.sum_of * factor)


class FurtherChannels:
    """A sampler that draws further channels by another one, and makes of them what a step takes beside increments.

    >>> drawn = FurtherChannels(QuasiMonteCarlo(2**12, seed=0), MomentAreas)
    """

    def __init__(self, sampler: Sampler, made: type[MomentAreas | TimeIntegrals]) -> None:
        self.sampler, self.made = sampler, made
        self.seed, self.paths, self.block = sampler.seed, sampler.paths, sampler.block
        self.replicates, self.per_replicate = sampler.replicates, sampler.per_replicate

    def draw(
        self, chosen: Sequence[int], channels: int, grid: TimeGrid, like: Float[Tensor, "..."]
    ) -> Iterator[MomentAreas | TimeIntegrals]:
        """The other sampler's blocks."""
        for drawn in self.sampler.draw(chosen, channels + self.made.further(channels), grid, like):
            yield self.made(drawn, channels, grid.dt)
