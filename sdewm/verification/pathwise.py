"""Claims that hold path by path: a few paths to check them on, and a row for the gap between two routes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from sdewm.estimate.estimates import Estimate
from sdewm.noise.increments import Increments
from sdewm.systems.pilot import pilot
from sdewm.verdicts.judge import Comparison, LeftOut
from sdewm.verification.comparisons import excuse, hidden
from sdewm.verification.once import once_for_system
from sdewm.verification.samples import channels, sampler
from sdewm.verification.settings import Settings
from sdewm.verification.system import System

PATHS = 32


def few_paths(system: System, settings: Settings) -> Increments:
    """Increments of 32 paths on the system's grid, with areas where its method needs them."""
    drawn = sampler(system, replace(settings.first, sampler="mc"), PATHS, 0, purpose=4)
    return next(iter(drawn.draw(range(drawn.replicates), channels(system), system.grid, system.x0)))


def relative(value: Float[Tensor, "..."], truth: Float[Tensor, "..."]) -> float:
    """The root mean square of the difference, relative to that of the truth."""
    value, truth = value.detach(), truth.detach()
    return float((value - truth).square().mean().sqrt() / truth.square().mean().sqrt())


@once_for_system
def reach(system: System) -> Float[Tensor, " n"]:
    """The size of each coordinate of the state, ``(n,)``: its largest absolute value on pilot paths of the base.

    It is at most ``1 + |x0|``, the scale on which typical functions vary; and equal to that if the coordinate stays 0.
    """
    x0, grid = system.x0, system.grid
    visits = pilot(
        system.family.base, x0[None], grid, channels=channels(system), generator=torch.Generator().manual_seed(0)
    )
    usual = 1 + x0.abs()
    found = torch.cat([x0[None], *(visit.x for visit in visits)]).abs().amax(0)
    return torch.minimum(torch.where(found > 0, found, usual), usual)


def rounding(
    route: Callable[[Float[Tensor, " n"]], Float[Tensor, "..."]],
    x0: Float[Tensor, " n"],
    steps: int,
    size: Float[Tensor, " n"],
) -> float:
    """The relative error of a route's result by rounding: how much it changes if the last digits of x0 change.

    So the growth of rounding errors along paths, as in a chaotic system, is part of it. ``size`` ``(n,)`` is that of
    the states, see :func:`reach`.
    """
    unit = torch.finfo(x0.dtype).eps
    here = route(x0)
    moved = [relative(route(x0 + k * unit * size), here) for k in (-8.0, 8.0)]
    return max(*moved, 100 * unit * math.sqrt(steps))


def gap_row(
    claim: str,
    system: System,
    quantity: str,
    reading: str,
    gap: float,
    numerical: float,
    margin: float,
    started: float,
    kinks: set[str],
    settings: Settings,
) -> Comparison | LeftOut:
    """A row for a gap between two routes that should be 0 up to its numerical error, and has no sampling error.

    Its computation began at ``started``. In less than double precision it is left out if rounding exceeds the margin.
    """
    if system.x0.dtype != torch.float64 and gap <= numerical and gap + numerical > margin:
        return LeftOut(claim, system.name, quantity, "corrected", reading, hidden(system.x0.dtype))
    return Comparison(
        claim=claim, system=system.name, quantity=quantity, form="corrected", reading=reading,
        statistic=Estimate(gap, 0.0, PATHS, seed=settings.seed), expected=0.0, numerical=numerical, margin=margin,
        scale=1.0, seconds=time.perf_counter() - started,
        config={"steps": system.grid.steps, "method": system.method, "paths": PATHS}, excuse=excuse(frozenset(kinks)),
    )  # fmt: skip
