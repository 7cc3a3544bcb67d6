"""Views of a jet: reshaped, transposed, expanded, or a slice of it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sdewm.jets.axes import axes, axis
from sdewm.jets.jet import RULES, Jet
from sdewm.jets.registry import lift, property_rule, register, rule


def _shape(args: tuple[Any, ...]) -> tuple[int, ...]:
    """Sizes that are given as one sequence or as separate arguments."""
    return tuple(args[0]) if len(args) == 1 and not isinstance(args[0], int) else args


def _sized(name: str) -> None:
    def apply(input: Jet, *shape: Any, **kwargs: Any) -> Jet:
        c = input.coefficients
        sizes = _shape(shape or tuple(kwargs.values()))
        return Jet(getattr(c, name)(c.shape[0], *sizes), input.space)

    register(apply, name)


_sized("reshape")


@rule("view")
def view(input: Jet, *shape: Any, **kwargs: Any) -> Jet:
    sizes = shape or tuple(kwargs.values())
    if isinstance(sizes[0], torch.dtype):
        from sdewm.jets.fallback import refuse

        refuse("view(dtype)", "it reinterprets bits; use .to(dtype)")
    return Jet(input.coefficients.view(input.coefficients.shape[0], *_shape(sizes)), input.space)


@rule("view_as", "reshape_as")
def view_as(input: Any, other: Tensor) -> Any:
    return input.reshape(other.shape)


@rule("expand", "broadcast_to")
def expand(input: Jet, *shape: Any) -> Jet:
    sizes = _shape(shape)
    return Jet(lift(input.coefficients, len(sizes)).expand(-1, *sizes), input.space)


@rule("expand_as")
def expand_as(input: Any, other: Tensor) -> Any:
    return input.expand(other.shape)


@rule("permute")
def permute(input: Jet, *dims: Any) -> Jet:
    order = [d % max(input.ndim, 1) + 1 for d in _shape(dims)]
    return Jet(input.coefficients.permute(0, *order), input.space)


@rule("transpose", "swapaxes", "swapdims")
def transpose(input: Jet, dim0: int, dim1: int) -> Jet:
    c, n = input.coefficients, input.ndim
    return Jet(c.transpose(axis(dim0, n), axis(dim1, n)) if n else c, input.space)


@rule("t")
def t(input: Jet) -> Jet:
    return transpose(input, -2, -1) if input.ndim > 1 else input


@rule("adjoint")
def adjoint(input: Jet) -> Jet:
    return Jet(input.coefficients.mH if input.ndim > 1 else input.coefficients.conj(), input.space)


@rule("movedim", "moveaxis")
def movedim(input: Jet, source: Any, destination: Any) -> Jet:
    n = input.ndim
    return Jet(input.coefficients.movedim(axes(source, n), axes(destination, n)), input.space)


@rule("flatten")
def flatten(input: Jet, start_dim: int = 0, end_dim: int = -1) -> Jet:
    c, n = input.coefficients, input.ndim
    if n == 0:
        return Jet(c.unsqueeze(1), input.space)
    return Jet(c.flatten(axis(start_dim, n), axis(end_dim, n)), input.space)


@rule("unflatten")
def unflatten(input: Jet, dim: int, sizes: Any) -> Jet:
    return Jet(input.coefficients.unflatten(axis(dim, input.ndim), sizes), input.space)


@rule("ravel")
def ravel(input: Jet) -> Jet:
    return flatten(input)


@rule("unsqueeze")
def unsqueeze(input: Jet, dim: int) -> Jet:
    return Jet(input.coefficients.unsqueeze(axis(dim, input.ndim + 1)), input.space)


@rule("squeeze")
def squeeze(input: Jet, dim: Any = None) -> Jet:
    c = input.coefficients
    if dim is None:
        dims = [d for d in range(1, c.ndim) if c.shape[d] == 1]
    else:
        dims = list(axes(dim, input.ndim)) if input.ndim and dim != () else []
    return Jet(c.squeeze(dims) if dims else c, input.space)


@rule("diagonal")
def diagonal(input: Jet, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Jet:
    n = input.ndim
    return Jet(input.coefficients.diagonal(offset, axis(dim1, n), axis(dim2, n)), input.space)


@rule("linalg_diagonal")
def linalg_diagonal(A: Jet, *, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Jet:
    return diagonal(A, offset, dim1, dim2)


RULES[torch.linalg.diagonal] = linalg_diagonal


@rule("narrow")
def narrow(input: Jet, dim: int, start: int, length: int) -> Jet:
    return Jet(input.coefficients.narrow(axis(dim, input.ndim), start, length), input.space)


@rule("select")
def select(input: Jet, dim: int, index: int) -> Jet:
    return Jet(input.coefficients.select(axis(dim, input.ndim), index), input.space)


property_rule(lambda x: Jet(x.coefficients.mT, x.space), "mT")
property_rule(lambda x: Jet(x.coefficients.mH, x.space), "mH")
property_rule(torch.real, "real")
property_rule(torch.imag, "imag")
property_rule(lambda x: permute(x, *reversed(range(x.ndim))), "T")
property_rule(lambda x: adjoint(x), "H")
