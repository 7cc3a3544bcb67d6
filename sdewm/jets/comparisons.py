"""Comparisons, step functions and integer results, which depend on a jet's value only.

As everywhere in automatic differentiation, the value chooses the branch, and the derivative is that of the branch. It
is right almost everywhere; a warning says so once for each operation. Conversions of a jet to plain floating-point
numbers (`float(x)`, `x.item()`, `x.numpy()`) are refused, since the derivatives would be lost without notice.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from sdewm.jets.jet import RULES, Jet, NotDifferentiable, constant, value_of
from sdewm.jets.registry import functions, in_place, register, space_of, warn_nonsmooth

# Boolean and integer results, which are piecewise constant.
BRANCHING = (
    "eq ne lt le gt ge greater greater_equal less less_equal not_equal __eq__ __ne__ __lt__ __le__ __gt__ __ge__ "
    "equal allclose isclose logical_not logical_and logical_or logical_xor all any is_nonzero __bool__ __contains__ "
    "signbit isin argmax argmin argsort nonzero argwhere count_nonzero bucketize searchsorted "
    "bool char byte short int long __int__"
)

# Step functions with floating-point results: jets whose derivatives are zero.
STEPS = "sign sgn floor ceil round trunc fix floor_divide __floordiv__ __rfloordiv__"

# Tests for NaN and infinity, which need no warning: models do not branch on them.
VALIDITY = "isnan isinf isposinf isneginf isfinite isreal"


def _plain(func: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """`func` applied to the values of jets."""
    return func(*map(_value, args), **{name: _value(x) for name, x in kwargs.items()})


def _value(x: Any) -> Any:
    return x.value if isinstance(x, Jet) else x


def _discrete(func: Callable[..., Any], name: str) -> Callable[..., Any]:
    def ask(*args: Any, **kwargs: Any) -> Any:
        warn_nonsmooth(name.strip("_"))
        return _plain(func, args, kwargs)

    return ask


def _written(func: Callable[..., Any], name: str) -> Callable[..., Any]:
    """The in-place form, which overwrites a jet with zeros and ones."""
    ask = _discrete(func, name)
    return in_place(lambda target, *args, **kw: constant(ask(target, *args, **kw).to(target.dtype), target.space), name)


def step(func: Callable[..., Tensor], name: str, *args: Any, **kwargs: Any) -> Jet:
    """The rule of a step function: all of its derivatives vanish almost everywhere."""
    value = _plain(func, args, kwargs)
    if value.is_complex():
        raise NotDifferentiable(f"{name} of a complex jet is no step function; write it with abs and division")
    warn_nonsmooth(name.strip("_"))
    return constant(value, space_of(*args, *kwargs.values()))


def _step_rule(func: Callable[..., Tensor], name: str) -> Callable[..., Jet]:
    return lambda *args, **kwargs: step(func, name, *args, **kwargs)


for _name in BRANCHING.split():
    for _func in functions(_name):
        RULES[_func] = _discrete(_func, _name)
    if not _name.startswith("_"):
        for _func in functions(_name + "_"):
            RULES[_func] = _written(getattr(Tensor, _name), _name + "_")
for _name in STEPS.split():
    register(_step_rule(functions(_name)[0], _name), _name)
for _name in VALIDITY.split():
    for _func in functions(_name):
        RULES[_func] = lambda *args, _func=_func, **kwargs: _plain(_func, args, kwargs)


def heaviside(input: Any, values: Any) -> Tensor:
    """0 below zero, 1 above; at zero `values`, with their derivatives."""
    warn_nonsmooth("heaviside")
    at = value_of(input)
    at_zero = values if isinstance(values, Jet) else constant(values, space_of(input))
    return torch.where(at == 0, at_zero, (at > 0).to(at.dtype))


register(heaviside, "heaviside")
