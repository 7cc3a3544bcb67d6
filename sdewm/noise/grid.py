"""The time grid."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from sdewm import arguments

# A time is on the grid where it is within so much of a step of it, and so many units in its last digit.
NEAR, DIGITS = 1e-6, 4.0


@dataclass(frozen=True)
class TimeGrid:
    """``steps`` equal steps from ``t0`` to ``t1``.

    >>> grid = TimeGrid(0.0, 1.0, 16)
    >>> grid.dt, grid.index(0.5)
    (0.0625, 8)
    """

    t0: float
    t1: float
    steps: int

    def __post_init__(self) -> None:
        for name in ("t0", "t1"):
            object.__setattr__(self, name, arguments.real(name, getattr(self, name)))
        if not self.t0 < self.t1:
            raise ValueError(f"t0, t1: expected finite times with t0 < t1, got t0={self.t0}, t1={self.t1}")
        object.__setattr__(self, "steps", arguments.integer("steps", self.steps, 1))
        if not self.dt > 4 * DIGITS * self._digit:
            raise ValueError(
                f"steps: expected steps that can be told apart in double precision, where times up to {self.t1!r} are "
                f"{self._digit:.2g} apart, got {self.steps} steps of {self.dt:.2g}; count time from 0"
            )

    @property
    def dt(self) -> float:
        return (self.t1 - self.t0) / self.steps

    @property
    def _digit(self) -> float:
        return math.ulp(max(abs(self.t0), abs(self.t1)))

    def time(self, i: int) -> float:
        """The time after i steps; after all of them t1 to the last digit."""
        return self.t1 if i == self.steps else self.t0 + (self.t1 - self.t0) * i / self.steps

    def coarsen(self, factor: int) -> TimeGrid:
        """The grid with every ``factor`` steps made one; ``ValueError`` where they do not divide."""
        factor = arguments.integer("factor", factor)
        if factor < 1 or self.steps % factor:
            raise ValueError(f"factor: expected a divisor of the grid's {self.steps} steps, got {factor}")
        return replace(self, steps=self.steps // factor)

    def index(self, t: float, name: str = "t") -> int:
        """The number of steps to time t; ``ValueError`` where t, which it calls ``name``, is not on the grid."""
        t = arguments.real(name, t)
        i = round((t - self.t0) / self.dt)
        if not 0 <= i <= self.steps or abs(self.time(i) - t) > NEAR * self.dt + DIGITS * self._digit:
            grid = f"from {self.t0:.12g} to {self.t1:.12g} in steps of {self.dt:.12g}"
            raise ValueError(f"{name}: expected a time on the grid {grid}, got {t:.12g}")
        return i


def check_factor(factor: int, steps: int) -> None:
    if factor < 1 or steps % factor:
        raise ValueError(f"factor: expected a divisor of {steps} steps, got {factor}")
