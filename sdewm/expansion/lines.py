"""Lines through the noise, which lead paths further out than any that is drawn.

All increments of a path are one vector, scaled by ρ: ρ is standard normal along the line, so that its density tells how
rare each of these paths is. Where a line leads depends on when the noise comes: a mean-reverting path forgets all but
the last of it. So there are lines with the same noise all the time, and lines that move one component of the state by
the least noise, which to first order is along its derivative in every increment.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
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
MOST_STATES = 16  # components of states, at the times of a loss, that have lines of their own
MIXED = 8  # lines in random combinations of either
MOST_PIECES = 512  # of the noise, stretches of time times channels, that are told from each other
RARE = 3.0  # so many standard deviations out few paths come


@dataclass(frozen=True)
class StraightIncrements:
    """Increments along lines: for each ρ, each line's direction times ρ, the same at all steps of a stretch of time.

    The normal numbers of a whole path are a vector as long as ρ times its direction.
    """

    rho: Float[Tensor, " rho"]
    directions: Float[Tensor, "lines stretches channels"]
    grid: TimeGrid
    weights: None = None

    @property
    def steps(self) -> int:
        return self.grid.steps

    @property
    def paths(self) -> int:
        return len(self.rho) * len(self.directions)

    @property
    def channels(self) -> int:
        return self.directions.shape[-1]

    def __iter__(self) -> Iterator[Float[Tensor, "paths channels"]]:
        for stretch, steps in enumerate(_lengths(self.directions.shape[1], self.steps)):
            each = self.directions[:, stretch] * math.sqrt(self.grid.dt / steps)
            increments = (self.rho[:, None, None] * each).flatten(0, 1)
            for _ in range(steps):
                yield increments

    def coarsen(self, factor: int) -> Increments:
        check_factor(factor, self.steps)
        raise NotImplementedError("a line is walked on one grid")


@dataclass(frozen=True)
class Lines:
    """Lines through the noise, a path for each ρ and line, the lines of one ρ together."""

    rho: Float[Tensor, " rho"]
    directions: Float[Tensor, "lines stretches channels"]
    x0: Float[Tensor, " n"]
    grid: TimeGrid

    @property
    def noise(self) -> StraightIncrements:
        return StraightIncrements(self.rho.to(self.x0), self.directions.to(self.x0), self.grid)

    def losses(self, loss: SummedLoss, sde: SDE, method: Method) -> Float[Tensor, "rho lines"]:
        """The loss of every path."""
        weights = loss.on(self.grid)
        total = torch.zeros(len(self.rho) * len(self.directions), dtype=torch.float64)
        for i, t, x in self._walk(sde, method):
            if i in weights:
                total += weights[i] * value_of(loss.fn(t, x)).to(total)
        return total.view(len(self.rho), -1)

    def states(self, loss: SummedLoss, sde: SDE, method: Method) -> Float[Tensor, "rho lines states"]:
        """Components of the states where the loss looks at them: the last :data:`MOST_STATES`."""
        weights = loss.on(self.grid)
        kept: list[Tensor] = []
        for i, _, x in self._walk(sde, method):
            if i in weights:
                kept = [*kept, value_of(x)[:, :MOST_STATES].double().cpu()][-MOST_STATES:]
        return torch.cat(kept, 1)[:, -MOST_STATES:].unflatten(0, (len(self.rho), -1))

    def most_bent(self, losses: Float[Tensor, "rho lines"], most: int) -> Lines:
        """Those lines along which the loss bends most, where few paths come."""
        rho = self.rho[1:-1]
        bent = losses.diff(n=2, dim=0).abs().nan_to_num(0.0, math.inf) * torch.exp(-0.5 * rho[:, None] ** 2)
        order = bent[rho.abs() >= RARE].amax(0).argsort(descending=True, stable=True)[:most]
        return replace(self, directions=self.directions[order])

    def _walk(self, sde: SDE, method: Method) -> Iterator[tuple[int, Tensor, Tensor]]:
        return trajectory(sde, self.x0, self.grid, method=method_along_lines(method, sde), noise=self.noise)


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
    """Lines in several directions, up to ρ = ``reach``: in those of :func:`_combined` from three sets.

    The same noise along the whole of a path, the same along its second half and none before, and what moves components
    of the states that the loss looks at.
    """
    steps = _lengths(_stretches(grid, channels), grid.steps).double()
    half = steps * (steps.cumsum(0) > grid.steps // 2)
    few = torch.eye(channels, dtype=torch.float64)[:MOST_CHANNELS]
    sets = [(when / when.sum()).sqrt()[:, None] * few[:, None] for when in (steps, half)]
    if len(steps) * channels <= MOST_PIECES:
        pieces = torch.eye(len(steps) * channels, dtype=torch.float64).unflatten(1, (len(steps), channels))
        moves = Lines(torch.tensor([1.0, -1.0], dtype=torch.float64), pieces, x0, grid).states(loss, sde, method)
        sets.append((moves[0] - moves[1]).nan_to_num(0.0, 0.0, 0.0).T.unflatten(1, (len(steps), channels)))

    def along(directions: Tensor, rho: Tensor) -> Tensor:
        return Lines(rho, directions, x0, grid).losses(loss, sde, method)

    directions = torch.cat([_combined(vectors, along, reach) for vectors in sets])
    return Lines(points(reach, STEP), directions, x0, grid)


def _combined(vectors: Tensor, losses_along: Callable[[Tensor, Tensor], Tensor], reach: float) -> Tensor:
    """Unit vectors of the noise: those given, all together, random combinations, and those along which the loss changes
    and bends most."""
    vectors = _of_length_one(vectors)
    if len(vectors) < 2:
        return vectors
    # Those given may be nearly parallel, as are states at times that follow each other.
    _, sizes, rows = torch.linalg.svd(vectors.flatten(1), full_matrices=False)
    across = rows[sizes > 1e-6 * sizes[0]].unflatten(1, vectors.shape[1:])
    ends = torch.tensor([reach, -reach, 0.0], dtype=torch.float64)
    ahead, back, start = losses_along(across, ends).nan_to_num(0.0, 0.0, 0.0)
    mixed = torch.randn(MIXED, len(across), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    change, bend = (torch.einsum("k,kbm->bm", by, across) for by in (ahead - back, ahead + back - 2 * start))
    together = torch.stack([vectors.sum(0), change, bend])
    return _of_length_one(torch.cat([vectors, together, torch.einsum("rk,kbm->rbm", mixed, across)]))


def _of_length_one(vectors: Tensor) -> Tensor:
    """Each divided by its length, without those that have none."""
    size = vectors.flatten(1).abs().amax(1)
    vectors = vectors[size > 0] / size[size > 0, None, None]
    return vectors / vectors.flatten(1).norm(dim=1)[:, None, None]


def _stretches(grid: TimeGrid, channels: int) -> int:
    """How many stretches of time there are in a line's noise: every step, or an even number."""
    most = max(MOST_PIECES // channels, 2)
    return grid.steps if grid.steps <= most else most // 2 * 2


def _lengths(stretches: int, steps: int) -> Int[Tensor, " stretches"]:
    """How many steps each stretch has: about as many as the others."""
    return (torch.arange(stretches + 1) * steps // stretches).diff()


def method_along_lines(method: Method, sde: SDE) -> Method:
    """The method, or one that takes no areas, which lines through the noise do not have."""
    used = stepper(method, sde)
    if used.may_need_areas or used.needs_time_areas:
        return "euler" if sde.sde_type == "ito" else "heun"
    return method
