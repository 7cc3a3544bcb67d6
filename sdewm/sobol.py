"""Scrambled Sobol points: any aligned block of them, in integers, and the normal numbers that they stand for.

Direction numbers are torch's (Joe & Kuo 2008). They are scrambled and combined here: torch's own first point is rounded
to the default dtype, and then may be 1; and its scramble draws thirty numbers for one that is needed.
"""

from __future__ import annotations

import torch
from torch import Tensor

BITS = torch.quasirandom.SobolEngine.MAXBIT
MAX_DIMENSION = torch.quasirandom.SobolEngine.MAXDIM


class ScrambledSobol:
    """The first 2^30 points in ``dimension`` dimensions; ``seed`` determines the scramble.

    Matoušek's (1998): in each dimension, digit i of a point becomes itself plus a random combination of the digits
    before it, and a random digit is added to each. Each point is uniform, and the net stays one.
    """

    def __init__(self, dimension: int, seed: int) -> None:
        plain = torch.quasirandom.SobolEngine(dimension).sobolstate.int()
        generator = torch.Generator().manual_seed(seed)
        random = torch.randint(2**BITS, (BITS + 1, dimension), generator=generator, dtype=torch.int32)
        self._shift = random[BITS]
        self._directions = torch.zeros_like(plain)
        for bit in range(BITS):
            becomes = (random[bit] & (2**bit - 1)) | 2**bit
            self._directions ^= (plain >> bit & 1) * becomes[:, None]

    def points(self, first: int, count: int) -> Tensor:
        """Points ``first`` to ``first + count − 1``, in integers from 0 to 2^30 − 1, ``(dimension, count)``.

        ``count`` is a power of two that divides ``first``.
        """
        if count < 1 or count & (count - 1) or first % count:
            raise ValueError(f"count: expected a power of two that divides first = {first}, got {count}")
        out = torch.empty(len(self._shift), count, dtype=torch.int32)
        out[:, 0] = self._shift
        gray = first ^ (first >> 1)
        for bit in range(BITS):
            if gray >> bit & 1:
                out[:, 0] ^= self._directions[:, bit]
        # Points come in the order of the Gray code, whose second half is the first one backwards with one more bit.
        for bit in range(count.bit_length() - 1):
            half = 2**bit
            out[:, half : 2 * half] = out[:, :half].flip(1) ^ self._directions[:, bit : bit + 1]
        return out


def normals(points: Tensor) -> Tensor:
    """Standard normal numbers, float64, at the middle of each point's cell of length 2^-30: finite for all of them."""
    return torch.special.ndtri((points.double() + 0.5) * 2.0**-BITS)
