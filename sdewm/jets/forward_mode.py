"""Torch's forward mode, loaded without a word."""

from __future__ import annotations

import functools
import warnings


@functools.cache
def load_forward_mode() -> None:
    """Load what torch loads at its first forward derivative; in torch 2.13 that says it is deprecated.

    The user can do nothing about it. Called before the first forward derivative, as it takes a moment.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import torch._decomp.decompositions_for_jvp  # noqa: F401
