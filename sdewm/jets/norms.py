"""Rules for moduli, norms, variances and standard deviations."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from sdewm.jets.axes import axes
from sdewm.jets.edges import look_at_zero, meets_kink, speed_of
from sdewm.jets.elementwise import extreme, piecewise_linear, sqrt
from sdewm.jets.fallback import nested
from sdewm.jets.jet import RULES, value_of
from sdewm.jets.registry import rule, warn_nonsmooth


@rule("abs", "absolute")
def absolute(input: Any) -> Any:
    x = input.value
    if meets_kink(x.detach().abs() if input.is_complex() else x.detach(), speed_of(input)):
        advice = "|z|² alone, as z.real.square() + z.imag.square(), is smooth" if input.is_complex() else ""
        warn_nonsmooth("abs", why=advice)
    return (
        _hypotenuse(input.real, input.imag, "abs") if input.is_complex() else piecewise_linear(input, x.abs(), x.sign())
    )


def count(x: Tensor, dim: Any) -> int:
    """The number of values that a reduction over these axes combines."""
    n = 1
    for a in axes(dim, x.ndim):
        n *= x.shape[a - 1 if a > 0 else a]
    return n


def _squares(x: Any) -> Any:
    """|x|²."""
    return x.real.square() + x.imag.square() if x.is_complex() else x.square()


def _scale(size: Tensor) -> Tensor | None:
    """A divisor for numbers of these sizes, if their powers overflow or underflow; None if they do not.

    The third coefficient of the root of a square, for example, has a fifth power.
    """
    out_of_range = extreme(size, 1 / 12)
    return None if out_of_range is None else torch.where(out_of_range, size, 1.0)


def _hypotenuse(a: Any, b: Any, name: str) -> Any:
    scale = _scale(torch.maximum(value_of(a).detach().abs(), value_of(b).detach().abs()))
    if scale is None:
        return _root(torch.square(a) + torch.square(b), name)
    found = scale * _root(torch.square(a / scale) + torch.square(b / scale), name, look=False)
    look_at_zero(name, found)
    return found


def _root(squares: Any, name: str, look: bool = True) -> Any:
    """√ of a sum of squares. It has a kink at 0, where its derivatives are taken to be 0, as in torch.

    Squares of scaled numbers do not show how near to 0 paths come, so that they must not be checked for it.
    """
    zero = squares.value == 0
    if not bool(zero.any()):
        if look:
            look_at_zero(name, squares)
        return sqrt(squares)
    warn_nonsmooth(name)
    return torch.where(zero, 0.0, sqrt(torch.where(zero, 1.0, squares)))


def _centred(input: Any, dim: Any) -> Any:
    return input - input.mean() if dim is None else input - input.mean(dim, keepdim=True)


def _left(input: Any, dim: Any, unbiased: bool, correction: Any) -> float:
    """The divisor of a variance: the number of values less the correction."""
    return max(0, count(input, dim) - (int(unbiased) if correction is None else correction))


@rule("var")
def var(input: Any, dim: Any = None, unbiased: bool = True, keepdim: bool = False, *, correction: Any = None) -> Any:
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    squares = _squares(_centred(input, dim)).sum(dim, keepdim=keepdim)
    return squares / _left(input, dim, unbiased, correction)


@rule("std")
def std(input: Any, dim: Any = None, unbiased: bool = True, keepdim: bool = False, *, correction: Any = None) -> Any:
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    length = _length(_centred(input, dim), 2, dim, keepdim, "std")
    return length / math.sqrt(_left(input, dim, unbiased, correction))


@rule("std_mean")
def std_mean(
    input: Any, dim: Any = None, unbiased: bool = True, keepdim: bool = False, *, correction: Any = None
) -> Any:
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    spread = std(input, dim, unbiased, keepdim, correction=correction)
    return spread, input.mean(tuple(range(input.ndim)) if dim is None else dim, keepdim=keepdim)


def _norm(input: Any, p: Any = 2, dim: Any = None, keepdim: bool = False, out: None = None, dtype: Any = None) -> Any:
    return _length(input if dtype is None else input.to(dtype), p, dim, keepdim, "norm")


def _length(input: Any, p: Any, dim: Any, keepdim: bool, name: str) -> Any:
    if p in (0, math.inf, -math.inf) or not input.numel():
        return _length_in_range(input, p, dim, keepdim, name)
    size = input.value.detach().abs()
    scale = _scale(size.amax() if dim is None else size.amax(dim, keepdim=True))
    if scale is None:
        return _length_in_range(input, p, dim, keepdim, name)
    found = _length_in_range(input / scale, p, dim, keepdim, name, look=False)
    found = found * (scale if dim is None else scale.reshape(found.shape))
    look_at_zero(name, found)
    return found


def _length_in_range(input: Any, p: Any, dim: Any, keepdim: bool, name: str, look: bool = True) -> Any:
    if p not in (None, 2, 2.0, "fro"):
        norm = nested(torch.linalg.vector_norm, (input, p, dim, keepdim), {})
        if look:
            look_at_zero(name, norm)
        return norm
    return _root(_squares(input).sum(dim, keepdim=keepdim), name, look)


@rule("vector_norm")
def vector_norm(input: Any, ord: Any = 2, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    return _norm(input, ord, dim, keepdim, dtype=dtype)


def linalg_norm(input: Any, ord: Any = None, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    matrix = ord is not None and (input.ndim == 2 if dim is None else not isinstance(dim, int) and len(dim) == 2)
    if matrix:
        return matrix_norm(input, ord, (-2, -1) if dim is None else dim, keepdim, dtype=dtype)
    return _norm(input, ord, dim, keepdim, dtype=dtype)


@rule("matrix_norm")
def matrix_norm(input: Any, ord: Any = "fro", dim: Any = (-2, -1), keepdim: bool = False, *, dtype: Any = None) -> Any:
    if ord == "fro":
        return _norm(input, ord, dim, keepdim, dtype=dtype)
    if ord == "nuc":
        x = input if dtype is None else input.to(dtype)
        total = torch.linalg.svdvals(x.movedim(dim, (-2, -1))).sum(-1)
        for d in sorted(d % x.ndim for d in dim) if keepdim else ():
            total = total.unsqueeze(d)
        return total
    return nested(torch.linalg.matrix_norm, (input, ord, dim, keepdim), {"dtype": dtype})


RULES[torch.linalg.norm] = linalg_norm
RULES[torch.norm] = RULES[Tensor.norm] = _norm


@rule("dist")
def dist(input: Any, other: Any, p: Any = 2) -> Any:
    return _norm(input - other, p)


@rule("cdist")
def cdist(x1: Any, x2: Any, p: float = 2.0, compute_mode: str | None = None) -> Any:
    return _norm(x1.unsqueeze(-2) - x2.unsqueeze(-3), p, -1)


@rule("pdist")
def pdist(input: Any, p: float = 2.0) -> Any:
    first, second = torch.triu_indices(len(input), len(input), 1, device=input.device)
    return _norm(input[first] - input[second], p, -1)


@rule("pairwise_distance")
def pairwise_distance(x1: Any, x2: Any, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Any:
    return _norm(x1 - x2 + eps, p, -1, keepdim)


@rule("hypot")
def hypot(input: Any, other: Any) -> Any:
    return _hypotenuse(input, other, "hypot")
