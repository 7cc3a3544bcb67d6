"""What holds path by path, and needs no estimate: a few paths, and a row for the gap between two routes."""

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
    """Root mean square of the difference, in parts of the truth's."""
    return float((value - truth).square().mean().sqrt() / truth.square().mean().sqrt())


@once_for_system
def reach(system: System) -> Float[Tensor, " n"]:
    """How large each state of the base is, ``(n,)``: at least x0, and as far as pilot paths go.

    At most ``1 + |x0|``, about which a function of a usual size changes; for a state that stays at 0 that is all there
    is to say.
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
    """How far rounding may move what a route gives, relative: what it makes of an x0 that differs in its last digits.

    ``size`` ``(n,)`` is how large states are, see :func:`reach`.
    A chaotic system lets rounding grow as it lets any other difference grow.
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
    """A gap that should be 0 but for its numerical error, and has no sampling error. It has taken since ``started``.

    Left out where no double precision was asked for, and rounding takes up the margin.
    """
    if system.x0.dtype != torch.float64 and gap <= numerical and gap + numerical > margin:
        return LeftOut(claim, system.name, quantity, "corrected", reading, hidden(system.x0.dtype))
    return Comparison(
        claim=claim, system=system.name, quantity=quantity, form="corrected", reading=reading,
        statistic=Estimate(gap, 0.0, PATHS, seed=settings.seed), expected=0.0, numerical=numerical, margin=margin,
        scale=1.0, seconds=time.perf_counter() - started,
        config={"steps": system.grid.steps, "method": system.method, "paths": PATHS}, excuse=excuse(frozenset(kinks)),
    )  # fmt: skip
