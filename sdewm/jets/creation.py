"""New tensors of a jet's shape, dtype and device, such as zeros_like: their derivatives are zero."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from sdewm.jets.jet import RULES, Jet, constant
from sdewm.jets.registry import functions


def _like(func: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def make(input: Jet, *args: Any, **kwargs: Any) -> Tensor:
        made = func(input.value, *args, **kwargs)
        return constant(made, input.space) if made.is_floating_point() else made

    return make


for _name in (
    "zeros_like",
    "ones_like",
    "empty_like",
    "full_like",
    "rand_like",
    "randn_like",
    "randint_like",
    "new_zeros",
    "new_ones",
    "new_empty",
    "new_full",
):
    for _func in functions(_name):
        RULES[_func] = _like(_func)
RULES[Tensor.new_tensor] = lambda input, *args, **kwargs: input.value.new_tensor(*args, **kwargs)
