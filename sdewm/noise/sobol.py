"""Scrambled Sobol points: any aligned block of them, in any dimensions, and the normal numbers that they stand for.

Direction numbers are torch's (Joe & Kuo 2008). They are scrambled and combined here: torch's own first point is rounded
to the default dtype, and then may be 1; and its scramble draws thirty numbers for one that is needed.

There are no more than 21,201 dimensions. Beyond them numbers are pseudo-random, a function of the stream, the dimension
and the number of the point (SplitMix64, Steele, Lea & Flood 2014), so that they too can be had in any order.
"""

from __future__ import annotations

import functools

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

BITS = torch.quasirandom.SobolEngine.MAXBIT
MAX_DIMENSION = torch.quasirandom.SobolEngine.MAXDIM


class ScrambledSobol:
    """The first 2^bits points in ``dimension`` dimensions; ``seed`` determines the scramble.

    Matoušek's (1998): in each dimension, digit i of a point becomes itself plus a random combination of the digits
    before it, and a random digit is added to each. Each point is uniform, and the net stays one. What is kept takes
    4 (bits + 1) bytes a dimension.
    """

    def __init__(self, dimension: int, seed: int, bits: int = BITS) -> None:
        plain = _direction_numbers(dimension)[:, :bits]
        generator = torch.Generator().manual_seed(seed)
        # As many for few points as for all, so that the first points do not depend on how many there are.
        random = torch.randint(2**BITS, (BITS + 1, dimension), generator=generator, dtype=torch.int32)
        self._shift = random[BITS].clone()
        self._directions = torch.zeros_like(plain)
        for bit in range(BITS):
            becomes = (random[bit] & (2**bit - 1)) | 2**bit
            self._directions ^= (plain >> bit & 1) * becomes[:, None]

    def points(
        self, first: int, count: int, dimensions: Int[Tensor, " dimensions"] | None = None
    ) -> Int[Tensor, "dimensions count"]:
        """Points ``first`` to ``first + count − 1``, in integers from 0 to 2^30 − 1, ``(dimensions, count)``.

        ``count`` is a power of two that divides ``first``; ``dimensions`` are numbers from 0 on, ``None`` for all.
        """
        if count < 1 or count & (count - 1) or first % count:
            raise ValueError(f"count: expected a power of two that divides first = {first}, got {count}")
        shift, directions = self._shift, self._directions
        if not 0 <= first <= first + count <= 2 ** directions.shape[1]:
            raise ValueError(f"first, count: expected points below {2 ** directions.shape[1]}, got {first}, {count}")
        if dimensions is not None:
            shift, directions = shift[dimensions], directions[dimensions]
        out = torch.empty(len(shift), count, dtype=torch.int32)
        out[:, 0] = shift
        gray = first ^ (first >> 1)
        for bit in range(gray.bit_length()):
            if gray >> bit & 1:
                out[:, 0] ^= directions[:, bit]
        # Points come in the order of the Gray code, whose second half is the first one backwards with one more bit.
        for bit in range(count.bit_length() - 1):
            half = 2**bit
            out[:, half : 2 * half] = out[:, :half].flip(1) ^ directions[:, bit : bit + 1]
        return out


@functools.lru_cache(maxsize=4)
def _direction_numbers(dimension: int) -> Tensor:
    """Kept, since making them takes longer than scrambling them, which every stream does."""
    return torch.quasirandom.SobolEngine(dimension).sobolstate.int()


def normals(points: Int[Tensor, "..."]) -> Float[Tensor, "..."]:
    """Standard normal numbers, float64, at the middle of each point's cell of length 2^-30: finite for all of them."""
    return torch.special.ndtri((points.double() + 0.5) * 2.0**-BITS)


def pseudo_random_normals(
    key: int, first: int, count: int, dimensions: Int[Tensor, " dimensions"]
) -> Float[Tensor, "dimensions count"]:
    """Standard normal numbers, float64, ``(dimensions, count)``, each a function of key, dimension and point.

    ``key`` has 64 bits; points are ``first`` to ``first + count − 1``, below 2^30.
    """
    points = np.arange(first, first + count, dtype=np.uint64)
    place = (dimensions.numpy().astype(np.uint64) << np.uint64(BITS))[:, None] | points
    mixed = torch.from_numpy((_split_mix(np.uint64(key), place) >> np.uint64(12)).astype(np.float64))
    return torch.special.ndtri((mixed + 0.5) * 2.0**-52)


def _split_mix(key: np.uint64, place: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Number ``place``, from 0 on, of the sequence that starts at ``key``."""
    z = (place + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15) + key
    z ^= z >> np.uint64(30)
    z *= np.uint64(0xBF58476D1CE4E5B9)
    z ^= z >> np.uint64(27)
    z *= np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
