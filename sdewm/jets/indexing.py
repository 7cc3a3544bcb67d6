"""Reading and writing parts of a jet by an index."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from sdewm.jets.jet import RULES, Jet
from sdewm.jets.registry import rule, space_of, stacked


def _stacked_index(index: Any) -> tuple[Any, ...] | None:
    """The same index for the stack of coefficients, or None where advanced indexing would reorder axes."""
    parts = index if isinstance(index, tuple) else (index,)
    advanced = [p for p in parts if isinstance(p, (Tensor, Sequence, bool)) or hasattr(p, "__array__")]
    if len(advanced) > 1 or any(isinstance(p, bool) for p in advanced):
        return None
    return (slice(None), *parts)


@rule("__getitem__")
def getitem(input: Any, index: Any) -> Jet:
    if not isinstance(input, Jet):
        from sdewm.jets.fallback import refuse

        refuse("indexing with a jet", "an index is discrete; use index.long(), or sdewm.value_of(index)")
    everywhere = _stacked_index(index)
    if everywhere is None:
        return stacked(input, lambda row: row[index])
    return Jet(input.coefficients[everywhere], input.space)


@rule("__setitem__")
def setitem(input: Any, index: Any, value: Any) -> None:
    if not isinstance(input, Jet):
        raise TypeError(
            "storing a jet into a plain tensor would lose its coefficients; build the result with "
            "torch.stack or torch.cat, or create the target with zeros_like(jet)"
        )
    c = input.coefficients
    if isinstance(value, Jet):
        space_of(input, value)
        for row, new in zip(c, value.coefficients, strict=True):
            row[index] = new
    else:
        c[0][index] = value
        for row in c[1:]:
            row[index] = 0


def _zero(input: Jet) -> Jet:
    input.coefficients.zero_()
    return input


def _copy(input: Any, src: Any, non_blocking: bool = False) -> Any:
    setitem(input, ..., src)
    return input


RULES[Tensor.zero_] = _zero
RULES[Tensor.fill_] = _copy
RULES[Tensor.copy_] = _copy
