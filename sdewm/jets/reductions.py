"""Sums, means, softmax, maxima and minima of a jet along axes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from sdewm.jets.axes import axes
from sdewm.jets.elementwise import quiet_exp
from sdewm.jets.jet import Jet
from sdewm.jets.registry import register, rule, warn_nonsmooth
from sdewm.jets.slopes import look_at_choice


@rule("sum")
def sum(input: Jet, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Jet:
    c = input.coefficients
    dims = axes(dim, input.ndim) if input.ndim else ()
    return Jet(c.sum(dims, keepdim=keepdim, dtype=dtype) if dims else c.to(dtype or c.dtype), input.space)


@rule("mean")
def mean(input: Jet, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Jet:
    c = input.coefficients
    dims = axes(dim, input.ndim) if input.ndim else ()
    return Jet(c.mean(dims, keepdim=keepdim, dtype=dtype) if dims else c.to(dtype or c.dtype), input.space)


@rule("nansum")
def nansum(input: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """NaNs are left out with all of their derivatives, even if these are numbers."""
    kept = Jet(input.coefficients.masked_fill(input.value.isnan(), 0.0), input.space)
    return kept.sum(dim, keepdim=keepdim, dtype=dtype)


@rule("logsumexp")
def logsumexp(input: Any, dim: Any, keepdim: bool = False) -> Any:
    look_at_choice("logsumexp", input.value.detach(), dim)
    top = torch.amax(input.value, dim, keepdim=True)
    total = quiet_exp(input - top).sum(dim, keepdim=keepdim).log()
    return total + top.reshape(total.shape)


@rule("logaddexp")
def logaddexp(input: Any, other: Any) -> Any:
    return torch.logsumexp(torch.stack(torch.broadcast_tensors(input, other)), 0)


def _softmax(name: str, input: Any, dim: Any, dtype: Any) -> Any:
    if dtype is not None:
        input = input.to(dtype)
    if not input.numel():
        return input.clone()
    look_at_choice(name, input.value.detach(), dim)
    e = quiet_exp(input - torch.amax(input.value, dim, keepdim=True))
    return e / e.sum(dim, keepdim=True)


@rule("softmax")
def softmax(input: Any, dim: Any = None, _stacklevel: int = 3, dtype: Any = None) -> Any:
    return _softmax("softmax", input, dim, dtype)


@rule("softmin")
def softmin(input: Any, dim: Any = None, _stacklevel: int = 3, dtype: Any = None) -> Any:
    return _softmax("softmin", -input, dim, dtype)


@rule("log_softmax")
def log_softmax(input: Any, dim: Any = None, _stacklevel: int = 3, dtype: Any = None) -> Any:
    if dtype is not None:
        input = input.to(dtype)
    if not input.numel():
        return input.clone()
    look_at_choice("log_softmax", input.value.detach(), dim)
    shifted = input - torch.amax(input.value, dim, keepdim=True)
    return shifted - quiet_exp(shifted).sum(dim, keepdim=True).log()


def _extreme(name: str, better: Callable[..., Any]) -> None:
    def extreme(input: Any, dim: Any = None, keepdim: bool = False, *, other: Any = None) -> Any:
        if isinstance(dim, Tensor) or other is not None:
            return getattr(torch, name + "imum")(input, other if other is not None else dim)
        warn_nonsmooth(name)
        if dim is None:
            return input.flatten()[getattr(torch, "arg" + name)(input.value)]
        if input.ndim == 0:
            return extreme(input.unsqueeze(0), dim)
        value = getattr(torch, name)(input.value, dim, keepdim=True)
        picked = torch.take_along_dim(input, value.indices, dim)
        indices = value.indices if keepdim else value.indices.squeeze(dim)
        return better((picked if keepdim else picked.squeeze(dim), indices))

    register(extreme, name)


_extreme("max", torch.return_types.max)
_extreme("min", torch.return_types.min)
