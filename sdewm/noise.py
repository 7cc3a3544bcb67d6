"""Brownian increments: where the randomness of a run comes from, block by block of paths.

A *replicate* is an independent unit of sampling with a random stream of its own, fixed by (seed, replicate). Blocks of
paths are cut out of replicates, so no number depends on how the work is chunked. Increments can be iterated over as
often as needed and give the same values each time, and ``coarsen(k)`` gives the same paths on a grid k times coarser.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from sdewm import arguments
from sdewm.components import ORDERINGS, Ordering, unit_increments
from sdewm.sobol import MAX_DIMENSION, ScrambledSobol, normals

# Fewer replicates make for more exact means, but their skewness is known too badly to be made up for.
REPLICATES = 32
# What a block of stored increments takes at most, where it has more than one path of each replicate.
STORED_BYTES = 2**27
# What is transformed at a time: little enough to stay in the processor's cache.
WORKING_BYTES = 2**22


@dataclass(frozen=True)
class TimeGrid:
    """``steps`` equal steps from ``t0`` to ``t1``."""

    t0: float
    t1: float
    steps: int

    def __post_init__(self) -> None:
        for name in ("t0", "t1"):
            object.__setattr__(self, name, arguments.real(name, getattr(self, name)))
        if not self.t0 < self.t1:
            raise ValueError(f"t0, t1: expected finite times with t0 < t1, got t0={self.t0}, t1={self.t1}")
        object.__setattr__(self, "steps", arguments.integer("steps", self.steps, 1))

    @property
    def dt(self) -> float:
        return (self.t1 - self.t0) / self.steps

    def time(self, i: int) -> float:
        """The time after i steps."""
        return self.t0 + (self.t1 - self.t0) * i / self.steps

    def coarsen(self, factor: int) -> TimeGrid:
        """The grid with every ``factor`` steps made one; ``ValueError`` where they do not divide."""
        factor = arguments.integer("factor", factor)
        if factor < 1 or self.steps % factor:
            raise ValueError(f"factor: expected a divisor of the grid's {self.steps} steps, got {factor}")
        return replace(self, steps=self.steps // factor)

    def index(self, t: float) -> int:
        """The number of steps to time t; ``ValueError`` where t is not on the grid."""
        t = arguments.real("t", t)
        i = round((t - self.t0) / self.dt)
        if not 0 <= i <= self.steps or abs(self.time(i) - t) > 1e-9 * max(1.0, abs(self.t1), abs(self.t0)):
            raise ValueError(
                f"t: expected a time on the grid from {self.t0:g} to {self.t1:g} in steps of {self.dt:g}, got {t:g}"
            )
        return i


class Increments(Protocol):
    """The increments of one block of paths: ``steps`` tensors of shape ``(paths, channels)``.

    ``weights`` ``(paths,)`` make up for a distribution that is not the increments' own; ``None`` where it is.
    """

    @property
    def steps(self) -> int: ...

    @property
    def paths(self) -> int: ...

    @property
    def channels(self) -> int: ...

    @property
    def weights(self) -> Tensor | None: ...

    def __iter__(self) -> Iterator[Tensor]: ...

    def coarsen(self, factor: int) -> Increments: ...


class StoredIncrements:
    """Increments held in one tensor ``(steps, paths, channels)``."""

    def __init__(self, values: Tensor, weights: Tensor | None = None) -> None:
        if values.ndim != 3:
            raise ValueError(f"values: expected shape (steps, paths, channels), got {tuple(values.shape)}")
        self.values, self.weights = values, weights
        self.steps, self.paths, self.channels = values.shape

    def __iter__(self) -> Iterator[Tensor]:
        return iter(self.values)

    def coarsen(self, factor: int) -> StoredIncrements:
        _check_factor(factor, self.steps)
        return StoredIncrements(self.values.unflatten(0, (-1, factor)).sum(1), self.weights)


@dataclass(frozen=True)
class StreamedIncrements:
    """Pseudo-random increments, drawn step by step and never stored; each pass draws the same ones.

    Each seed is a stream with ``per_stream`` paths, the second half of which has the first half's increments with the
    sign changed. Each step sums ``sum_of`` steps of the grid.
    """

    seeds: tuple[int, ...]
    per_stream: int
    channels: int
    grid: TimeGrid
    like: Tensor
    sum_of: int = 1
    weights: None = None

    @property
    def steps(self) -> int:
        return self.grid.steps // self.sum_of

    @property
    def paths(self) -> int:
        return len(self.seeds) * self.per_stream

    def __iter__(self) -> Iterator[Tensor]:
        generators = [torch.Generator().manual_seed(seed) for seed in self.seeds]
        scale = math.sqrt(self.grid.dt)
        shape = (self.per_stream // 2, self.channels)
        for _ in range(self.steps):
            parts = []
            for generator in generators:
                total = torch.zeros(shape, dtype=torch.float64)
                for _ in range(self.sum_of):
                    total += torch.randn(shape, generator=generator, dtype=torch.float64)
                parts += [total, -total]
            yield (scale * torch.cat(parts)).to(self.like)

    def coarsen(self, factor: int) -> StreamedIncrements:
        _check_factor(factor, self.steps)
        return replace(self, sum_of=self.sum_of * factor)


class Sampler(Protocol):
    """How paths are drawn: ``replicates`` independent units of ``per_replicate`` paths, ``paths`` in all.

    ``draw`` yields blocks with equally many paths of each of the given replicates, one replicate after the other.
    """

    seed: int
    paths: int
    replicates: int
    per_replicate: int
    block: int

    def draw(self, replicates: Sequence[int], channels: int, grid: TimeGrid, like: Tensor) -> Iterator[Increments]: ...


class MonteCarlo:
    """Plain Monte Carlo with antithetic pairs.

    Parameters
    ----------
    paths : at least 16. Rounded up to whole replicates of at most 512 paths each: 32 of them or more, one for each
        pair where there are fewer pairs.
    seed : one integer determines every path.
    block : paths that are walked together; a matter of speed and memory only.
    """

    def __init__(self, paths: int, seed: int, block: int = 2048) -> None:
        paths = arguments.integer("paths", paths)
        if not 16 <= paths <= 2**40:
            raise ValueError(f"paths: expected at least 16 (eight antithetic pairs), at most 2^40, got {paths}")
        self.seed, self.block = arguments.integer("seed", seed, 0), arguments.integer("block", block, 1)
        self.replicates = min(max(REPLICATES, math.ceil(paths / 512)), paths // 2)
        self.per_replicate = 2 * math.ceil(paths / self.replicates / 2)
        self.paths = self.replicates * self.per_replicate

    def draw(self, replicates: Sequence[int], channels: int, grid: TimeGrid, like: Tensor) -> Iterator[Increments]:
        seeds = tuple(_stream_seed(self.seed, r) for r in replicates)
        yield StreamedIncrements(seeds, self.per_replicate, channels, grid, like)


class QuasiMonteCarlo:
    """Randomized quasi-Monte Carlo: independently scrambled Sobol points, replicates for the error bar.

    A path's increments are an orthogonal transform of standard normals, ordered so that the first Sobol dimensions,
    the best ones, carry the most of the path: its principal components, or its Brownian bridge. Dimensions beyond
    Sobol's 21,201 are filled with pseudo-random numbers.

    A block of paths is stored, since the transform needs all of a path at once. A block takes at most 128 MiB, or one
    path of each of its replicates; while one block is walked, the next may already be there. Work grows like steps for
    "bridge" and like steps · log(steps) for "pca"; ``python -m benchmarks.samplers`` measures both.

    Parameters
    ----------
    paths : in all, at least 16; each replicate has a power of two, so the number is rounded up.
    seed : one integer determines every path.
    replicates : independent scrambles, at least 4. With 32 intervals cover what they say; with 16 the error is a third
        smaller on smooth losses, and intervals miss more often on skewed ones.
    ordering : "pca" or "bridge".
    widen : the first component of each channel is drawn ``widen`` times too wide, and weighted for it. A loss that
        grows like an exponential has most of its error in the last cell of each end; 1.3 to 1.5 puts that right with
        one or two channels. The weights' own spread spoils it with many.
    block : the most paths that are walked together; a matter of speed and memory only.
    """

    largest_dimension = MAX_DIMENSION

    def __init__(
        self,
        paths: int,
        seed: int,
        replicates: int = REPLICATES,
        ordering: Ordering = "bridge",
        widen: float = 1.0,
        block: int = 4096,
    ) -> None:
        paths, replicates = arguments.integer("paths", paths), arguments.integer("replicates", replicates)
        widen = arguments.real("widen", widen)
        if replicates < 4:
            raise ValueError(f"replicates: expected at least 4 independent scrambles, got {replicates}")
        arguments.choice("ordering", ordering, ORDERINGS)
        if paths < 16:
            raise ValueError(f"paths: expected at least 16, got {paths}")
        if not 1.0 <= widen < 4.0:
            raise ValueError(f"widen: expected a factor from 1 to 4, got {widen}")
        self.seed, self.replicates = arguments.integer("seed", seed, 0), replicates
        self.ordering, self.widen = ordering, widen
        self.per_replicate = 2 ** math.ceil(math.log2(max(1.0, paths / replicates)))
        if self.per_replicate > 2**30:
            raise ValueError(f"paths: expected at most {replicates * 2**30}, as Sobol points end there, got {paths}")
        self.paths = replicates * self.per_replicate
        self.block = arguments.integer("block", block, 1)

    def draw(self, replicates: Sequence[int], channels: int, grid: TimeGrid, like: Tensor) -> Iterator[Increments]:
        streams = [_stream_seed(self.seed, r) for r in replicates]
        dimension = grid.steps * channels
        covered = min(dimension, self.largest_dimension)
        engines = [ScrambledSobol(max(covered, 1), seed) for seed in streams]
        paddings = [torch.Generator().manual_seed(seed + 1) for seed in streams]

        def of_each(paths: int, bytes_each: int) -> int:
            """As many paths of each stream as fit, a power of two, at least one."""
            fit = min(paths, self.block, bytes_each // (8 * max(dimension, 1))) // len(streams)
            return 2 ** (max(1, min(fit, self.per_replicate)).bit_length() - 1)

        at_once = of_each(self.paths, STORED_BYTES)
        together = of_each(at_once * len(streams), WORKING_BYTES)
        for start in range(0, self.per_replicate, at_once):
            values = torch.empty(grid.steps, len(streams), at_once, channels, dtype=like.dtype)
            weights = torch.ones(len(streams), at_once, dtype=torch.float64) if self.widen > 1 else None
            for first in range(0, at_once, together):
                paths = slice(first, first + together)
                normal = [normals(engine.points(start + first, together))[:covered] for engine in engines]
                if covered < dimension:
                    # Quantiles of uniform numbers: torch.randn's values would depend on how many it draws at once.
                    for i, padding in enumerate(paddings):
                        rest = torch.rand(together, dimension - covered, generator=padding, dtype=torch.float64)
                        normal[i] = torch.cat([normal[i], torch.special.ndtri(rest.clamp_min(2.0**-54)).T])
                # Dimension i·channels + k is component i of channel k: all channels share the good dimensions.
                components = torch.stack(normal, 1).view(grid.steps, channels, len(streams), together)
                if weights is not None:
                    drawn = components[0]
                    density_ratio = torch.exp(0.5 * (1 - self.widen**2) * (drawn**2).sum(0))
                    weights[:, paths] = self.widen**channels * density_ratio
                    components[0] = self.widen * drawn
                unit = unit_increments(components, self.ordering)
                values[:, :, paths] = (math.sqrt(grid.dt) * unit).movedim(1, -1)
            yield StoredIncrements(
                values.flatten(1, 2).to(like), None if weights is None else weights.flatten().to(like)
            )


def _stream_seed(seed: int, replicate: int) -> int:
    return int(np.random.SeedSequence([seed, replicate]).generate_state(1, np.uint32)[0])


def _check_factor(factor: int, steps: int) -> None:
    if factor < 1 or steps % factor:
        raise ValueError(f"factor: expected a divisor of {steps} steps, got {factor}")
