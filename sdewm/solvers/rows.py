"""Rows of a walk held against each other: a step of a part of the paths is what it is among all of them.

Before a walk coefficients are held against few states. What depends on the other paths only where there are many of
them, such as a clip by the norm of the whole batch, or at a time in between, shows at the walk's own states.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from sdewm.jets import Jet
from sdewm.jets.written import as_written
from sdewm.noise.grid import TimeGrid
from sdewm.systems.pilot import PATHS
from sdewm.systems.row_checks import changing, mixed

# One look is taken in so many steps, at random: in a shorter walk there may be none.
LOOK_EVERY = 128
# The part of the paths that is stepped once more.
PART = 16


class Rows:
    """Holds rows at the first step, if there are more than a pilot has, and now and then at random.

    ``first`` is the walk's first increment, which makes the choice another one for each block and the same each time.
    """

    def __init__(self, grid: TimeGrid, first: Float[Tensor, "paths channels"]) -> None:
        number = first[0, 0].item() if first.numel() else 0.0
        self.steps = set(range(int(abs(number) * 2**40) % LOOK_EVERY, grid.steps, LOOK_EVERY))
        if len(first) > PATHS:
            self.steps.add(0)

    def hold(
        self,
        step: Callable[..., Float[Tensor, "paths n"]],
        x: Float[Tensor, "paths n"],
        increment: tuple[Float[Tensor, "paths ..."], ...],
        after: Float[Tensor, "paths n"],
    ) -> None:
        """``ValueError`` where some rows of ``after = step(x, *increment)`` are others when stepped by themselves.

        The rows are from the middle, so that what looks at rows before its own, or after it, shows.
        """
        paths = len(increment[0])
        start = paths // 2
        rows = slice(start, start + max(1, paths // PART))
        with torch.no_grad(), as_written():
            gap = difference(step(x[rows], *(part[rows] for part in increment)), after[rows])
            if gap:
                again = difference(step(x, *increment), after)
                raise changing("sde", again) if again else mixed("sde", gap)


def tolerance(truth: Float[Tensor, "paths n"]) -> Float[Tensor, " n"]:
    """How far states ``(paths, n)`` may be off, ``(n,)``: half of the digits of each component.

    What cancels to next to nothing has the rounding of what it is made of, which is of any component's size.
    """
    sizes, eps = truth.abs().amax(0), torch.finfo(truth.dtype).eps
    return eps**0.5 * sizes + 1e3 * eps * sizes.max()


def difference(found: Float[Tensor, "paths n"], there: Float[Tensor, "paths n"]) -> float:
    """The largest difference beyond rounding, zero where there is none; what is not finite is looked at elsewhere."""
    one, two = (y.coefficients if isinstance(y, Jet) else y.unsqueeze(0) for y in (found.detach(), there.detach()))
    if torch.equal(one, two):
        return 0.0
    largest = 0.0
    for part, whole in zip(one, two, strict=True):
        off = (part - whole).abs().nan_to_num(0.0, 0.0, 0.0)
        beyond = off > tolerance(whole.nan_to_num(0.0, 0.0, 0.0))
        largest = max(largest, float((off * beyond).max()))
    return largest
