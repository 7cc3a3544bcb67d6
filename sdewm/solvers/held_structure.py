"""A noise's structure held against the states that a run reaches."""

from __future__ import annotations

import random

import torch
from jaxtyping import Float
from torch import Tensor

from sdewm.jets import value_of
from sdewm.noise.grid import TimeGrid
from sdewm.solvers.registry import quoted, without_areas
from sdewm.solvers.structure import Departure, NoiseStructure, departure, extended
from sdewm.systems.sde import SDE

# One look is taken in so many steps, at random: in a shorter run there may be none.
LOOK_EVERY = 128
OUTERMOST = 8


class HeldStructure:
    """Holds a structure against the states of a run at a few of its steps, chosen at random.

    ``first`` is the run's first increment, which makes the choice another one for each block and the same each time.
    A structure that has everything in it is not held: there is nothing that it could lack.
    """

    def __init__(self, structure: NoiseStructure, grid: TimeGrid, first: Float[Tensor, "paths channels"]) -> None:
        self.structure = structure
        self.steps: frozenset[int] = frozenset()
        if structure.channels and not structure.is_largest:
            self.random = random.Random(first.flatten()[0].item())
            # One step of each stretch of so many; where the grid ends before that step, there is none.
            stretches = range(0, grid.steps, LOOK_EVERY)
            self.steps = frozenset(
                i for start in stretches if (i := start + self.random.randrange(LOOK_EVERY)) < grid.steps
            )

    def hold(self, sde: SDE, t: Float[Tensor, ""], x: Float[Tensor, "paths n"]) -> None:
        """Raise :class:`OtherStructure` if the noise departs from the structure on the outermost paths."""
        generator = torch.Generator().manual_seed(self.random.getrandbits(63))
        with torch.no_grad():
            states = _outermost(value_of(x).detach(), generator)
            found = departure(self.structure, sde, t, states, generator)
            if found is None:
                return
            needed = extended(self.structure, sde, t, states)
            if not (torch.equal(needed.acts, self.structure.acts) and torch.equal(needed.pairs, self.structure.pairs)):
                raise OtherStructure(self.structure, needed, found, float(t))


def _outermost(x: Tensor, generator: torch.Generator) -> Tensor:
    """The states furthest out, both ways, along a random coordinate or a random combination of them all."""
    n = x.shape[-1]
    coordinate = int(torch.randint(2 * n, (), generator=generator))
    if coordinate < n:
        along = x[:, coordinate]
    else:
        # In units of the spread of some of the states, so that no coordinate drowns the others.
        spread = x[:64].std(0, correction=0)
        weights = torch.randn(n, generator=generator, dtype=torch.float64).to(x)
        along = x @ (weights / torch.where(spread > 0, spread, 1.0))
    along = along.nan_to_num(0.0, 0.0, 0.0)
    count = min(OUTERMOST, len(x))
    return x[torch.cat([along.topk(count).indices, along.topk(count, largest=False).indices])]


class OtherStructure(ValueError):
    """A run met states at which the noise is not of the structure that its method took it to be."""

    def __init__(self, taken: NoiseStructure, needed: NoiseStructure, where: Departure, time: float) -> None:
        what = (
            f"vector {where.column} depends on the state along the noise"
            if where.commutes
            else f"vector {where.column} does not commute with the others"
        )
        super().__init__(
            f"g: at t = {time:g} component {where.component} of diffusion {what}, and the method took the noise to be "
            f"{taken.kind}, as it was along the pilot paths. Give the method the structure, such as "
            f'Milstein(NoiseStructure.assume("{needed.kind}", {needed.channels})), or use a method that assumes none: '
            f"{quoted(without_areas('ito'))} for Itô, {quoted(without_areas('stratonovich'))} for Stratonovich SDEs."
        )
        self.taken, self.needed, self.time, self.component = taken, needed, time, where.component
