"""Smooth steps and bends that are too steep for the paths: between two of them the whole slope can be missed.

tanh(10⁶ x) is smooth, and of 4,096 paths perhaps none is where it rises. Each path's derivatives are right, and nearly
0; their mean is not, and no error bar tells. So such a function counts as the jump or the kink that paths take it for.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from sdewm.jets.edges import known, note_nearly
from sdewm.jets.jet import Jet, SlopeWarning
from sdewm.jets.registry import warn_nonsmooth

SLOPES = frozenset({"tanh", "sigmoid", "erf", "erfc", "atan", "logsigmoid", "ndtr"})
"""Functions of one argument that turn within a few units of 0, and no more beyond."""

WIDTH = 4.0  # tanh, sigmoid and their kin do most of their turning within so much of 0
STEEP = 512.0  # a sample that is no wider than this has many paths on the slope, if it has it in its midst
MANY = 64  # so many paths on the slope make a mean whose error bar can be believed


def look_at_slope(name: str, x: Tensor) -> None:
    """Say that a function is too steep for the paths along the first axis: they are on both sides of 0, few near it.

    ``x`` is the argument, scaled so that the function turns within a few units of 0.
    """
    if x.ndim == 0 or x.numel() < 2 or x.is_complex():
        return
    low, high = torch.aminmax(x)
    if known(high - low > STEEP):
        few = (x.abs() < WIDTH).sum(0) < MANY
        wide = (x.amax(0) - x.amin(0) > STEEP) & (x.amin(0) < 0) & (x.amax(0) > 0)
        if known((few & wide).any()):
            warn_nonsmooth(name, SlopeWarning)
            return
    if known(torch.maximum(high, -low) > STEEP):
        note_nearly(name)  # further on paths may be on both sides


def look_at_choice(name: str, x: Jet, dim: int | Sequence[int]) -> None:
    """The same for softmax and its kin: paths differ in which of the numbers along ``dim`` is the largest, few waver.

    ``dim`` is an axis, or several, of ``x``; paths are along the first axis that is left.
    """
    value = x.value.detach()
    if not value.ndim or not value.numel():
        return
    low, high = torch.aminmax(value)
    if not known(high - low > STEEP):
        return
    axes = sorted(d % value.ndim for d in ([dim] if isinstance(dim, int) else dim))
    last = value.movedim(axes, tuple(range(-len(axes), 0))).flatten(-len(axes))
    if last.ndim < 2 or last.shape[-1] < 2:
        return
    two = last.topk(2)
    lead, chosen = two.values[..., 0] - two.values[..., 1], two.indices[..., 0]
    few, differ, wide = (lead < WIDTH).sum(0) < MANY, (chosen != chosen[:1]).any(0), lead.amax(0) > STEEP / 2
    if known((few & differ & wide).any()):
        warn_nonsmooth(name, SlopeWarning)
    else:
        note_nearly(name)


def steep(name: str, x: Jet, scale: float = 1.0) -> None:
    """:func:`look_at_slope` at the value of a jet."""
    look_at_slope(name, scale * x.value.detach())
