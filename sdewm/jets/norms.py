"""Rules for moduli, norms, variances and standard deviations."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sdewm.jets.edges import look_at_zero
from sdewm.jets.elementwise import piecewise_linear, sqrt
from sdewm.jets.fallback import nested
from sdewm.jets.jet import RULES
from sdewm.jets.registry import rule, warn_nonsmooth
from sdewm.jets.structure import axes


@rule("abs", "absolute")
def absolute(input: Any) -> Any:
    warn_nonsmooth("abs")
    x = input.value
    return _root(_squares(input), "abs") if input.is_complex() else piecewise_linear(input, x.abs(), x.sign())


def count(x: Tensor, dim: Any) -> int:
    """How many numbers a reduction over these axes takes together."""
    n = 1
    for a in axes(dim, x.ndim):
        n *= x.shape[a - 1 if a > 0 else a]
    return n


def _squares(x: Any) -> Any:
    """|x|²."""
    return x.real.square() + x.imag.square() if x.is_complex() else x.square()


def _root(squares: Any, name: str) -> Any:
    """√ of a sum of squares. At 0 it has a kink; its derivatives there are taken to be 0, as torch does."""
    zero = squares.value == 0
    if not bool(zero.any()):
        look_at_zero(name, squares)
        return sqrt(squares)
    warn_nonsmooth(name)
    return torch.where(zero, 0.0, sqrt(torch.where(zero, 1.0, squares)))


@rule("var")
def var(input: Any, dim: Any = None, unbiased: bool = True, keepdim: bool = False, *, correction: Any = None) -> Any:
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    if correction is None:
        correction = int(unbiased)
    centred = input - input.mean(dim, keepdim=True) if dim is not None else input - input.mean()
    return _squares(centred).sum(dim, keepdim=keepdim) / (count(input, dim) - correction)


@rule("std")
def std(input: Any, dim: Any = None, unbiased: bool = True, keepdim: bool = False, *, correction: Any = None) -> Any:
    return _root(var(input, dim, unbiased, keepdim, correction=correction), "std")


@rule("std_mean")
def std_mean(
    input: Any, dim: Any = None, unbiased: bool = True, keepdim: bool = False, *, correction: Any = None
) -> Any:
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    spread = std(input, dim, unbiased, keepdim, correction=correction)
    return spread, input.mean(tuple(range(input.ndim)) if dim is None else dim, keepdim=keepdim)


def _norm(input: Any, p: Any = 2, dim: Any = None, keepdim: bool = False, out: None = None, dtype: Any = None) -> Any:
    if dtype is not None:
        input = input.to(dtype)
    if p not in (None, 2, 2.0, "fro"):
        norm = nested(torch.linalg.vector_norm, (input, p, dim, keepdim), {})
        look_at_zero("norm", norm)
        return norm
    return _root(_squares(input).sum(dim, keepdim=keepdim), "norm")


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
    return _root(torch.square(input) + torch.square(other), "hypot")
