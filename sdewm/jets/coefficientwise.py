"""Functions that are linear in their tensors, such as shifts, masks and pooling, applied to each coefficient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from sdewm.jets.jet import RULES, Jet
from sdewm.jets.registry import functions, in_place, rule, space_of, stacked


def _linear(name: str, *values: str, names: str) -> None:
    """Add the rule of a function that is jointly linear in its arguments `values`: it acts on each coefficient."""
    parameters = names.split()
    first = functions(name)

    def apply_to(func: Callable[..., Any]) -> Callable[..., Any]:
        def apply(*args: Any, **kwargs: Any) -> Any:
            given = dict(zip(parameters, args, strict=False)) | kwargs
            extra = args[len(parameters) :]
            space = space_of(*(given.get(v) for v in values))
            rows = []
            for k in range(len(space)):
                row = {n: _row(v, k) if n in values else v for n, v in given.items()}
                positional = [row.pop(n) for n in parameters[: len(args)]]
                rows.append(func(*positional, *extra, **row))
            return Jet(torch.stack(rows), space)

        return apply

    for func in first:
        RULES[func] = apply_to(func)
    for place in (Tensor, torch):
        update = getattr(place, name + "_", None)
        if update is not None:
            RULES[update] = in_place(apply_to(first[0]), name + "_")


def _row(x: Any, k: int) -> Any:
    """Coefficient k of an argument; for a plain tensor or number it is zero from k = 1 on."""
    if isinstance(x, Jet):
        return x.coefficients[k]
    if k == 0 or x is None:
        return x
    return torch.zeros_like(x) if isinstance(x, Tensor) else 0.0


for _name in (
    "repeat",
    "tile",
    "repeat_interleave",
    "roll",
    "flip",
    "fliplr",
    "flipud",
    "rot90",
    "cumsum",
    "gather",
    "index_select",
    "take_along_dim",
    "take",
    "masked_select",
    "tril",
    "triu",
    "diag",
    "diag_embed",
    "diagflat",
    "trace",
    "unfold",
    "pixel_shuffle",
    "pixel_unshuffle",
    "avg_pool1d",
    "avg_pool2d",
    "avg_pool3d",
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "fold",
    "squeeze_copy",
    "channel_shuffle",
    "unfold_copy",
):
    if any(hasattr(place, _name) for place in (torch, Tensor, F)):
        _linear(_name, "input", names="input")
del RULES[Tensor.unfold]  # Tensor.unfold is another function than F.unfold
_linear("diff", "input", "prepend", "append", names="input n dim prepend append")
_linear("where", "input", "other", names="condition input other")
_linear("masked_fill", "input", "value", names="input mask value")
_linear("masked_scatter", "input", "source", names="input mask source")
_linear("index_add", "input", "source", names="input dim index source")
_linear("index_copy", "input", "source", names="input dim index source")
_linear("index_fill", "input", "value", names="input dim index value")
_linear("scatter_add", "input", "src", names="input dim index src")
_linear("select_scatter", "input", "src", names="input src dim index")
_linear("slice_scatter", "input", "src", names="input src dim start end step")


def _tensor_where(input: Any, condition: Any, other: Any) -> Any:
    return torch.where(condition, input, other)


RULES[Tensor.where] = _tensor_where


@rule("interpolate")
def interpolate(
    input: Jet, size: Any = None, scale_factor: Any = None, mode: str = "nearest", *args: Any, **kwargs: Any
) -> Jet:
    return stacked(input, lambda row: F.interpolate(row, size, scale_factor, mode, *args, **kwargs))


@rule("pad")
def pad(input: Jet, pad: Any, mode: str = "constant", value: Any = None) -> Jet:
    rows = input.coefficients
    if mode != "constant":
        return stacked(input, lambda row: F.pad(row, pad, mode))
    head = F.pad(rows[0], pad, mode, value)
    return Jet(torch.cat([head[None], F.pad(rows[1:], pad)]), input.space)
