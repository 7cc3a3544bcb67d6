"""Settings of the memory allocator that make jets fast."""

from __future__ import annotations

import ctypes
import functools
import sys

# Options of mallopt, from malloc.h: the size from which a block is mapped by itself, and how much memory may stay free.
MMAP_THRESHOLD, TRIM_THRESHOLD = -3, -1
LARGEST_BLOCK = 32 << 20  # bytes, the highest threshold that glibc chooses by itself


@functools.cache
def keep_freed_memory() -> None:
    """Let glibc keep freed memory, for the whole process. Called when the first space of jets is made.

    Otherwise every stack of coefficients is mapped, and its pages are faulted in, anew, which costs as much as the
    arithmetic. Both thresholds are set: glibc raises them by itself only if the environment sets neither, and the
    environment of a Dask worker sets one. Other allocators are left alone.
    """
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None)
    if hasattr(libc, "gnu_get_libc_version"):
        libc.mallopt(MMAP_THRESHOLD, LARGEST_BLOCK)
        libc.mallopt(TRIM_THRESHOLD, 2 * LARGEST_BLOCK)
