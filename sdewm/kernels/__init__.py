"""Compiled walks: a solver's step, traced once, run for many paths by a machine in C; and normal numbers for them.

``program``: rows and how they are made; ``lowering``: from torch's operations to rows; ``machine.c`` and ``machine``:
what runs them; ``compiler``: C compiled once for this CPU; ``finite``: what is left out, and watched; ``walk``: a
compiled step; ``threefry.c`` and ``threefry``: normal numbers by their places. It knows steps of tensors, no SDE.
"""

from sdewm.kernels.compiler import NoCompiler
from sdewm.kernels.lowering import NotLowered
from sdewm.kernels.threefry import counted_normals
from sdewm.kernels.walk import CompiledStep

__all__ = ["CompiledStep", "NoCompiler", "NotLowered", "counted_normals"]
