"""Brownian increments: where the randomness of a run comes from, block by block of paths.

A *replicate* is an independent unit of sampling with a random stream of its own, fixed by (seed, replicate). Blocks of
paths are cut out of replicates, so no number depends on how the work is chunked. Increments can be iterated over as
often as needed and give the same values each time, and ``coarsen(k)`` gives the same paths on a grid k times coarser.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol

import numpy as np
import torch
from torch import Tensor

Ordering = Literal["pca", "bridge"]
ORDERINGS: tuple[str, ...] = ("pca", "bridge")
# Fewer replicates make for more exact means, but their skewness is known too badly to be made up for.
REPLICATES = 32


@dataclass(frozen=True)
class TimeGrid:
    """``steps`` equal steps from ``t0`` to ``t1``."""

    t0: float
    t1: float
    steps: int

    def __post_init__(self) -> None:
        if not (math.isfinite(self.t0) and math.isfinite(self.t1) and self.t1 > self.t0):
            raise ValueError(f"t0, t1: expected finite times with t0 < t1, got t0={self.t0}, t1={self.t1}")
        if not isinstance(self.steps, int) or self.steps < 1:
            raise ValueError(f"steps: expected a positive integer, got {self.steps!r}")

    @property
    def dt(self) -> float:
        return (self.t1 - self.t0) / self.steps

    def time(self, i: int) -> float:
        """The time after i steps."""
        return self.t0 + (self.t1 - self.t0) * i / self.steps

    def coarsen(self, factor: int) -> TimeGrid:
        """The grid with every ``factor`` steps made one; ``ValueError`` where they do not divide."""
        if factor < 1 or self.steps % factor:
            raise ValueError(f"factor: expected a divisor of the grid's {self.steps} steps, got {factor}")
        return replace(self, steps=self.steps // factor)

    def index(self, t: float) -> int:
        """The number of steps to time t; ``ValueError`` where t is not on the grid."""
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
        if paths < 16:
            raise ValueError(f"paths: expected at least 16 (eight antithetic pairs), got {paths}")
        self.seed, self.block = seed, block
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
    block : paths that are walked together; a matter of speed and memory only.
    """

    largest_dimension = torch.quasirandom.SobolEngine.MAXDIM

    def __init__(
        self,
        paths: int,
        seed: int,
        replicates: int = REPLICATES,
        ordering: Ordering = "bridge",
        widen: float = 1.0,
        block: int = 4096,
    ) -> None:
        if replicates < 4:
            raise ValueError(f"replicates: expected at least 4 independent scrambles, got {replicates}")
        if ordering not in ORDERINGS:
            raise ValueError(f"ordering: expected one of {ORDERINGS}, got {ordering!r}")
        if paths < 16:
            raise ValueError(f"paths: expected at least 16, got {paths}")
        if not 1.0 <= widen < 4.0:
            raise ValueError(f"widen: expected a factor from 1 to 4, got {widen}")
        self.seed, self.replicates, self.ordering, self.widen = seed, replicates, ordering, widen
        self.per_replicate = 2 ** math.ceil(math.log2(max(1.0, paths / replicates)))
        self.paths = replicates * self.per_replicate
        self.block = block

    def draw(self, replicates: Sequence[int], channels: int, grid: TimeGrid, like: Tensor) -> Iterator[Increments]:
        streams = [_stream_seed(self.seed, r) for r in replicates]
        dimension = grid.steps * channels
        covered = min(dimension, self.largest_dimension)
        engines = [torch.quasirandom.SobolEngine(max(covered, 1), scramble=True, seed=s) for s in streams]
        paddings = [torch.Generator().manual_seed(s + 1) for s in streams]
        basis = math.sqrt(grid.dt) * path_basis(grid.steps, self.ordering)
        at_once = 2 ** int(math.log2(max(1, min(self.per_replicate, self.block // len(streams)))))
        for _ in range(self.per_replicate // at_once):
            parts = []
            for engine, padding in zip(engines, paddings, strict=True):
                # The engine's points are multiples of 2^-30; half a cell keeps them off 0, whose quantile is infinite.
                normal = torch.special.ndtri(engine.draw(at_once, dtype=torch.float64) + 2.0**-31)[:, :covered]
                if covered < dimension:
                    # Quantiles of uniform numbers: torch.randn's values would depend on how many it draws at once.
                    rest = torch.rand(at_once, dimension - covered, generator=padding, dtype=torch.float64)
                    normal = torch.cat([normal, torch.special.ndtri(rest.clamp_min(2.0**-54))], 1)
                parts.append(normal)
            # Dimension i·channels + k is component i of channel k: all channels share the good dimensions.
            components = torch.cat(parts).view(-1, grid.steps, channels)
            weights = None
            if self.widen > 1:
                drawn = components[:, 0]
                density_ratio = torch.exp(0.5 * (1 - self.widen**2) * (drawn**2).sum(-1))
                weights = (self.widen**channels * density_ratio).to(like)
                components[:, 0] = self.widen * drawn
            yield StoredIncrements(torch.einsum("sc,pck->spk", basis, components).to(like), weights)


@functools.lru_cache(maxsize=16)
def path_basis(steps: int, ordering: Ordering) -> Tensor:
    """An orthogonal matrix ``(steps, steps)``: its columns are a Brownian path's unit increments, component by
    component, in the given ordering (the largest principal component, or the coarsest bridge level, first)."""
    if ordering == "pca":
        times = np.arange(1, steps + 1) / steps
        eigenvalues, vectors = np.linalg.eigh(np.minimum.outer(times, times))
        columns = vectors[:, ::-1] * np.sqrt(np.maximum(eigenvalues[::-1], 0.0) * steps)
        increments = np.diff(columns, axis=0, prepend=0.0)
        # Rounding in the smallest eigenvalues is amplified by the difference; the nearest orthogonal matrix mends it.
        left, _, right = np.linalg.svd(increments)
        return torch.from_numpy(np.ascontiguousarray(left @ right))
    columns_list = [np.full(steps, 1 / math.sqrt(steps))]
    level = [(0, steps)]
    while level:
        deeper = []
        for start, stop in level:
            if stop - start < 2:
                continue
            middle = (start + stop) // 2
            a, b = middle - start, stop - middle
            column = np.zeros(steps)
            column[start:middle] = math.sqrt(b / (a * (a + b)))
            column[middle:stop] = -math.sqrt(a / (b * (a + b)))
            columns_list.append(column)
            deeper += [(start, middle), (middle, stop)]
        level = deeper
    return torch.from_numpy(np.stack(columns_list, 1))


def _stream_seed(seed: int, replicate: int) -> int:
    return int(np.random.SeedSequence([seed, replicate]).generate_state(1, np.uint32)[0])


def _check_factor(factor: int, steps: int) -> None:
    if factor < 1 or steps % factor:
        raise ValueError(f"factor: expected a divisor of {steps} steps, got {factor}")
