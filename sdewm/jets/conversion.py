"""Conversions of a jet to another dtype or device, and copies."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sdewm.jets.jet import RULES, Jet, value_of
from sdewm.jets.registry import property_rule, register, rule, warn_nonsmooth


def _direct(name: str) -> None:
    """Add the rule of a method that acts on the stacked coefficients as on a tensor."""
    method = getattr(Tensor, name)

    def apply(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        # The memory layout is ignored: it changes no number.
        plain = [value_of(a) if isinstance(a, Tensor) else a for a in args if not isinstance(a, torch.memory_format)]
        kwargs.pop("memory_format", None)
        kwargs = {key: value_of(x) if isinstance(x, Tensor) else x for key, x in kwargs.items()}
        if not isinstance(input, Jet):
            return method(input, *plain, **kwargs)
        c = method(input.coefficients, *plain, **kwargs)
        if c.is_floating_point() or c.is_complex():
            return Jet(c, input.space)
        warn_nonsmooth(name)  # integers and Booleans have no derivatives
        return c[0]

    register(apply, name)


for _name in (
    "to",
    "double",
    "float",
    "half",
    "bfloat16",
    "cpu",
    "cuda",
    "type",
    "type_as",
    "detach",
    "requires_grad_",
):
    _direct(_name)
_cast = RULES[Tensor.type]
RULES[Tensor.type] = lambda input, *args, **to: _cast(input, *args, **to) if args or to else input.value.type()


@rule("clone", "contiguous")
def clone(input: Jet, *, memory_format: Any = None) -> Jet:
    return Jet(input.coefficients.clone(), input.space)


RULES[Tensor.contiguous] = lambda input, memory_format=None: Jet(input.coefficients.contiguous(), input.space)
property_rule(lambda x: Jet(x.coefficients.data, x.space), "data")
