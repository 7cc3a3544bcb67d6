"""The oracle map of Proposition A.7 in one dimension: the increasing map that carries one measure to another.

It is the only increasing one, and its derivative is p/(q∘g): one order smoother than the densities, where q > 0.

>>> g = QuantileMap(IntervalMeasure((1.0, 0.5)), IntervalMeasure())
>>> g(np.array([-1.0, 0.0, 1.0])).round(12)
array([-1.  , -0.25,  1.  ])
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from sdewm import arguments
from sdewm.approximation.densities import IntervalMeasure


@dataclass(frozen=True)
class QuantileMap:
    """g with g_# ``source`` = ``target``, on coordinates ``(n,)`` in [−1, 1]."""

    source: IntervalMeasure
    target: IntervalMeasure

    def __post_init__(self) -> None:
        for name in ("source", "target"):
            arguments.instance(name, getattr(self, name), IntervalMeasure, "an IntervalMeasure(coefficients)")

    def __call__(self, x: Float64[np.ndarray, "..."]) -> Float64[np.ndarray, "..."]:
        return self.target.quantile(self.source.cdf(x))

    def inverse(self, y: Float64[np.ndarray, "..."]) -> Float64[np.ndarray, "..."]:
        return self.source.quantile(self.target.cdf(y))

    def slope(self, x: Float64[np.ndarray, "..."]) -> Float64[np.ndarray, "..."]:
        """g′ = p/(q∘g); infinite where only the target's density vanishes."""
        with np.errstate(divide="ignore"):
            return self.source.density(x) / self.target.density(self(x))
