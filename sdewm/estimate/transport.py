"""Wasserstein-1 distances and Kullback–Leibler divergences: in closed form where there is one, or by assignment.

KL(Q‖P) is in nats; the second argument is the reference.

>>> w1_gaussians(0.0, 1.0, 3.0, 1.0), kl_gaussians(3.0, 1.0, 0.0, 1.0)
(3.0, 4.5)
>>> w1_discrete([0.0, 1.0], [0.5, 0.5], [1.0, 0.0])
0.5
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import scipy
from jaxtyping import Float64
from numpy.typing import ArrayLike

from sdewm.arrays import Array


def w1_discrete(points: ArrayLike, p: ArrayLike, q: ArrayLike) -> float:
    """W1 of two measures on the same increasing ``points`` of the line, all ``(n,)``: ∫ |F_P − F_Q| dx, exactly."""
    x, p, q = (np.asarray(v, dtype=np.float64) for v in (points, p, q))
    if x.ndim != 1 or np.any(np.diff(x) <= 0):
        raise ValueError("points: expected increasing numbers (n,), got something else")
    _check_weights("p", p, len(x))
    _check_weights("q", q, len(x))
    return float(np.sum(np.abs(np.cumsum(p - q)[:-1]) * np.diff(x)))


def kl_discrete(q: ArrayLike, p: ArrayLike) -> float:
    """KL(Q‖P) of weights ``(n,)`` on the same points; infinite where Q has mass and P has none."""
    q, p = np.asarray(q, dtype=np.float64), np.asarray(p, dtype=np.float64)
    _check_weights("q", q, len(p))
    _check_weights("p", p, len(q))
    there = q > 0
    if np.any(p[there] == 0):
        return math.inf
    return float(np.sum(q[there] * np.log(q[there] / p[there])))


def w1_quantiles(p: scipy.stats.rv_continuous, q: scipy.stats.rv_continuous) -> tuple[float, float]:
    """W1 = ∫₀¹ |F_P⁻¹ − F_Q⁻¹| du of two distributions on the line, and the quadrature's own error estimate.

    ``p`` and ``q`` have scipy's ``ppf``, as its frozen distributions do.
    """

    def gap(u: float) -> float:
        return abs(float(p.ppf(u)) - float(q.ppf(u)))

    halves = [scipy.integrate.quad(gap, a, b, epsabs=1e-9, epsrel=1e-9, limit=400) for a, b in ((0.0, 0.5), (0.5, 1.0))]
    return sum(h[0] for h in halves), sum(h[1] for h in halves)


def w1_gaussians(mean_p: float, std_p: float, mean_q: float, std_q: float) -> float:
    """W1 of two normal distributions: E |(mean_p − mean_q) + (std_p − std_q) Z|, a folded normal's mean."""
    shift, scale = abs(mean_p - mean_q), abs(std_p - std_q)
    if scale == 0:
        return shift
    ratio = shift / scale
    return scale * math.sqrt(2 / math.pi) * math.exp(-(ratio**2) / 2) + shift * math.erf(ratio / math.sqrt(2))


def kl_gaussians(mean_q: float, std_q: float, mean_p: float, std_p: float) -> float:
    """KL(Q‖P) of two normal distributions."""
    return math.log(std_p / std_q) + (std_q**2 + (mean_q - mean_p) ** 2) / (2 * std_p**2) - 0.5


def w1_samples(x: ArrayLike, y: ArrayLike) -> float:
    """W1 of two samples of equally many points ``(n, d)``, exactly, by the optimal assignment, in O(n³)."""
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if x.ndim != 2 or x.shape != y.shape:
        raise ValueError(f"y: expected as many points as x has, shape {x.shape}, got {y.shape}")
    cost = scipy.spatial.distance.cdist(x, y)
    return float(cost[scipy.optimize.linear_sum_assignment(cost)].mean())


def pushforward_density_on_circle(
    density: Callable[[Float64[np.ndarray, "..."]], Float64[np.ndarray, "..."]],
    sheets: int,
    at: Float64[np.ndarray, "..."],
) -> Float64[np.ndarray, "..."]:
    """The density, at angles ``at``, of the image of a measure on the circle under θ ↦ sheets·θ.

    Each angle has ``sheets`` preimages, and each contributes density/sheets.
    """
    if sheets < 1:
        raise ValueError(f"sheets: expected a positive number, got {sheets}")
    preimages = [(at + 2 * math.pi * sheet) / sheets for sheet in range(sheets)]
    return sum((density(theta) / sheets for theta in preimages), np.zeros_like(at))


def _check_weights(name: str, weights: Array, n: int) -> None:
    if weights.shape != (n,) or np.any(weights < 0) or abs(float(weights.sum()) - 1) > 1e-9:
        raise ValueError(f"{name}: expected {n} weights ≥ 0 with sum 1, got sum {weights.sum():g}, {weights.shape}")
