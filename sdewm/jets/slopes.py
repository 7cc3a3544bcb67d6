"""Smooth steps, bends and peaks that are too steep for the paths: between two of them all of it can be missed.

tanh(10⁶ x) is smooth, and of 4,096 paths perhaps none is where it rises, nor where exp(−(10⁶ x)²) is not 0. Each path's
derivatives are right, and nearly 0; their mean is not, and no error bar tells. So such a function counts as the jump,
the kink or the spike that paths take it for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from sdewm.jets.edges import known, note_nearly
from sdewm.jets.jet import Jet, SlopeWarning
from sdewm.jets.paths import arrangements, judged_by_path
from sdewm.jets.registry import unwrapped, warn_nonsmooth

SLOPES = frozenset(
    "tanh sigmoid erf erfc atan logsigmoid ndtr silu softplus gelu mish binary_cross_entropy_with_logits "
    "soft_margin_loss".split()
)
"""Functions whose first argument turns them within a few units of 0, and no more beyond."""

PEAKS = frozenset({"exp", "exp2", "expm1"})
"""Functions of one argument that are next to nothing a few units below the largest one, as exp(-10¹² x²) is."""

CHOICES = frozenset({"softmax", "log_softmax", "logsumexp"})
"""Functions of numbers along axes, which are their second argument."""

WIDTH = 4.0  # tanh, sigmoid and their kin do most of their turning within so much of 0
STEEP = 512.0  # a sample that is no wider than this has many paths on the slope, if it has it in its midst
MANY = 64  # so many paths on the slope make a mean whose error bar can be believed


def look_at_slope(name: str, x: Tensor) -> None:
    """Say that a function is too steep for the paths: they are on both sides of 0, few near it.

    ``x`` is the argument, scaled so that the function turns within a few units of 0.
    """
    x = unwrapped(x)
    if x.is_complex() or not x.numel():
        return
    if arrangements(x):
        low, high = torch.aminmax(x)
        if not known(torch.maximum(high, -low) > STEEP):  # nothing more is asked of most calls
            return
    judged_by_path(_look_at_slope, name, x)


def _look_at_slope(name: str, x: Tensor) -> None:
    few = (x.abs() < WIDTH).sum(0) < MANY
    wide = (x.amax(0) - x.amin(0) > STEEP) & (x.amin(0) < 0) & (x.amax(0) > 0)
    if known((few & wide).any()):
        warn_nonsmooth(name, SlopeWarning)
    elif known(x.abs().amax() > STEEP):
        note_nearly(name)  # further on paths may be on both sides


def look_at_peak(name: str, x: Tensor) -> None:
    """The same for exp: paths are far below the largest argument that one of them reaches, and few are near it."""
    x = unwrapped(x.real if x.is_complex() else x)
    if not x.numel():
        return
    if arrangements(x):
        low, high = torch.aminmax(x)
        if not known(high - low > STEEP):
            return
    judged_by_path(_look_at_peak, name, x)


def _look_at_peak(name: str, x: Tensor) -> None:
    top = x.amax(0)
    few, wide = (x > top - WIDTH).sum(0) < MANY, top - x.amin(0) > STEEP
    if known((few & wide).any()):
        warn_nonsmooth(name, SlopeWarning)
    elif known(wide.any()):
        note_nearly(name)


def look_at_choice(name: str, value: Tensor, dim: int | Sequence[int]) -> None:
    """The same for softmax and its kin: paths differ in which of the numbers along ``dim`` is the largest, few waver.

    ``dim`` is an axis, or several, of ``value``.
    """
    if not value.ndim or not value.numel():
        return
    low, high = torch.aminmax(value)
    if known(high - low <= STEEP / 2):
        return
    axes = sorted(d % value.ndim for d in ([dim] if isinstance(dim, int) else dim))
    last = value.movedim(axes, tuple(range(-len(axes), 0))).flatten(-len(axes))
    if last.shape[-1] < 2:
        return
    two = last.topk(2)
    judged_by_path(_look_at_choice, name, two.values[..., 0] - two.values[..., 1], two.indices[..., 0])


def _look_at_choice(name: str, lead: Tensor, chosen: Tensor) -> None:
    few, differ, wide = (lead < WIDTH).sum(0) < MANY, (chosen != chosen[:1]).any(0), lead.amax(0) > STEEP / 2
    if known((few & differ & wide).any()):
        warn_nonsmooth(name, SlopeWarning)
    elif known(wide.any()):
        note_nearly(name)


def steep(name: str, x: Jet, scale: float = 1.0) -> None:
    """:func:`look_at_slope` or :func:`look_at_peak` at the value of a jet; nothing for functions that have neither."""
    if name in PEAKS:
        look_at_peak(name, x.value.detach())
    elif name in SLOPES:
        look_at_slope(name, scale * x.value.detach())


class Slopes(TorchDispatchMode):
    """Looks for slopes, peaks and choices in the elementary operations (ATen's) of all that is called inside.

    ``met`` is whether there is any operation that has one, too steep or not. Torch may take other algorithms inside.
    """

    def __init__(self) -> None:
        super().__init__()
        self.met = False

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Torch would load its compiler, which takes seconds, to keep it away from here."""
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__.strip("_").removeprefix("special_")
        name = {"log_sigmoid_forward": "logsigmoid"}.get(name, name)
        if name in SLOPES | PEAKS | CHOICES and args and isinstance(args[0], Tensor):
            self.met = True
            if name in SLOPES:
                scale = args[1] if name == "softplus" and len(args) > 1 else 1.0
                look_at_slope(name, scale * args[0].detach())
            elif name in PEAKS:
                look_at_peak(name, args[0].detach())
            else:
                look_at_choice(name, args[0].detach(), args[1])
        return func(*args, **(kwargs or {}))
