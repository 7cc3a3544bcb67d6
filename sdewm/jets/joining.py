"""Jets joined into one, and cut into several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from sdewm.jets.axes import axis
from sdewm.jets.jet import Jet, constant
from sdewm.jets.registry import register, rule, space_of
from sdewm.jets.space import JetSpace


def _parts(name: str, sizes: int = 1) -> None:
    """split and its relatives, which return tuples of jets; ``sizes`` is how many arguments stand before ``dim``."""
    method = getattr(Tensor, name)

    def apply(input: Jet, *args: Any, dim: int = 0, **kwargs: Any) -> tuple[Jet, ...]:
        if len(args) > sizes:
            dim = args[sizes]
        pieces = method(input.coefficients, *args[:sizes], *kwargs.values(), dim=axis(dim, input.ndim))
        return tuple(Jet(piece, input.space) for piece in pieces)

    register(apply, name)


_parts("split")
_parts("split_with_sizes")
_parts("chunk")
_parts("tensor_split")
_parts("unbind", sizes=0)


@rule("cat", "concat", "concatenate")
def cat(tensors: Sequence[Tensor], dim: int = 0) -> Jet:
    space = space_of(*tensors)
    joined = [x for x in tensors if x.shape != (0,)] or tensors[:1]  # torch ignores such empty tensors
    return Jet(torch.cat(_rows(joined, space), dim=axis(dim, joined[0].ndim)), space)


@rule("stack")
def stack(tensors: Sequence[Tensor], dim: int = 0) -> Jet:
    space = space_of(*tensors)
    return Jet(torch.stack(_rows(tensors, space), dim=axis(dim, tensors[0].ndim + 1)), space)


def _rows(tensors: Sequence[Tensor], space: JetSpace) -> list[Tensor]:
    jets = [x if isinstance(x, Jet) else constant(x, space) for x in tensors]
    return [x.coefficients for x in jets]
