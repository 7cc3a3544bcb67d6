"""Products along an axis. Torch's own second and third derivatives are wrong where factors are zero."""

from __future__ import annotations

from typing import Any

import torch

from sdewm.jets.jet import Jet
from sdewm.jets.registry import rule


@rule("prod")
def prod(input: Jet, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """The factors are multiplied in pairs, again and again, until one is left."""
    x: Any = input if dtype is None else input.to(dtype)
    if dim is None or not x.ndim:
        shape = (1,) * x.ndim if keepdim else ()
        return _halved(x.reshape(-1)).reshape(shape)
    product = _halved(x.movedim(dim, 0))
    return product.unsqueeze(dim) if keepdim else product


def _halved(x: Any) -> Any:
    """The product along the first axis."""
    if not x.shape[0]:
        return torch.ones_like(x.sum(0))
    while x.shape[0] > 1:
        half = x.shape[0] // 2
        pairs = x[:half] * x[half : 2 * half]
        x = torch.cat([pairs, x[2 * half :]]) if x.shape[0] % 2 else pairs
    return x[0]


@rule("cumprod")
def cumprod(input: Jet, dim: int, *, dtype: Any = None) -> Any:
    """After round k every entry is the product of the last 2ᵏ factors up to it."""
    x: Any = input if dtype is None else input.to(dtype)
    if not x.ndim:
        return x
    x = x.movedim(dim, 0)
    reach = 1
    while reach < x.shape[0]:
        x = torch.cat([x[:reach], x[reach:] * x[:-reach]])
        reach *= 2
    return x.movedim(0, dim)
