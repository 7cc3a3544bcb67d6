"""Modules without ``torch.compile``, as jets need them."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext

import torch


def as_written() -> AbstractContextManager[object]:
    """Inside, compiled modules run their original code: compiled code loses jets, and has wrong forward derivatives.

    If nothing has been compiled yet, nothing is done: importing torch's compiler would take seconds.
    """
    return torch.compiler.set_stance("force_eager") if "torch._dynamo" in sys.modules else nullcontext()
