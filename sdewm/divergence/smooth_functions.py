"""Smooth functions of one variable, with what Taylor's theorem needs of them: two derivatives and bounds of the next.

A remainder of second order is φ(y + d) − φ(y) − φ'(y) d. Of a function whose derivatives are bounded everywhere two
constants are known, sup |φ''| and sup |φ'''|; of one that is not, such as exp, the suprema on the interval are.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

Numbers = Float[Tensor, "..."]


@dataclass(frozen=True)
class SmoothFunction:
    """A smooth function φ.

    Attributes
    ----------
    function, slope, bend : φ, φ' and φ''.
    second, third : bounds of |φ''| and of |φ'''| on [low, high], as functions of both ends; infinite where φ is not
        smooth on all of it.
    terms : what the numbers that φ' and φ'' are computed from are smaller than: rounding is a part of it.

    >>> curve = SMOOTH["tanh"]
    >>> float(curve.second(torch.tensor(-1.0), torch.tensor(1.0))) <= 0.7699
    True
    """

    function: Callable[[Numbers], Numbers]
    slope: Callable[[Numbers], Numbers]
    bend: Callable[[Numbers], Numbers]
    second: Callable[[Numbers, Numbers], Numbers]
    third: Callable[[Numbers, Numbers], Numbers]
    terms: Callable[[Numbers], Numbers]


def _everywhere(bound: float) -> Callable[[Numbers, Numbers], Numbers]:
    return lambda low, high: torch.full_like(low, bound)


def _one_and(y: Numbers) -> Numbers:
    return 1 + y.abs()


def _tanh_slope(y: Numbers) -> Numbers:
    return 1 - torch.tanh(y).square()


def _sigmoid_slope(y: Numbers) -> Numbers:
    s = torch.sigmoid(y)
    return s * (1 - s)


def _silu_slope(y: Numbers) -> Numbers:
    s = torch.sigmoid(y)
    return s * (1 + y * (1 - s))


def _silu_bend(y: Numbers) -> Numbers:
    s = torch.sigmoid(y)
    return s * (1 - s) * (2 + y * (1 - 2 * s))


def _normal(y: Numbers) -> Numbers:
    return torch.exp(-0.5 * y.square()) / math.sqrt(2 * math.pi)


def _gelu_slope(y: Numbers) -> Numbers:
    return 0.5 * (1 + torch.erf(y / math.sqrt(2))) + y * _normal(y)


def _power(exponent: float, function: Callable[[Numbers], Numbers]) -> SmoothFunction:
    """y ↦ y^exponent for positive y, exponent < 1: all derivatives are largest at the lower end."""

    def derivative(order: int) -> Callable[[Numbers], Numbers]:
        factor = math.prod(exponent - k for k in range(order))
        return lambda y: factor * y.pow(exponent - order)

    def largest(order: int) -> Callable[[Numbers, Numbers], Numbers]:
        of = derivative(order)
        return lambda low, high: torch.where(low > 0, of(low).abs(), math.inf)

    slope, bend = derivative(1), derivative(2)
    return SmoothFunction(function, slope, bend, largest(2), largest(3), lambda y: slope(y).abs() + bend(y).abs())


def _of_exp(low: Numbers, high: Numbers) -> Numbers:
    return torch.exp(high)


# tanh'' is largest in size at tanh² = 1/3, σ'' at σ = ½ ± 1/√12; tanh''' = −2 at 0 and σ''' = −1/8, and both are
# smaller elsewhere. silu'' is ½ at 0, gelu'' twice the normal density. The extremes of silu''', at ±1.03196, and of
# gelu''', at ±0.79229, are rounded outwards.
SMOOTH = {
    "tanh": SmoothFunction(
        torch.tanh, _tanh_slope, lambda y: -2 * torch.tanh(y) * _tanh_slope(y),
        _everywhere(4 / (3 * math.sqrt(3))), _everywhere(2.0), _one_and,
    ),
    "sigmoid": SmoothFunction(
        torch.sigmoid, _sigmoid_slope, lambda y: _sigmoid_slope(y) * (1 - 2 * torch.sigmoid(y)),
        _everywhere(1 / (6 * math.sqrt(3))), _everywhere(1 / 8), _one_and,
    ),
    "softplus": SmoothFunction(
        torch.nn.functional.softplus, torch.sigmoid, _sigmoid_slope,
        _everywhere(1 / 4), _everywhere(1 / (6 * math.sqrt(3))), _one_and,
    ),
    "silu": SmoothFunction(
        torch.nn.functional.silu, _silu_slope, _silu_bend, _everywhere(0.5), _everywhere(0.30819), _one_and
    ),
    "gelu": SmoothFunction(
        torch.nn.functional.gelu, _gelu_slope, lambda y: _normal(y) * (2 - y.square()),
        _everywhere(2 / math.sqrt(2 * math.pi)), _everywhere(0.77877), _one_and,
    ),
    "sin": SmoothFunction(torch.sin, torch.cos, lambda y: -torch.sin(y), _everywhere(1.0), _everywhere(1.0), _one_and),
    "cos": SmoothFunction(
        torch.cos, lambda y: -torch.sin(y), lambda y: -torch.cos(y), _everywhere(1.0), _everywhere(1.0), _one_and
    ),
    "exp": SmoothFunction(torch.exp, torch.exp, torch.exp, _of_exp, _of_exp, torch.exp),
    "sqrt": _power(0.5, torch.sqrt),
    "rsqrt": _power(-0.5, torch.rsqrt),
    "reciprocal": _power(-1.0, torch.reciprocal),
}  # fmt: skip
