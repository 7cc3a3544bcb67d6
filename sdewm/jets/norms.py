"""Rules for moduli, norms, variances and standard deviations."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sdewm.jets.elementwise import piecewise_linear
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
        return squares.sqrt()
    warn_nonsmooth(name)
    return torch.where(zero, 0.0, torch.where(zero, 1.0, squares).sqrt())


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


def _norm(input: Any, p: Any = 2, dim: Any = None, keepdim: bool = False, out: None = None, dtype: Any = None) -> Any:
    if dtype is not None:
        input = input.to(dtype)
    if p not in (None, 2, 2.0, "fro"):
        return nested(torch.linalg.vector_norm, (input, p, dim, keepdim), {})
    return _root(_squares(input).sum(dim, keepdim=keepdim), "norm")


@rule("vector_norm")
def vector_norm(x: Any, ord: Any = 2, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    return _norm(x, ord, dim, keepdim, dtype=dtype)


def linalg_norm(x: Any, ord: Any = None, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    matrix = ord is not None and (x.ndim == 2 if dim is None else not isinstance(dim, int) and len(dim) == 2)
    if matrix and ord != "fro":
        return nested(torch.linalg.norm, (x, ord, dim, keepdim), {"dtype": dtype})
    return _norm(x, ord, dim, keepdim, dtype=dtype)


RULES[torch.linalg.norm] = linalg_norm
RULES[torch.norm] = RULES[Tensor.norm] = _norm
