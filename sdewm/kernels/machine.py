"""The machine that walks paths."""

from __future__ import annotations

import ctypes
import functools
from pathlib import Path

import torch

from sdewm.kernels.compiler import compiled
from sdewm.kernels.program import machine_source

SOURCE = Path(__file__).with_name("machine.c")
LANES = 32


@functools.cache
def machine(dtype: torch.dtype) -> ctypes.CDLL:
    """The machine for states of this dtype. Raises :class:`~sdewm.kernels.compiler.NoCompiler`."""
    real = {torch.float64: "double", torch.float32: "float"}[dtype]
    return compiled("machine", machine_source(SOURCE.read_text(encoding="utf-8")), f"REAL={real}")
