"""Torch's forward mode, loaded without its deprecation warning."""

from __future__ import annotations

import functools
import warnings


@functools.cache
def load_forward_mode() -> None:
    """Load the modules that torch loads at its first forward derivative, without the warning of torch 2.13.

    The warning says that one of them is deprecated, about which a user can do nothing. Loading takes a moment.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import torch._decomp.decompositions_for_jvp  # noqa: F401
