"""Brownian increments, block by block of paths.

Increments can be iterated over as often as needed and give the same values each time, and ``coarsen(k)`` gives the
same paths on a grid k times coarser.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol, cast, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sdewm import arguments
from sdewm.kernels import counted_normals
from sdewm.noise.components import Stretch
from sdewm.noise.grid import TimeGrid, check_factor

# What is made or transformed at a time: little enough to stay in the processor's cache.
WORKING_BYTES = 2**22


@runtime_checkable
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
    def weights(self) -> Float[Tensor, " paths"] | None: ...

    def __iter__(self) -> Iterator[Float[Tensor, "paths channels"]]: ...

    def coarsen(self, factor: int) -> Increments: ...


class StoredIncrements:
    """Increments held in one tensor ``(steps, paths, channels)``."""

    def __init__(
        self, values: Float[Tensor, "steps paths channels"], weights: Float[Tensor, " paths"] | None = None
    ) -> None:
        for name, value in (("values", values), ("weights", weights)):
            if not isinstance(value, Tensor) and not (name == "weights" and value is None):
                raise TypeError(f"{name}: expected a tensor, got {arguments.shown(value)}")
        if values.ndim != 3:
            raise ValueError(f"values: expected shape (steps, paths, channels), got {tuple(values.shape)}")
        if weights is not None and weights.shape != values.shape[1:2]:
            raise ValueError(f"weights: expected shape ({values.shape[1]},), got {tuple(weights.shape)}")
        self.values, self.weights = values, weights
        self.steps, self.paths, self.channels = values.shape

    def __iter__(self) -> Iterator[Float[Tensor, "paths channels"]]:
        return iter(self.values)

    def coarsen(self, factor: int) -> StoredIncrements:
        check_factor(factor, self.steps)
        return StoredIncrements(self.values.unflatten(0, (-1, factor)).sum(1), self.weights)


def as_increments(noise: Increments | Float[Tensor, "steps paths channels"]) -> Increments:
    """Increments as an object: a tensor, or what numpy makes an array of, ``(steps, paths, m)``, is stored."""
    if all(hasattr(noise, name) for name in ("steps", "paths", "channels", "coarsen", "__iter__")):
        return cast(Increments, noise)
    return StoredIncrements(arguments.tensor("noise", noise))


@dataclass(frozen=True)
class StreamedIncrements:
    """Pseudo-random increments, drawn step by step and never stored; each pass draws the same ones.

    Each seed is a stream with ``per_stream`` paths. Where ``mirrored``, the second half of them has the first half's
    increments with the sign changed. Each step sums ``sum_of`` steps of the grid.
    """

    seeds: tuple[int, ...]
    per_stream: int
    channels: int
    grid: TimeGrid
    like: Float[Tensor, "..."]
    sum_of: int = 1
    mirrored: bool = False
    weights: None = None

    @property
    def steps(self) -> int:
        return self.grid.steps // self.sum_of

    @property
    def paths(self) -> int:
        return len(self.seeds) * self.per_stream

    def __iter__(self) -> Iterator[Float[Tensor, "paths channels"]]:
        generators = [torch.Generator().manual_seed(seed) for seed in self.seeds]
        scale = math.sqrt(self.grid.dt)
        shape = (self.per_stream // 2 if self.mirrored else self.per_stream, self.channels)
        for _ in range(self.steps):
            parts = []
            for generator in generators:
                total = torch.zeros(shape, dtype=torch.float64)
                for _ in range(self.sum_of):
                    total += torch.randn(shape, generator=generator, dtype=torch.float64)
                parts += [total, -total] if self.mirrored else [total]
            yield (scale * torch.cat(parts)).to(self.like)

    def coarsen(self, factor: int) -> StreamedIncrements:
        check_factor(factor, self.steps)
        return replace(self, sum_of=self.sum_of * factor)


@dataclass(frozen=True)
class CountedIncrements:
    """Increments that are a function of where they stand, drawn stretch by stretch of time and never stored whole.

    ``seed`` and the numbers of the ``streams`` are words of 64 bits; each stream has ``per_stream`` paths. Each step
    sums ``sum_of`` steps of the grid.
    """

    seed: int
    streams: tuple[int, ...]
    per_stream: int
    channels: int
    grid: TimeGrid
    like: Float[Tensor, "..."]
    sum_of: int = 1
    weights: None = None

    @property
    def steps(self) -> int:
        return self.grid.steps // self.sum_of

    @property
    def paths(self) -> int:
        return len(self.streams) * self.per_stream

    def __iter__(self) -> Iterator[Float[Tensor, "paths channels"]]:
        scale, count = math.sqrt(self.grid.dt), self.per_stream * self.channels
        width = max(1, WORKING_BYTES // (8 * len(self.streams) * max(1, count) * self.sum_of))
        for first in range(0, self.steps, width):
            steps = min(width, self.steps - first)
            drawn = counted_normals(
                self.seed, self.streams, count, first * self.sum_of, steps * self.sum_of, scale
            ).reshape(steps, self.sum_of, self.paths, self.channels)
            yield from (drawn.sum(1) if self.sum_of > 1 else drawn[:, 0]).to(self.like)

    def coarsen(self, factor: int) -> CountedIncrements:
        check_factor(factor, self.steps)
        return replace(self, sum_of=self.sum_of * factor)


@dataclass(frozen=True, eq=False)
class BridgeIncrements:
    """Brownian bridges made stretch by stretch of time and never stored whole; each pass makes the same ones.

    ``components`` has the bridge's components of the given numbers, ``(numbers, channels, streams, paths)``, and is
    asked for each of them once in a pass. Each step sums ``sum_of`` steps of the grid, which costs as much as they do.
    Memory grows like paths · channels · log(steps), from some 4 MiB on.
    """

    components: Callable[[Int[Tensor, " numbers"]], Float[Tensor, "numbers channels streams count"]]
    paths: int
    channels: int
    grid: TimeGrid
    like: Float[Tensor, "..."]
    weights: Float[Tensor, " paths"] | None = None
    sum_of: int = 1

    @property
    def steps(self) -> int:
        return self.grid.steps // self.sum_of

    def __iter__(self) -> Iterator[Float[Tensor, "paths channels"]]:
        at_once = max(2, WORKING_BYTES // (8 * self.channels * self.paths))
        total: Tensor | None = None
        summed = 0
        for unit in Stretch(self.grid.steps, self.grid.steps).increments(self.components, at_once):
            for dB in (math.sqrt(self.grid.dt) * unit).movedim(1, -1).flatten(1, 2):
                total = dB if total is None else total + dB
                summed += 1
                if summed % self.sum_of == 0:
                    yield total.to(self.like)
                    total = None

    def coarsen(self, factor: int) -> BridgeIncrements:
        check_factor(factor, self.steps)
        return replace(self, sum_of=self.sum_of * factor)
