"""How paths are drawn: where the randomness of a run comes from.

A *replicate* is an independent unit of sampling with a random stream of its own, fixed by (seed, replicate). Blocks of
paths are cut out of replicates, so that the same paths are drawn however the work is chunked; means by other blocks
agree to the rounding of their sums.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from sdewm import arguments
from sdewm.noise.components import ORDERINGS, Ordering, unit_increments
from sdewm.noise.grid import TimeGrid
from sdewm.noise.increments import (
    WORKING_BYTES,
    BridgeIncrements,
    CountedIncrements,
    Increments,
    StoredIncrements,
    StreamedIncrements,
)
from sdewm.noise.sobol import MAX_DIMENSION, ScrambledSobol, normals, pseudo_random_normals

# Fewer replicates make for more exact means, but their skewness is known too badly to be made up for.
REPLICATES = 32
# What a block of stored increments takes at most, where it has more than one path of each replicate.
STORED_BYTES = 2**27


class Sampler(Protocol):
    """How paths are drawn: ``replicates`` independent units of ``per_replicate`` paths, ``paths`` in all.

    ``draw`` yields blocks with equally many paths of each of the ``chosen`` replicates, one replicate after the other.
    """

    @property
    def seed(self) -> int: ...

    @property
    def paths(self) -> int: ...

    @property
    def replicates(self) -> int: ...

    @property
    def per_replicate(self) -> int: ...

    @property
    def block(self) -> int: ...

    def draw(
        self, chosen: Sequence[int], channels: int, grid: TimeGrid, like: Float[Tensor, "..."]
    ) -> Iterator[Increments]: ...


class _PseudoRandom:
    """Whole replicates of ``smallest`` to 512 paths: 32 replicates or more, fewer where there are fewer paths."""

    smallest = 1

    def __init__(self, paths: int, seed: int, block: int = 2048) -> None:
        paths = arguments.integer("paths", paths)
        if not 16 <= paths <= 2**40:
            raise ValueError(f"paths: expected at least 16, at most 2^40, got {paths}")
        self.seed, self.block = arguments.integer("seed", seed, 0), arguments.integer("block", block, 1)
        self.replicates = min(max(REPLICATES, math.ceil(paths / 512)), paths // self.smallest)
        self.per_replicate = self.smallest * math.ceil(paths / self.replicates / self.smallest)
        self.paths = self.replicates * self.per_replicate

    def draw(
        self, chosen: Sequence[int], channels: int, grid: TimeGrid, like: Float[Tensor, "..."]
    ) -> Iterator[Increments]:
        """One block with all paths of the ``chosen`` replicates."""
        seeds = tuple(_stream_seed(self.seed, r) for r in chosen)
        yield StreamedIncrements(seeds, self.per_replicate, channels, grid, like, mirrored=self.smallest == 2)


class MonteCarlo(_PseudoRandom):
    """Plain Monte Carlo: independent paths.

    Parameters
    ----------
    paths : at least 16. Rounded up to whole replicates of at most 512 paths each: 32 of them or more, of one path each
        where there are fewer paths.
    seed : one integer determines every path.
    block : paths that are walked together; a matter of speed and memory only.

    >>> expansion = expand(family, loss, x0, grid, sampler=MonteCarlo(2**14, seed=0))
    """


class AntitheticMonteCarlo(_PseudoRandom):
    """Monte Carlo in antithetic pairs: every path has a mirror image, whose increments have the other sign.

    Averages of what is odd in the noise are exact, to rounding, and those of what is even are as good as with half the
    paths. In general pairs multiply the variance by 1 + ρ, where ρ is the correlation within a pair: between 0 and 2.
    ``python -m benchmarks.antithetic_pairs`` measures this factor on ten systems, in results/antithetic_pairs.json:

    - the mean loss: 0.05 to 0.28 on six of them, 0.68 on one, and 1.00 to 1.32 on three, whose losses turn or explode;
    - the first coefficient: 0.10 to 0.80 on seven, 0.97 to 1.29 on three;
    - the second coefficient: 0.04 to 1.67, of which the term S, even in nearly all, has 0.78 to 2.00.

    Take it for mean losses and first coefficients, and :class:`MonteCarlo` for second ones. A pair is what is
    independent: replicates are made of whole pairs, and flags count pairs.

    Parameters
    ----------
    paths : at least 16. Rounded up to whole replicates of at most 512 paths each: 32 of them or more, of one pair each
        where there are fewer pairs.
    seed : one integer determines every path.
    block : paths that are walked together; a matter of speed and memory only.

    >>> expansion = expand(family, loss, x0, grid, sampler=AntitheticMonteCarlo(2**14, seed=0))
    """

    smallest = 2


class CounterMonteCarlo(_PseudoRandom):
    """Plain Monte Carlo from a counter-based generator: independent paths, drawn ten times faster.

    An increment is a function of the seed, its replicate, path, channel and step: Threefry-2x64 with 20 rounds, and Box
    and Muller's transform. Where there is a C compiler, it takes a tenth of torch's time, else twice as much as torch;
    the numbers are the same to rounding. Take it for the many paths of compiled walks, where drawing is half the work.

    Parameters
    ----------
    paths : at least 16. Rounded up to whole replicates of at most 512 paths each: 32 of them or more, of one path each
        where there are fewer paths.
    seed : one integer below 2^64 determines every path.
    block : paths that are walked together; a matter of speed and memory only.

    >>> expand(family, loss, x0, grid, sampler=CounterMonteCarlo(2**20, seed=0)).sample.paths
    1048576
    """

    def __init__(self, paths: int, seed: int, block: int = 2048) -> None:
        super().__init__(paths, seed, block)
        if self.seed >= 2**64:
            raise ValueError(f"seed: expected an integer below 2^64, got {seed}")

    def draw(
        self, chosen: Sequence[int], channels: int, grid: TimeGrid, like: Float[Tensor, "..."]
    ) -> Iterator[CountedIncrements]:
        """One block with all paths of the ``chosen`` replicates."""
        yield CountedIncrements(self.seed, tuple(chosen), self.per_replicate, channels, grid, like)


class QuasiMonteCarlo:
    """Randomized quasi-Monte Carlo: independently scrambled Sobol points, replicates for the error bar.

    A path's increments are an orthogonal transform of standard normals, ordered so that the first Sobol dimensions,
    the best ones, carry the most of the path: its principal components, or its Brownian bridge. Dimensions beyond
    Sobol's 21,201 are filled with pseudo-random numbers.

    A block of paths is stored where it takes 128 MiB at most. Beyond that paths by "bridge" are made stretch by stretch
    of time, anew in each pass and the same to the last bit, in memory that hardly grows with the steps. "pca" needs all
    of a path at once: its blocks are cut to 128 MiB, or to one path of each of its replicates, and while one is walked
    the next may already be there; take "bridge" for long paths. Work grows like steps for "bridge" and like
    steps · log(steps) for "pca"; ``python -m benchmarks.samplers`` measures both.

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

    >>> expand(family, loss, x0, grid, sampler=QuasiMonteCarlo(2**12, seed=1)).sample.paths
    4096
    """

    largest_dimension = MAX_DIMENSION
    stored_bytes = STORED_BYTES

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

    def draw(
        self, chosen: Sequence[int], channels: int, grid: TimeGrid, like: Float[Tensor, "..."]
    ) -> Iterator[Increments]:
        components = _Components(self, chosen, channels, grid.steps)
        streams = len(chosen)
        bytes_each = 8 * max(grid.steps * channels, 1)

        def of_each(paths: int) -> int:
            """As many paths of each stream as fit, a power of two, at least one."""
            return 2 ** (max(1, min(paths // streams, self.per_replicate)).bit_length() - 1)

        at_once = of_each(self.block)
        streamed = self.ordering == "bridge" and at_once * streams * bytes_each > self.stored_bytes
        if not streamed:
            at_once = of_each(min(self.block, self.stored_bytes // bytes_each))
        for start in range(0, self.per_replicate, at_once):
            weights = components.weights(start, at_once).to(like) if self.widen > 1 else None
            if streamed:
                of_block = functools.partial(components, first=start, count=at_once)
                yield BridgeIncrements(of_block, streams * at_once, channels, grid, like, weights)
            else:
                yield StoredIncrements(self._stored(components, start, at_once, grid, like), weights)

    def _stored(self, components: _Components, start: int, count: int, grid: TimeGrid, like: Tensor) -> Tensor:
        """Paths ``start`` to ``start + count − 1`` of each stream, ``(steps, streams · count, channels)``."""
        streams, channels = components.streams, components.channels
        values = torch.empty(grid.steps, streams, count, channels, dtype=like.dtype)
        fit = WORKING_BYTES // (8 * max(grid.steps * channels, 1)) // streams
        together = 2 ** (max(1, min(fit, count)).bit_length() - 1)
        numbers = torch.arange(grid.steps)
        for first in range(0, count, together):
            unit = unit_increments(components(numbers, start + first, together), self.ordering)
            values[:, :, first : first + together] = (math.sqrt(grid.dt) * unit).movedim(1, -1)
        return values.flatten(1, 2).to(like)


class _Components:
    """Independent standard normals of each stream's points: Sobol's, and pseudo-random ones beyond.

    Component i of channel k is dimension i · channels + k: all channels share the good dimensions.
    """

    def __init__(self, sampler: QuasiMonteCarlo, chosen: Sequence[int], channels: int, steps: int) -> None:
        self.channels, self.streams, self.widen = channels, len(chosen), sampler.widen
        self.covered = min(steps * channels, sampler.largest_dimension)
        bits = sampler.per_replicate.bit_length() - 1
        seeds = [_stream_seed(sampler.seed, r) for r in chosen]
        self._sobol = [ScrambledSobol(max(self.covered, 1), seed, bits) for seed in seeds]
        self._keys = [_padding_key(sampler.seed, r) for r in chosen]

    def __call__(self, numbers: Tensor, first: int, count: int) -> Tensor:
        """Those of the given ``numbers``, in ascending order, at points ``first`` to ``first + count − 1``,
        ``(numbers, channels, streams, count)``."""
        found = self._drawn(numbers, first, count)
        if self.widen > 1 and len(numbers) and numbers[0] == 0:
            found[0] *= self.widen
        return found

    def weights(self, first: int, count: int) -> Tensor:
        """The density that component 0 should have over the one that it has, ``(streams · count,)``."""
        drawn = self._drawn(torch.zeros(1, dtype=torch.int64), first, count)[0]
        return (self.widen**self.channels * torch.exp(0.5 * (1 - self.widen**2) * (drawn**2).sum(0))).flatten()

    def _drawn(self, numbers: Tensor, first: int, count: int) -> Tensor:
        dimensions = (numbers[:, None] * self.channels + torch.arange(self.channels)).flatten()
        sobol = int((dimensions < self.covered).sum())
        out = torch.empty(len(dimensions), self.streams, count, dtype=torch.float64)
        for i, (stream, key) in enumerate(zip(self._sobol, self._keys, strict=True)):
            # All of them are there in their own order, and need not be looked up.
            which = None if sobol == self.covered else dimensions[:sobol]
            out[:sobol, i] = normals(stream.points(first, count, which)[:sobol])
            if sobol < len(dimensions):
                out[sobol:, i] = pseudo_random_normals(key, first, count, dimensions[sobol:])
        return out.view(len(numbers), self.channels, self.streams, count)


def _stream_seed(seed: int, replicate: int) -> int:
    return int(np.random.SeedSequence([seed, replicate]).generate_state(1, np.uint32)[0])


def _padding_key(seed: int, replicate: int) -> int:
    return int(np.random.SeedSequence([seed, replicate, 1]).generate_state(1, np.uint64)[0])
