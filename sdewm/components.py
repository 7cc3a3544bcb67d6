"""From independent components to the increments of a Brownian path, the most important component first.

Both orderings are orthogonal transforms: independent standard normals come out as independent standard normals.
"""

from __future__ import annotations

import functools
import math
from typing import Literal

import scipy.fft
import torch
from torch import Tensor

Ordering = Literal["pca", "bridge"]
ORDERINGS: tuple[str, ...] = ("pca", "bridge")


def unit_increments(components: Tensor, ordering: Ordering) -> Tensor:
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
    """Level by level: a stretch of a + b steps with sum s has s a/(a+b) + √(ab/(a+b)) z in its first a steps."""
    steps = len(components)
    sums, used = math.sqrt(steps) * components[:1], 1
    for lengths in _stretches(steps):
        first = (lengths // 2).double()
        share = (first / lengths).view(-1, *[1] * (sums.ndim - 1))
        spread = (first * (lengths - first) / lengths).sqrt().view_as(share)
        divided = lengths > 1
        if bool(divided.all()):
            left = torch.addcmul(share * sums, spread, components[used : used + len(lengths)])
            sums = torch.stack([left, sums - left], 1).flatten(0, 1)
        else:
            # The last level: stretches of two steps are divided and those of one are done.
            whole = sums[divided]
            left = torch.addcmul(share[divided] * whole, spread[divided], components[used:])
            start = lengths.cumsum(0) - lengths
            done = torch.empty_like(components)
            done[start[~divided]] = sums[~divided]
            done[start[divided]] = left
            done[start[divided] + 1] = whole - left
            sums = done
        used += len(lengths)
    return sums


@functools.lru_cache(maxsize=16)
def _stretches(steps: int) -> tuple[Tensor, ...]:
    """The lengths of the stretches at each level that has one to divide, in the order of time."""
    levels, lengths = [], torch.tensor([steps], dtype=torch.int64)
    while int(lengths.max()) > 1:
        levels.append(lengths)
        lengths = torch.stack([lengths // 2, lengths - lengths // 2], 1).flatten()
    return tuple(levels)
