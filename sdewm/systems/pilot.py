"""Where paths go: a few of them, most with more noise than a run has, before any work is done.

Coefficients and losses are held against the states of such a pilot walk, since what is wrong with them may show only
away from the initial state.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sdewm.jets import value_of
from sdewm.noise.grid import TimeGrid
from sdewm.systems.sde import SDE, diffusion_product
from sdewm.systems.user_functions import FROM_INSIDE

PATHS = 64
FEWEST = 16
TIMES = 8
# How much more noise three in four of the pilot paths have: three standard deviations of a run are one of theirs.
WIDTH = 3.0
# Entries of diffusion matrices that a pilot meets, at most.
ENTRIES = 2**19


@dataclass(frozen=True)
class Visit:
    """The states of the pilot paths at one time, the increments there, and the noise that those make."""

    t: Float[Tensor, ""]
    x: Float[Tensor, "paths n"]
    dB: Float[Tensor, "paths channels"]
    noise: Float[Tensor, "paths n"]


def pilot_paths(entries: int) -> int:
    """How many pilot paths there are where a diffusion matrix has so many entries: 64, or fewer, 16 at least."""
    return max(FEWEST, min(PATHS, ENTRIES // (max(entries, 1) * (TIMES + 1))))


def spread(of: int, count: int) -> Int[Tensor, " count"]:
    """``count`` of the numbers below ``of``, evenly spread."""
    return torch.linspace(0, of - 1, count).round().long()


def pilot(
    sde: SDE, x0: Float[Tensor, "paths n"], grid: TimeGrid, *, channels: int, generator: torch.Generator
) -> list[Visit]:
    """Euler's steps through the grid, 8 at most, from states spread over the rows of ``x0`` ``(rows, n)``.

    Of as many of the paths as are still in the numbers and in the coefficients' domain. Itô or Stratonovich is all one
    here: only whereabouts are asked for.
    """
    x = x0[spread(len(x0), pilot_paths(x0.shape[-1] * channels))]
    steps = min(grid.steps, TIMES)
    dt = (grid.t1 - grid.t0) / steps
    width = torch.full((len(x), 1), WIDTH, dtype=torch.float64)
    width[::4] = 1.0
    dB = torch.randn(steps + 1, len(x), channels, generator=generator, dtype=torch.float64)
    dB, plain = (dB * width * dt**0.5).to(x), (width[:, 0] == 1).to(x.device)
    visits: list[Visit] = []
    while len(visits) <= steps and len(x):
        i = len(visits)
        t = torch.as_tensor(grid.t0 + i * dt, dtype=x.dtype, device=x.device)
        try:
            drift, noise = value_of(sde.f(t, x)), diffusion_product(sde, t, x, dB[i])
        except FROM_INSIDE:
            # A state that no path of a run meets, perhaps: the paths of more noise go first, then all of them.
            keep = plain & ~plain.all()
        else:
            # A step of the drift no longer than the state is: coarse steps of a stiff drift would leave for infinity.
            longest = 1 + x.abs()
            after = x + torch.minimum(torch.maximum(dt * drift, -longest), longest) + value_of(noise)
            keep = torch.isfinite(after).all(-1)
            if bool(keep.all()):
                visits.append(Visit(t, x, dB[i], noise))
                x = after
                continue
        x, dB, plain = x[keep], dB[:, keep], plain[keep]
    return visits
