"""The input of an expansion, checked before any work is done."""

from __future__ import annotations

from collections.abc import Mapping

from jaxtyping import Float
from torch import Tensor

from sdewm import arguments
from sdewm.noise.grid import TimeGrid
from sdewm.solvers.loop import check_system
from sdewm.solvers.methods import Method, carrying_jets
from sdewm.systems.checks import check_loss
from sdewm.systems.losses import SummedLoss
from sdewm.systems.perturbed import PerturbedSDE


def check_problem(
    family: PerturbedSDE,
    losses: Mapping[str, SummedLoss],
    x0: Float[Tensor, " n"],
    grid: TimeGrid,
    *,
    method: Method,
    grids: int,
) -> int:
    """Check all input of an expansion before any work is done. Returns the number of noise channels."""
    if not isinstance(family, PerturbedSDE):
        raise TypeError(f"family: expected a PerturbedSDE(base, error), got {type(family).__name__}")
    arguments.instance("grid", grid, TimeGrid, "a TimeGrid(t0, t1, steps)")
    if grids < 1 or grids > grid.steps.bit_length() or grid.steps % 2 ** (grids - 1):
        raise ValueError(
            f"grids: expected a number with 2^(grids-1) a divisor of the grid's {grid.steps} steps, got {grids}"
        )
    carrying_jets(method, family.base)
    probe = check_system(family.at(1.0), arguments.state(x0), grid, method=method)
    for loss in losses.values():
        for halvings in range(grids):
            loss.on(grid.coarsen(2**halvings))
        check_loss("loss", loss.fn, loss.times, probe)
    return probe.channels
