"""Normal numbers that are a function of where they stand, from a counter-based generator."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from sdewm.kernels.compiler import NoCompiler, compiled

SOURCE = Path(__file__).with_name("threefry.c")
TURNS = ((16, 42, 12, 31), (16, 32, 24, 21))
Words = np.ndarray[Any, np.dtype[np.uint64]]


def counted_normals(
    seed: int, streams: Sequence[int], count: int, first: int, steps: int, scale: float = 1.0
) -> Float[Tensor, "steps streams count"]:
    """``scale`` times standard normal numbers, float64: each is a function of the seed, its stream, step and place.

    ``count`` of each of ``streams`` in each of ``steps`` steps from ``first`` on. ``seed`` and streams are words of 64
    bits. Threefry-2x64-20 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3") makes words, Box and
    Muller's transform normals. Compiled where there is a C compiler, by numpy where there is none, ten times slower;
    the two agree to a few units in the last place.

    >>> counted_normals(seed=0, streams=[0, 1], count=3, first=5, steps=4).shape
    torch.Size([4, 2, 3])
    """
    library = _library()
    words = np.array(streams, dtype=np.uint64)
    if library is None:
        return torch.from_numpy(scale * _by_numpy(seed, words, count, first, steps))
    out = np.empty((steps, len(words), count))
    library.normals(
        ctypes.c_uint64(seed), ctypes.c_void_p(words.ctypes.data), ctypes.c_long(len(words)), ctypes.c_long(count),
        ctypes.c_uint64(first), ctypes.c_long(steps), ctypes.c_double(scale), ctypes.c_void_p(out.ctypes.data),
    )  # fmt: skip
    return torch.from_numpy(out)


@functools.cache
def _library() -> ctypes.CDLL | None:
    try:
        return compiled("threefry", SOURCE.read_text(encoding="utf-8"))
    except NoCompiler:
        return None


def threefry(key: tuple[Words, Words], counter: tuple[Words, Words]) -> tuple[Words, Words]:
    """The two words of a key and a counter of two words each: Threefry-2x64 with 20 rounds."""
    keys = (*key, np.uint64(0x1BD11BDAA9FC1A22) ^ key[0] ^ key[1])
    a, b = counter[0] + keys[0], counter[1] + keys[1]
    for group in range(1, 6):
        for turn in TURNS[(group - 1) % 2]:
            a = a + b
            b = (b << np.uint64(turn) | b >> np.uint64(64 - turn)) ^ a
        a, b = a + keys[group % 3], b + keys[(group + 1) % 3] + np.uint64(group)
    return a, b


def _by_numpy(seed: int, streams: Words, count: int, first: int, steps: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    pairs = np.arange(-(-count // 2), dtype=np.uint64)
    step = np.arange(first, first + steps, dtype=np.uint64)[:, None, None]
    seeds = np.full_like(streams, seed)[:, None]
    words = threefry((seeds, streams[:, None]), (pairs + np.zeros_like(step), step + np.zeros_like(pairs)))
    # The upper 52 bits, in the middle of their cells of (0, 1).
    u, v = ((word >> np.uint64(12)).astype(np.float64) * 2.0**-52 + 2.0**-53 for word in words)
    radius, angle = np.sqrt(-2 * np.log(u)), 2 * np.pi * v
    both = np.stack([radius * np.cos(angle), radius * np.sin(angle)], -1)
    return both.reshape(steps, len(streams), -1)[..., :count]
