"""The settings of a run, and its rounds of sampling."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from functools import lru_cache, wraps
from typing import Any

import numpy as np

from sdewm.estimate.samples import Sample, SamplerName, pool
from sdewm.noise.samplers import REPLICATES, AntitheticMonteCarlo, MonteCarlo, QuasiMonteCarlo, Sampler


@dataclass(frozen=True)
class Settings:
    """The relative ``precision`` of a coefficient, the seed, the name of the sampler, and the number of rounds.

    If a coefficient is known exactly, the precision is relative to the coefficient. If it is measured, the precision is
    relative to its root mean square over paths, since its mean may vanish; and it is a quarter of the coefficient at
    most.

    A *round* is an independent sample of the size of the first look. Each further look pools twice as many rounds as
    the one before.
    """

    precision: float = 1e-3
    seed: int = 0
    sampler: SamplerName = "rqmc"
    rounds: int = 1

    def paths(self, at_default: int) -> int:
        """The size of one round at this precision, since quasi-Monte Carlo errors fall about like 1/paths."""
        return max(2**8, int(at_default * 1e-3 / self.precision))

    def at_look(self, look: int) -> Settings:
        """The settings of look 0, 1, 2, …, with 1, 2, 4, … rounds."""
        return replace(self, rounds=2**look)

    @property
    def first(self) -> Settings:
        """The settings of look 0."""
        return self.at_look(0)

    @property
    def before(self) -> Settings | None:
        """The settings of the look before; ``None`` for the first."""
        return replace(self, rounds=self.rounds // 2) if self.rounds > 1 else None

    @property
    def new_rounds(self) -> range:
        """The rounds that this look draws in addition to those of the look before."""
        return range(self.rounds // 2, self.rounds)

    def stream(self, round: int, purpose: int = 0) -> int:
        """The seed of one round of the sample for one purpose."""
        return int(np.random.SeedSequence([self.seed, purpose, round]).generate_state(1)[0])

    def draw(self, paths: int, round: int, purpose: int = 0, *, widen: float = 1.0, block: int = 4096) -> Sampler:
        """The sampler of one round; ``widen`` is for randomized quasi-Monte Carlo."""
        seed = self.stream(round, purpose)
        if self.sampler == "mc":
            return MonteCarlo(paths, seed, block)
        if self.sampler == "antithetic":
            return AntitheticMonteCarlo(paths, seed, block)
        return QuasiMonteCarlo(paths, seed, REPLICATES, widen=widen, block=block)


Draw = Callable[..., Sample]
_LAST: Callable[[Draw], Draw] = lru_cache(maxsize=32)


def pooled(draw: Draw, keep: Callable[[Draw], Draw] = _LAST) -> Draw:
    """Turn ``draw(system, settings, round, …)``, which samples one round, into a function that pools all rounds so far.

    ``keep`` stores its results. The system is a string, or a :class:`~sdewm.System` if ``keep`` is
    :func:`~sdewm.verification.once.once_for_system`.
    """

    @keep
    def all_rounds(system: Any, settings: Settings, *args: Hashable) -> Sample:
        before = [all_rounds(system, settings.before, *args)] if settings.before else []
        new = [draw(system, settings, r, *args) for r in settings.new_rounds]
        return pool([*before, *new], settings.seed)

    return wraps(draw)(all_rounds)
