"""What a stepper is: one step of a method, with the orders it declares and what it needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from sdewm.noise.grid import TimeGrid
from sdewm.systems.sde import SDE


class Stepper(Protocol):
    """One step of a method, with the orders it declares and what it needs.

    ``strong_order`` and ``weak_order`` hold for every noise of an SDE whose ``sde_type`` is in ``sde_types``.
    ``prepare`` is called once at the start of a solve and returns the stepper that makes the steps; where that one's
    ``needs_areas`` is true, its ``step`` gets the Lévy areas ``(paths, m, m)`` as one more argument.
    """

    @property
    def strong_order(self) -> float: ...

    @property
    def weak_order(self) -> float: ...

    @property
    def sde_types(self) -> tuple[str, ...]: ...

    @property
    def needs_areas(self) -> bool: ...

    def check(self, sde: SDE) -> None: ...

    def prepare(self, sde: SDE, x0: Tensor, grid: TimeGrid) -> Stepper: ...

    def step(self, sde: SDE, t: Tensor, dt: float, x: Tensor, dB: Tensor, area: Tensor | None = None) -> Tensor: ...


@dataclass(eq=False)
class NonFiniteState(ArithmeticError):
    """A path left the numbers: at which time, in which component, and for how many paths."""

    time: float
    component: int
    paths: int
    of: int

    def __str__(self) -> str:
        return (
            f"x: component {self.component} is not finite at t = {self.time:g} on {self.paths} of {self.of} paths. "
            "A smaller step, or coefficients of at most linear growth, would help."
        )
