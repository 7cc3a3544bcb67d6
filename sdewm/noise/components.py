"""From independent components to the increments of a Brownian path, the most important component first.

Both orderings are orthogonal transforms: independent standard normals come out as independent standard normals. The
bridge can also be had stretch by stretch of time, each from its sum and its own components: see :class:`Stretch`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import scipy
import torch
from jaxtyping import Float, Int
from torch import Tensor

Ordering = Literal["pca", "bridge"]
ORDERINGS: tuple[str, ...] = ("pca", "bridge")


def unit_increments(components: Float[Tensor, "steps ..."], ordering: Ordering) -> Float[Tensor, "steps ..."]:
    """The increments ``(steps, …)``, of variance 1, of paths with the given components ``(steps, …)``, float64.

    "pca": principal components, the largest variance first; n log n operations for n steps. "bridge": the end point,
    then the middle given the ends, then the middles of the halves, and so on; n operations.
    """
    return _from_principal(components) if ordering == "pca" else _from_bridge(components)


def _from_principal(components: Tensor) -> Tensor:
    """Σ_k 2/√(2n+1) cos(π (2k−1)(2i−1)/(2(2n+1))) z_k: every other term of a cosine transform of length 2n + 1.

    The path's principal components are sines of frequency (k − ½)π/(n + ½) (Åkesson & Lehoczky 1998); their
    differences, of unit length, are these cosines.
    """
    n = len(components)
    transformed = scipy.fft.dct(components.numpy(), type=2, n=2 * n + 1, axis=0)
    return torch.from_numpy(transformed[1 : 2 * n : 2]) / math.sqrt(2 * n + 1)


def _from_bridge(components: Tensor) -> Tensor:
    steps = len(components)
    return _divide(math.sqrt(steps) * components[:1], components[1:], steps, _depth(steps))


def _divide(sums: Tensor, components: Tensor, steps: int, levels: int) -> Tensor:
    """The sums of the stretches that ``levels`` of divisions make of ``steps`` steps with the sum ``sums``, ``(1, …)``.

    A stretch of a + b steps with sum s has s a/(a+b) + √(ab/(a+b)) z in its first a steps.
    """
    used = 0
    for lengths in _stretches(steps, levels):
        first = (lengths // 2).double()
        share = (first / lengths).view(-1, *[1] * (sums.ndim - 1))
        spread = (first * (lengths - first) / lengths).sqrt().view_as(share)
        divided = lengths > 1
        count = int(divided.sum())
        own = components[used : used + count]
        if count == len(lengths):
            left = torch.addcmul(share * sums, spread, own)
            sums = torch.stack([left, sums - left], 1).flatten(0, 1)
        else:
            # The last level: stretches of two steps are divided and those of one are done.
            whole = sums[divided]
            left = torch.addcmul(share[divided] * whole, spread[divided], own)
            start = lengths.cumsum(0) - lengths
            done = sums.new_empty(steps, *sums.shape[1:])
            done[start[~divided]] = sums[~divided]
            done[start[divided]] = left
            done[start[divided] + 1] = whole - left
            sums = done
        used += count
    return sums


@dataclass(frozen=True)
class Stretch:
    """A stretch of time in the bridge over ``steps`` steps: ``length`` of them from ``start`` on.

    It is number ``number`` at level ``level``, which has 2^level stretches; level 0 is all of the time.
    """

    steps: int
    length: int
    level: int = 0
    number: int = 0
    start: int = 0

    def increments(
        self,
        components: Callable[[Int[Tensor, " numbers"]], Float[Tensor, "numbers ..."]],
        at_once: int,
        total: Float[Tensor, "1 ..."] | None = None,
    ) -> Iterator[Float[Tensor, "_ ..."]]:
        """Unit increments ``(some steps, …)``, ``at_once`` or fewer at a time, in the order of time.

        ``components`` has those of the given numbers, ``(numbers, …)``. They are asked for when time comes to the
        stretch that they divide, so that at_once · log(steps)/log(at_once) numbers a path are held. ``total`` is the
        stretch's sum ``(1, …)``, by default that of component 0.
        """
        if total is None:
            total = math.sqrt(self.steps) * components(torch.zeros(1, dtype=torch.int64))
        if self.length <= at_once:
            yield self._divide(components, total, _depth(self.length))
            return
        # Down to parts that are made at once, in as few goes as may be and evenly spread over them.
        down, most = ((self.length - 1) // at_once).bit_length(), at_once.bit_length() - 1
        levels = math.ceil(down / math.ceil(down / most))
        sums = self._divide(components, total, levels)
        for part, of_part in zip(self._parts(levels), sums.split(1), strict=True):
            yield from part.increments(components, at_once, of_part)

    def _divide(self, components: Callable[[Tensor], Tensor], total: Tensor, levels: int) -> Tensor:
        return _divide(total, components(self._components(levels)), self.length, levels)

    def _components(self, levels: int) -> Tensor:
        """The numbers of the components that divide it ``levels`` times, in the order that they are used in."""
        numbers = [torch.zeros(0, dtype=torch.int64)]
        for deeper, lengths in enumerate(_stretches(self.length, levels)):
            level, number = self.level + deeper, self.number << deeper
            # At the last level, where stretches have one step or two, those of one are not counted.
            before = number if self.steps >> level > 1 else self.start - number
            first = 2**level + before
            numbers.append(torch.arange(first, first + int((lengths > 1).sum())))
        return torch.cat(numbers)

    def _parts(self, levels: int) -> Iterator[Stretch]:
        start = self.start
        for i, length in enumerate(_lengths(self.length, levels).tolist()):
            yield Stretch(self.steps, length, self.level + levels, (self.number << levels) + i, start)
            start += length


def _depth(steps: int) -> int:
    """How often one can divide."""
    return (steps - 1).bit_length()


@functools.lru_cache(maxsize=16)
def _stretches(steps: int, levels: int) -> tuple[Tensor, ...]:
    """The lengths of the stretches at the first ``levels`` levels, in the order of time."""
    return tuple(_lengths(steps, level) for level in range(levels))


def _lengths(steps: int, level: int) -> Tensor:
    lengths = torch.tensor([steps], dtype=torch.int64)
    for _ in range(level):
        lengths = torch.stack([lengths // 2, lengths - lengths // 2], 1).flatten()
    return lengths
