"""Losses that none of the paths that were drawn reach, so that a standard error says nothing of them.

Of 16,384 paths none may come where exp(9 x − 36) is large, and those that do carry its mean. Along a line through the
noise, all of it scaled by ρ, such paths are easy to make, and the normal density of ρ tells how rare they are.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sdewm.estimate.samples import Moments
from sdewm.jets import value_of
from sdewm.noise.grid import TimeGrid
from sdewm.noise.increments import Increments, check_factor
from sdewm.solvers.loop import trajectory
from sdewm.solvers.methods import Method, stepper
from sdewm.systems.losses import SummedLoss
from sdewm.systems.pilot import pilot
from sdewm.systems.sde import SDE
from sdewm.systems.user_functions import FROM_INSIDE

# So many times as far from x0 as pilot paths go, a loss is held against what it is on all paths.
FURTHER = tuple(2.0**k for k in range(11))
# Lines are followed for so many standard deviations; fewer where paths that far out leave the numbers or a domain.
REACH = (8.0, 6.0, 5.0)
STEP = 0.25  # between their points
MOST_CHANNELS = 16  # that have lines of their own
MIXED = 8  # lines in random combinations of the channels
# A mean that lacks this many of its standard errors is said to.
LACKING = 2.0


def unreached(
    found: Moments,
    loss: SummedLoss,
    sde: SDE,
    x0: Float[Tensor, " n"],
    grid: TimeGrid,
    *,
    channels: int,
    method: Method = "euler",
) -> str:
    """Why nothing is known of a mean of which ``found`` are the moments; empty where it is known.

    Either all paths have one value, and the loss further out is another one, as max(x − 5, 0) is: a loss that is
    constant, and a system without noise, have equal values by themselves. Or paths further out than any that was drawn
    are known to carry more than standard errors allow: along one of some lines through the noise.
    """
    if found.spread <= 1e-14 * found.rms and _changes(loss, sde, x0, grid, channels):
        return (
            f"all {found.n} paths give {found.mean:.3g}, and the loss is another one further out: up to 3 in {found.n} "
            "paths (at 95 %) may reach that, and carry the mean. Draw more paths, or start closer to it"
        )
    stderr = found.spread / math.sqrt(found.n)
    lacking, where = _lacking(found, loss, sde, x0, grid, channels, method) if stderr > 0 else (0.0, 0.0)
    if lacking <= LACKING * stderr:
        return ""
    return (
        f"paths about {where:.1f} standard deviations out add {lacking:.2g} or more to the mean, and none of {found.n} "
        "was such a one, so that no standard error tells. Draw more paths, or bound the loss"
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


@dataclass(frozen=True)
class _Straight:
    """Increments along lines: at each step the same vector ``(paths, m)``, or that in the second half and none before.

    The whole path's vector of normal numbers has the length that the row of ``vectors`` has.
    """

    vectors: Float[Tensor, "paths channels"]
    late: Bool[Tensor, " paths"]
    grid: TimeGrid
    weights: None = None

    @property
    def steps(self) -> int:
        return self.grid.steps

    @property
    def paths(self) -> int:
        return len(self.vectors)

    @property
    def channels(self) -> int:
        return self.vectors.shape[1]

    def __iter__(self) -> Iterator[Float[Tensor, "paths channels"]]:
        half = self.steps // 2
        whole = self.vectors * math.sqrt(self.grid.dt / self.steps)
        second = self.vectors * math.sqrt(self.grid.dt / (self.steps - half))
        for i in range(self.steps):
            yield torch.where(self.late.unsqueeze(1), second if i >= half else torch.zeros_like(second), whole)

    def coarsen(self, factor: int) -> Increments:
        check_factor(factor, self.steps)
        raise NotImplementedError("a line is walked on one grid")


def _lacking(
    found: Moments, loss: SummedLoss, sde: SDE, x0: Tensor, grid: TimeGrid, channels: int, method: Method
) -> tuple[float, float]:
    """What a mean lacks at least, along the line where that is most, and how far out it is.

    What is no further from the mean than some path was counts for nothing.
    """
    furthest = math.ldexp(found.fourth**0.25, found.exponent)  # no path was further from the mean
    for reach in REACH:
        rho = torch.arange(-reach, reach + STEP, STEP, dtype=torch.float64)
        with suppress(ArithmeticError, *FROM_INSIDE), torch.no_grad():
            directions = _directions(loss, sde, x0, grid, channels, method, reach)
            lines = len(directions)
            vectors = (rho[:, None, None] * torch.cat([directions, directions])).flatten(0, 1)
            late = (torch.arange(2 * lines) >= lines).repeat(len(rho))
            values = _along(loss, sde, x0, grid, method, vectors, late).view(len(rho), 2 * lines)
            excess = ((values - found.mean).abs() - furthest).nan_to_num(0.0, math.inf, 0.0).clamp(min=0.0)
            density = torch.exp(-0.5 * rho**2) * (STEP / math.sqrt(2 * math.pi))
            parts = excess * density.unsqueeze(1)
            most = int(parts.sum(0).argmax())
            return float(parts[:, most].sum()), abs(float(rho[parts[:, most].argmax()]))
    return 0.0, 0.0


def _directions(
    loss: SummedLoss, sde: SDE, x0: Tensor, grid: TimeGrid, channels: int, method: Method, reach: float
) -> Float[Tensor, "_ channels"]:
    """Unit vectors of the noise: some channels, all together, random ones, and those along which the loss changes and
    bends most."""
    few = torch.eye(channels, dtype=torch.float64)[:MOST_CHANNELS]
    values = _along(loss, sde, x0, grid, method, reach * torch.cat([few, -few, 0 * few])).nan_to_num(0.0, 0.0, 0.0)
    ahead, back, start = values.chunk(3)
    mixed = torch.randn(MIXED, channels, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    together = torch.stack(
        [torch.ones(channels, dtype=torch.float64), (ahead - back) @ few, (ahead + back - 2 * start) @ few]
    )
    vectors = torch.cat([few, together, mixed]) if channels > 1 else few
    length = vectors.norm(dim=1, keepdim=True)
    return (vectors / length)[length[:, 0] > 0]


def _along(
    loss: SummedLoss, sde: SDE, x0: Tensor, grid: TimeGrid, method: Method, vectors: Tensor, late: Tensor | None = None
) -> Float[Tensor, " paths"]:
    """The loss of the paths along some lines, ``(paths,)``; a method that takes areas has none there."""
    used = stepper(method, sde)
    if used.may_need_areas or used.needs_time_areas:
        method = "euler" if sde.sde_type == "ito" else "heun"
    late = torch.zeros(len(vectors), dtype=torch.bool) if late is None else late
    noise, weights = _Straight(vectors.to(x0), late.to(x0.device), grid), loss.on(grid)
    total = torch.zeros(len(vectors), dtype=torch.float64)
    for i, t, x in trajectory(sde, x0, grid, method=method, noise=noise):
        if i in weights:
            total += weights[i] * value_of(loss.fn(t, x)).to(total)
    return total
