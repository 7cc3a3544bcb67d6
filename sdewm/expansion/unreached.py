"""Losses that none of the paths that were drawn reach: a mean of equal numbers, whose standard error says nothing."""

from __future__ import annotations

from contextlib import suppress

import torch
from jaxtyping import Float
from torch import Tensor

from sdewm.estimate.samples import Moments
from sdewm.jets import value_of
from sdewm.noise.grid import TimeGrid
from sdewm.systems.losses import SummedLoss
from sdewm.systems.pilot import pilot
from sdewm.systems.sde import SDE
from sdewm.systems.user_functions import FROM_INSIDE

# So many times as far from x0 as pilot paths go, a loss is held against what it is on all paths.
FURTHER = tuple(2.0**k for k in range(11))


def unreached(
    found: Moments, loss: SummedLoss, sde: SDE, x0: Float[Tensor, " n"], grid: TimeGrid, *, channels: int
) -> str:
    """Why nothing is known of a mean whose paths all have the value that is ``found``; empty where it is known.

    That is where paths differ, and the loss further out is another one, as max(x − 5, 0) is. A loss that is constant,
    and a system without noise, have equal values by themselves.
    """
    if found.spread > 1e-14 * found.rms or not _changes(loss, sde, x0, grid, channels):
        return ""
    return (
        f"all {found.n} paths give {found.mean:.3g}, and the loss is another one further out: up to 3 in {found.n} "
        "paths (at 95 %) may reach that, and carry the mean. Draw more paths, or start closer to it"
    )


def _changes(loss: SummedLoss, sde: SDE, x0: Float[Tensor, " n"], grid: TimeGrid, channels: int) -> bool:
    visits = pilot(sde, x0[None], grid, channels=channels, generator=torch.Generator().manual_seed(0))
    if not visits or bool((visits[-1].x == visits[-1].x[:1]).all()):
        return False
    for factor in FURTHER:
        states = x0 + factor * (visits[-1].x - x0)
        for time in {loss.times[0], loss.times[len(loss.times) // 2], loss.times[-1]}:
            with suppress(*FROM_INSIDE):  # outside of the loss's domain
                values = value_of(loss.fn(torch.as_tensor(time).to(x0), states))
                values = values[torch.isfinite(values)]
                if bool((values != values[:1]).any()):
                    return True
    return False
