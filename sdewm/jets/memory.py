"""What the allocator does with the memory of jets."""

from __future__ import annotations

import ctypes
import functools
import sys

# Of malloc.h: what is larger than the one is mapped by itself, what is free beyond the other is returned to the system.
MMAP_THRESHOLD, TRIM_THRESHOLD = -3, -1
LARGEST_BLOCK = 32 << 20  # bytes, the highest that glibc comes to by itself


@functools.cache
def keep_freed_memory() -> None:
    """Let glibc keep what is freed, for the whole process; called when the first space of jets is made.

    Without it every stack of coefficients is mapped and page-faulted anew, which costs as much as the arithmetic. Both
    thresholds are set, since glibc raises them by itself only where the environment sets neither, and that of a Dask
    worker does. Other allocators are left alone.
    """
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None)
    if hasattr(libc, "gnu_get_libc_version"):
        libc.mallopt(MMAP_THRESHOLD, LARGEST_BLOCK)
        libc.mallopt(TRIM_THRESHOLD, 2 * LARGEST_BLOCK)
