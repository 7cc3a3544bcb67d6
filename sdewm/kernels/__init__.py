"""Compiled walks: a solver's step, traced once, run for many paths by a machine in C.

``program``: rows and how they are made; ``lowering``: from torch's operations to rows; ``machine.c`` and ``machine``:
what runs them, compiled once for this CPU; ``finite``: what is left out, and watched; ``walk``: a compiled step. It
knows steps of tensors, no SDE.
"""

from sdewm.kernels.lowering import NotLowered
from sdewm.kernels.machine import NoCompiler
from sdewm.kernels.walk import CompiledStep

__all__ = ["CompiledStep", "NoCompiler", "NotLowered"]
