"""Schemes whose steps go by the structure of the noise."""

from __future__ import annotations

from abc import abstractmethod

from jaxtyping import Float
from torch import Tensor

from sdewm.noise.grid import TimeGrid
from sdewm.solvers.base import Stepper
from sdewm.solvers.registry import fitting
from sdewm.solvers.structure import NoiseStructure, noise_structure
from sdewm.systems.sde import SDE


class Structured(Stepper):
    """A scheme for a noise whose ``structure`` is given, or else measured at the start of a solve.

    A scheme writes :meth:`prepared`, and what that returns makes the steps.
    """

    def __init__(self, structure: NoiseStructure | None = None) -> None:
        self.structure = structure

    @abstractmethod
    def prepared(self, structure: NoiseStructure, x0: Float[Tensor, "*paths n"]) -> Stepper:
        """What makes the steps from ``x0`` for a noise of this structure."""

    def prepare(self, sde: SDE, x0: Float[Tensor, "*paths n"], grid: TimeGrid) -> Stepper:
        """The scheme for the structure; ``ValueError`` where the one that is found is not among its ``structures``."""
        structure = self.structure
        if structure is None:
            structure = fitting(self, sde, noise_structure(sde, x0, grid))
        return self.prepared(structure, x0)

    def step(
        self,
        sde: SDE,
        t: Float[Tensor, ""],
        dt: float,
        x: Float[Tensor, "paths n"],
        dB: Float[Tensor, "paths channels"],
        area: Float[Tensor, "paths channels *channels"] | None = None,
    ) -> Float[Tensor, "paths n"]:
        """One step by itself; measures the structure anew, at states near x."""
        at = float(t)
        return self.prepare(sde, x, TimeGrid(at, at + dt, 1)).step(sde, t, dt, x, dB, area)
