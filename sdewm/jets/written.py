"""Modules as they were written: jets need the code behind ``torch.compile``."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext

import torch


def as_written() -> AbstractContextManager[object]:
    """Compiled modules run as they were written: compiled code sees neither a jet's coefficients nor right tangents.

    Where nothing has been compiled yet there is nothing to do, and torch's compiler, which takes seconds, stays out.
    """
    return torch.compiler.set_stance("force_eager") if "torch._dynamo" in sys.modules else nullcontext()
