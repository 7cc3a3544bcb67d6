"""What the allocator does with the memory of jets."""

from __future__ import annotations

import functools

import torch


@functools.cache
def keep_freed_memory() -> None:
    """Let glibc keep what is freed, for the whole process; called when the first space of jets is made.

    Freeing one large block raises its thresholds for returning memory to the system. Without it every stack of
    coefficients is mapped and page-faulted anew, which costs as much as the arithmetic. The block is never touched.
    """
    torch.empty(30 << 20, dtype=torch.uint8)
