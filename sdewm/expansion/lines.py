"""Lines through the noise, which lead paths further out than any that is drawn.

All increments of a path are one vector, scaled by ρ: ρ is standard normal along the line, so that its density tells how
rare each of these paths is.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sdewm.jets import value_of
from sdewm.noise.grid import TimeGrid
from sdewm.noise.increments import Increments, check_factor
from sdewm.solvers.loop import trajectory
from sdewm.solvers.methods import Method, stepper
from sdewm.systems.losses import SummedLoss
from sdewm.systems.sde import SDE

STEP = 0.25  # between the points of a line
MOST_CHANNELS = 16  # that have lines of their own
MIXED = 8  # lines in random combinations of the channels
RARE = 3.0  # so many standard deviations out few paths come


@dataclass(frozen=True)
class StraightIncrements:
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


@dataclass(frozen=True)
class Lines:
    """Lines through the noise, a path for each ρ and line, the lines of one ρ together."""

    rho: Float[Tensor, " rho"]
    directions: Float[Tensor, "lines channels"]
    late: Bool[Tensor, " lines"]
    x0: Float[Tensor, " n"]
    grid: TimeGrid

    @property
    def noise(self) -> StraightIncrements:
        vectors = (self.rho[:, None, None] * self.directions).flatten(0, 1)
        return StraightIncrements(vectors.to(self.x0), self.late.repeat(len(self.rho)).to(self.x0.device), self.grid)

    def losses(self, loss: SummedLoss, sde: SDE, method: Method) -> Float[Tensor, "rho lines"]:
        """The loss of every path."""
        weights = loss.on(self.grid)
        total = torch.zeros(len(self.rho) * len(self.late), dtype=torch.float64)
        method = method_along_lines(method, sde)
        for i, t, x in trajectory(sde, self.x0, self.grid, method=method, noise=self.noise):
            if i in weights:
                total += weights[i] * value_of(loss.fn(t, x)).to(total)
        return total.view(len(self.rho), -1)

    def most_bent(self, losses: Float[Tensor, "rho lines"], most: int) -> Lines:
        """Those lines along which the loss bends most, where few paths come."""
        rho = self.rho[1:-1]
        bent = losses.diff(n=2, dim=0).abs().nan_to_num(0.0, math.inf) * torch.exp(-0.5 * rho[:, None] ** 2)
        order = bent[rho.abs() >= RARE].amax(0).argsort(descending=True, stable=True)[:most]
        return replace(self, directions=self.directions[order], late=self.late[order])


def points(reach: float, step: float) -> Float[Tensor, " rho"]:
    """ρ from −reach to reach."""
    return torch.arange(-reach, reach + step, step, dtype=torch.float64)


def lines_through(
    loss: SummedLoss,
    sde: SDE,
    x0: Float[Tensor, " n"],
    grid: TimeGrid,
    *,
    channels: int,
    method: Method,
    reach: float,
) -> Lines:
    """Lines in several directions, along the whole of a path and along its second half alone, up to ρ = ``reach``."""
    directions = _directions(loss, sde, x0, grid, channels, method, reach).repeat(2, 1)
    late = torch.arange(len(directions)) >= len(directions) // 2
    return Lines(points(reach, STEP), directions, late, x0, grid)


def _directions(
    loss: SummedLoss, sde: SDE, x0: Tensor, grid: TimeGrid, channels: int, method: Method, reach: float
) -> Float[Tensor, "_ channels"]:
    """Unit vectors of the noise: some channels, all together, random ones, and those along which the loss changes and
    bends most."""
    few = torch.eye(channels, dtype=torch.float64)[:MOST_CHANNELS]
    ends = torch.tensor([reach, -reach, 0.0], dtype=torch.float64)
    lines = Lines(ends, few, torch.zeros(len(few), dtype=torch.bool), x0, grid)
    ahead, back, start = lines.losses(loss, sde, method).nan_to_num(0.0, 0.0, 0.0)
    mixed = torch.randn(MIXED, channels, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    together = torch.stack(
        [torch.ones(channels, dtype=torch.float64), (ahead - back) @ few, (ahead + back - 2 * start) @ few]
    )
    vectors = torch.cat([few, together, mixed]) if channels > 1 else few
    length = vectors.norm(dim=1, keepdim=True)
    return (vectors / length)[length[:, 0] > 0]


def method_along_lines(method: Method, sde: SDE) -> Method:
    """The method, or one that takes no areas, which lines through the noise do not have."""
    used = stepper(method, sde)
    if used.may_need_areas or used.needs_time_areas:
        return "euler" if sde.sde_type == "ito" else "heun"
    return method
