"""Proposition A.7 on the circle, where F can be a covering of several sheets: g = ψ∘F, with ψ increasing.

>>> p, q = CircleMeasure((0.5,), (0.0, 0.3)), CircleMeasure((0.2,))
>>> p.covered(2)  # what θ ↦ 2θ carries p to: only its even frequencies are left
CircleMeasure(cosines=(), sines=(0.3,))
>>> bool(np.isclose(CircleOracle(p, q, 2)(np.array([np.pi])), 2 * np.pi))
True
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from scipy.optimize.elementwise import find_root

from sdewm import arguments

TURN = 2 * math.pi


@dataclass(frozen=True)
class CircleMeasure:
    """Density (1 + Σ ``cosines``[n − 1] cos nθ + ``sines``[n − 1] sin nθ)/2π, which must be positive."""

    cosines: tuple[float, ...] = ()
    sines: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        lowest = self.density(TURN * np.arange(720) / 720).min()
        if not lowest > 0:
            raise ValueError(f"cosines, sines: expected a positive density, got one that goes to {lowest:g}")

    def density(self, theta: Float64[np.ndarray, "..."]) -> Float64[np.ndarray, "..."]:
        waves = sum((a * np.cos(n * theta) for n, a in enumerate(self.cosines, 1)), np.zeros_like(theta))
        return (1 + sum((b * np.sin(n * theta) for n, b in enumerate(self.sines, 1)), waves)) / TURN

    def cdf(self, theta: Float64[np.ndarray, "..."]) -> Float64[np.ndarray, "..."]:
        """The mass from angle 0 on; grows by 1 with each turn."""
        rest = sum((a * np.sin(n * theta) / n for n, a in enumerate(self.cosines, 1)), np.zeros_like(theta))
        return (theta + sum((b * (1 - np.cos(n * theta)) / n for n, b in enumerate(self.sines, 1)), rest)) / TURN

    def quantile(self, u: Float64[np.ndarray, "..."]) -> Float64[np.ndarray, "..."]:
        """The inverse of :meth:`cdf`."""
        turns = np.floor(u)
        ends = (TURN * turns, TURN * (turns + 1))
        return find_root(lambda theta, target: self.cdf(theta) - target, ends, args=(u,)).x

    def covered(self, sheets: int) -> CircleMeasure:
        """What θ ↦ ``sheets``·θ carries it to: the sum over the sheets of (22)."""
        return CircleMeasure(self.cosines[sheets - 1 :: sheets], self.sines[sheets - 1 :: sheets])


@dataclass(frozen=True)
class CircleOracle:
    """g with g_# ``source`` = ``target``, that goes ``sheets`` times around."""

    source: CircleMeasure
    target: CircleMeasure
    sheets: int

    def __post_init__(self) -> None:
        arguments.integer("sheets", self.sheets, least=1)

    def __call__(self, theta: Float64[np.ndarray, "..."]) -> Float64[np.ndarray, "..."]:
        """At angles; the values are angles too, of ``sheets`` turns."""
        return self.target.quantile(self.source.covered(self.sheets).cdf(self.sheets * theta))
