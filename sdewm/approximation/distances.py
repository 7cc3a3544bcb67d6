"""W1 between what a map carries a measure to and another measure: exact on a line, between two bounds elsewhere.

>>> w1_to_measure(np.array([-0.5, 0.5]), IntervalMeasure())  # two atoms against the uniform measure on [−1, 1]
0.25
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from sdewm import arguments
from sdewm.approximation.densities import IntervalMeasure
from sdewm.arrays import Array
from sdewm.estimate.estimates import Estimate
from sdewm.estimate.transport import w1_samples

PointSampler = Callable[[int, np.random.Generator], Float64[np.ndarray, "points d"]]


def w1_to_measure(atoms: Float64[np.ndarray, " points"], measure: IntervalMeasure) -> float:
    """W1 of equal masses at ``atoms`` ``(n,)`` and a measure on [−1, 1]: ∫ |F_n − F| dx, to rounding.

    Between two atoms F_n is constant and F increases, so that each piece is at most two with a sign.
    """
    atoms = np.sort(atoms)
    n = len(atoms)
    low, high = min(-1.0, atoms[0]), max(1.0, atoms[-1])
    ends = np.concatenate([[low], atoms, [high]])
    shares = np.arange(n + 1) / n
    # Where F passes the share, within the piece; with F 0 below −1 and 1 above 1.
    crossing = np.clip(measure.quantile(shares), ends[:-1], ends[1:])
    left = shares * (crossing - ends[:-1]) - _mass(measure, ends[:-1], crossing)
    right = _mass(measure, crossing, ends[1:]) - shares * (ends[1:] - crossing)
    return float(np.abs(left).sum() + np.abs(right).sum())


def _mass(measure: IntervalMeasure, a: Array, b: Array) -> Array:
    """∫ F dx from ``a`` to ``b``."""
    return measure.integrated_cdf(b) - measure.integrated_cdf(a)


def sliced_w1(
    x: Float64[np.ndarray, "points d"], y: Float64[np.ndarray, "points d"], directions: int, rng: np.random.Generator
) -> float:
    """The mean W1 of two clouds ``(n, d)`` of equal size along random directions: a lower bound of their W1.

    It costs n log n for each direction, where assignment costs n³.
    """
    directions = arguments.integer("directions", directions, least=1)
    if x.ndim != 2 or x.shape != y.shape:
        raise ValueError(f"y: expected as many points as x has, shape {x.shape}, got {y.shape}")
    e = rng.normal(size=(x.shape[1], directions))
    e /= np.linalg.norm(e, axis=0)
    return float(np.abs(np.sort(x @ e, axis=0) - np.sort(y @ e, axis=0)).mean())


@dataclass(frozen=True)
class Bracket:
    """W1 of two measures lies between ``lower`` and ``upper``, the means of which are estimated.

    ``bias`` is what samples of the same measure are apart, for both together: upper − lower.
    """

    lower: Estimate
    upper: Estimate
    bias: Estimate


def w1_between(p: PointSampler, q: PointSampler, points: int, replicates: int, rng: np.random.Generator) -> Bracket:
    """W1 of two measures from samples by assignment, with its finite-sample bias bounded.

    The mean of W1(P_n, Q_n) is at least W1(P, Q), by convexity, and at most that plus the means of W1(P_n, P) and
    W1(Q_n, Q), which are at most those of W1(P_n, P'_n) and W1(Q_n, Q'_n) for second samples.
    """
    points, replicates = arguments.integer("points", points, least=2), arguments.integer("replicates", replicates, 2)
    found = np.empty((replicates, 2))
    for i in range(replicates):
        x, x2, y, y2 = (draw(points, rng) for draw in (p, p, q, q))
        found[i] = w1_samples(x, y), w1_samples(x, x2) + w1_samples(y, y2)

    def estimate(values: Array) -> Estimate:
        return Estimate(
            float(values.mean()), float(values.std(ddof=1)) / math.sqrt(replicates), points * replicates, replicates - 1
        )

    return Bracket(estimate(found[:, 0] - found[:, 1]), estimate(found[:, 0]), estimate(found[:, 1]))
