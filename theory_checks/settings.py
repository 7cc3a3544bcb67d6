"""What a run of the checks asks for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """The relative ``precision`` of a coefficient, and the seed.

    A coefficient that is known exactly is held to this part of itself, one that is measured to this part of its
    root mean square over paths, since its mean may vanish.
    """

    precision: float = 1e-3
    seed: int = 0

    def paths(self, at_default: int) -> int:
        """Sample sizes follow the precision: quasi-Monte Carlo errors fall about like 1/paths."""
        return max(2**8, int(at_default * 1e-3 / self.precision))
