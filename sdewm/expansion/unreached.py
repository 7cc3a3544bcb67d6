"""Means of equal numbers: has no path reached the states where the loss takes other values?"""

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

# The loss is evaluated at states this many times as far from x0 as the ends of pilot paths.
FURTHER = tuple(2.0**k for k in range(11))


def unreached(
    found: Moments, loss: SummedLoss, sde: SDE, x0: Float[Tensor, " n"], grid: TimeGrid, *, channels: int
) -> str:
    """A reason not to trust a mean, with moments ``found``, whose paths all have the same loss; empty where it is fine.

    There is a reason if the paths themselves differ and the loss has other values further out, as max(x − 5, 0) has.
    A constant loss and a system without noise give equal values for good reason.
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
            with suppress(*FROM_INSIDE):  # the loss need not be defined there
                values = value_of(loss.fn(torch.as_tensor(time).to(x0), states))
                values = values[torch.isfinite(values)]
                if bool((values != values[:1]).any()):
                    return True
    return False
