"""Probability measures on the closed unit ball of R¹ and R²: the latent P, and Q in the coordinates of a chart.

A measure Q on a manifold is given by the density q √det g of its coordinates; q itself is that over the volume form.

>>> p = IntervalMeasure((1.0, 0.5))
>>> p.cdf(np.array([-1.0, 0.0, 1.0])).round(12)
array([0.   , 0.375, 1.   ])
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float64
from numpy.polynomial import Chebyshev, Polynomial
from scipy.optimize.elementwise import find_root

from sdewm import arguments
from sdewm.arrays import Array
from sdewm.systems.user_functions import named

# Nodes of the quadrature on the disk, in the radius and in the angle: exact for polynomials of degree 63.
RADII, ANGLES = 32, 64
# Nodes along a chord, and chords.
CHORDS = 40


@dataclass(frozen=True)
class IntervalMeasure:
    """On [−1, 1], with a density in proportion to Σ ``coefficients``[i] xⁱ + ``kink`` |x|^``power``.

    Its distribution function is in closed form. With 0 < α < 1 a kink of power k + α makes it of class C^{k,α} and no
    smoother. ``ValueError`` where the density is negative somewhere, or 0 everywhere.
    """

    coefficients: tuple[float, ...] = (1.0,)
    kink: float = 0.0
    power: float = 1.0

    def __post_init__(self) -> None:
        coefficients = arguments.reals("coefficients", self.coefficients)
        object.__setattr__(self, "coefficients", coefficients or (0.0,))
        object.__setattr__(self, "kink", arguments.real("kink", self.kink))
        object.__setattr__(self, "power", arguments.real("power", self.power, least=0.0))
        lowest = self._weight(np.linspace(-1, 1, 2001)).min()
        if not (lowest >= 0 and 0 < self._mass < math.inf):
            raise ValueError(f"coefficients: expected a density ≥ 0 that is not 0, got one that goes to {lowest:g}")

    def density(self, x: Float64[np.ndarray, "..."]) -> Float64[np.ndarray, "..."]:
        return self._weight(x) / self._mass

    def cdf(self, x: Float64[np.ndarray, "..."]) -> Float64[np.ndarray, "..."]:
        """The distribution function at ``x``, of any shape."""
        return (self._integral(np.asarray(x)) - self._integral(np.array(-1.0))) / self._mass

    def integrated_cdf(self, x: Float64[np.ndarray, "..."]) -> Float64[np.ndarray, "..."]:
        """The integral of :meth:`cdf` from −1 on; the distribution function is 0 below −1 and 1 above 1."""
        inside = np.clip(x, -1.0, 1.0)
        return self._twice(inside) - self._twice(np.array(-1.0)) + np.maximum(x - 1.0, 0.0)

    def quantile(self, u: Float64[np.ndarray, "..."]) -> Float64[np.ndarray, "..."]:
        """The inverse of :meth:`cdf`, to rounding; ``RuntimeError`` where the search does not end."""
        u = np.clip(np.asarray(u, dtype=np.float64), 0.0, 1.0)
        ends = (np.full_like(u, -1.0), np.full_like(u, 1.0))
        found = find_root(lambda x, target: self.cdf(x) - target, ends, args=(u,))
        if not np.all(found.success):
            raise RuntimeError("quantile: the search for a root did not end")
        return found.x

    def sample(self, n: int, rng: np.random.Generator) -> Float64[np.ndarray, " points"]:
        """Independent points ``(n,)``."""
        return self.quantile(rng.uniform(size=n))

    def _weight(self, x: Array) -> Array:
        return self._polynomial(x) + self.kink * np.abs(x) ** self.power

    def _integral(self, x: Array) -> Array:
        return self._antiderivative(x) + self.kink * np.sign(x) * np.abs(x) ** (self.power + 1) / (self.power + 1)

    def _twice(self, x: Array) -> Array:
        """An antiderivative of the distribution function."""
        power = self.power + 2
        kink = self.kink * np.abs(x) ** power / (power * (power - 1))
        return (self._antiderivative.integ()(x) + kink - self._integral(np.array(-1.0)) * x) / self._mass

    @cached_property
    def _polynomial(self) -> Polynomial:
        return Polynomial(self.coefficients)

    @cached_property
    def _antiderivative(self) -> Polynomial:
        return self._polynomial.integ()

    @cached_property
    def _mass(self) -> float:
        return float(self._integral(np.array(1.0)) - self._integral(np.array(-1.0)))


@dataclass(frozen=True)
class DiskMeasure:
    """On the closed unit disk, with a density in proportion to ``weight``, a function of ``(n, 2)``.

    ``ValueError`` where the weight is negative at a node of the quadrature.
    """

    weight: Callable[[Float64[np.ndarray, "points 2"]], Float64[np.ndarray, " points"]]

    def __post_init__(self) -> None:
        arguments.function("weight", self.weight, "points")
        nodes = disk_nodes()[0]
        with named(f"weight: expected a function of points, an array of shape {nodes.shape}"):
            found = np.asarray(self.weight(nodes), dtype=np.float64)
        if found.shape != (len(nodes),) or not np.isfinite(found).all():
            raise ValueError(f"weight: expected {len(nodes)} finite numbers for as many points, got {found.shape}")
        lowest = found.min()
        if lowest < 0:
            raise ValueError(f"weight: expected a density ≥ 0, got one that goes to {lowest:g}")

    def density(self, x: Float64[np.ndarray, "points 2"]) -> Float64[np.ndarray, " points"]:
        """At points ``(n, 2)``, as ``(n,)``."""
        return np.asarray(self.weight(x)) / self._mass

    def integral(self, f: Callable[[Float64[np.ndarray, "points 2"]], Float64[np.ndarray, " points"]]) -> float:
        """∫ f dP by quadrature, to rounding where f and the density are smooth."""
        nodes, weights = disk_nodes()
        return float(weights @ (f(nodes) * self.density(nodes)))

    def marginal_cdf(
        self, direction: Float64[np.ndarray, " 2"], at: Float64[np.ndarray, " points"]
    ) -> Float64[np.ndarray, " points"]:
        """The distribution function of x·``direction``, a unit vector, at ``at`` ``(n,)``."""
        # In φ, where x·direction = cos φ, it is smooth up to the ends.
        by_angle = Chebyshev.interpolate(lambda phi: self._beyond(phi, direction), CHORDS, domain=[0, math.pi])
        return by_angle(np.arccos(np.clip(at, -1, 1)))

    def _beyond(self, start: Array, direction: Array) -> Array:
        """The mass where x·``direction`` ≤ cos ``start``: a chord at cos φ has the half-length sin φ."""
        nodes, weights = np.polynomial.legendre.leggauss(CHORDS)
        normal = np.array([-direction[1], direction[0]])
        phi = start[:, None] + (math.pi - start[:, None]) * (nodes + 1) / 2
        along, half = np.cos(phi), np.sin(phi)
        points = along[..., None, None] * direction + (half[..., None] * nodes)[..., None] * normal
        values = self.density(points.reshape(-1, 2)).reshape(points.shape[:-1])
        return (((values @ weights) * half**2) @ weights) * (math.pi - start) / 2

    def sample(self, n: int, rng: np.random.Generator) -> Float64[np.ndarray, "points 2"]:
        """Independent points ``(n, 2)``, by rejection."""
        ceiling, found = self._ceiling, np.empty((0, 2))
        while len(found) < n:
            x = rng.uniform(-1, 1, (4 * n, 2))
            x = x[(x**2).sum(1) <= 1]
            values = np.asarray(self.weight(x))
            if values.max() > ceiling:
                raise RuntimeError("weight: expected no value far above those on a grid, got one")
            found = np.concatenate([found, x[rng.uniform(0, ceiling, len(x)) < values]])
        return found[:n]

    @cached_property
    def _mass(self) -> float:
        nodes, weights = disk_nodes()
        return float(weights @ np.asarray(self.weight(nodes)))

    @cached_property
    def _ceiling(self) -> float:
        side = np.linspace(-1, 1, 201)
        x = np.stack(np.meshgrid(side, side), -1).reshape(-1, 2)
        return 1.05 * float(np.max(self.weight(x[(x**2).sum(1) <= 1])))


def disk_nodes() -> tuple[Float64[np.ndarray, "points 2"], Float64[np.ndarray, " points"]]:
    """Nodes ``(n, 2)`` in the unit disk and weights ``(n,)``: Gauss in r², equal angles."""
    squares, weights = np.polynomial.legendre.leggauss(RADII)
    r = np.sqrt((squares + 1) / 2)
    theta = 2 * math.pi * np.arange(ANGLES) / ANGLES
    nodes = np.stack([np.outer(r, np.cos(theta)), np.outer(r, np.sin(theta))], -1).reshape(-1, 2)
    return nodes, np.repeat(weights / 4 * 2 * math.pi / ANGLES, ANGLES)
