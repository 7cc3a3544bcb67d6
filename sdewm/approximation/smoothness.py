"""How smooth a map is, from its values: derivatives by differences, and the order of a kink.

>>> slope, left = derivative(np.sin, np.array([0.0, 1.0]), 1e-2)
>>> bool(np.allclose(slope, np.cos([0.0, 1.0]), atol=1e-12)), left < 1e-9
(True, True)
>>> order, left = order_of_kink(lambda x: np.exp(x) + np.sign(x) * np.abs(x) ** 2.5, 0.0)
>>> bool(abs(order - 2.5) <= left < 0.01)
True
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
from jaxtyping import Float64

from sdewm.arrays import Array

# Central differences over seven points: exact for polynomials of degree six.
FIRST = {1: 3 / 4, 2: -3 / 20, 3: 1 / 60}
# Of the third derivative, for polynomials of degree six too.
THIRD = {1: -13 / 8, 2: 1.0, 3: -1 / 8}


def derivative(
    f: Callable[[Float64[np.ndarray, " points"]], Float64[np.ndarray, " points"]],
    x: Float64[np.ndarray, " points"],
    step: float,
) -> tuple[Float64[np.ndarray, " points"], float]:
    """f′ at ``x`` ``(n,)``, elementwise, and how far off it is at most: what halving the step changed last."""
    fine, coarse = (_weighted({k: f(x + k * h) - f(x - k * h) for k in FIRST}, FIRST) / h for h in (step, 2 * step))
    return fine, float(np.abs(fine - coarse).max())


def jacobians(
    f: Callable[[Float64[np.ndarray, "points d"]], Float64[np.ndarray, "points values"]],
    x: Float64[np.ndarray, "points d"],
    step: float,
) -> tuple[Float64[np.ndarray, "points values d"], float]:
    """df at ``x`` ``(n, d)`` as ``(n, values, d)``, and how far off it is at most; f is called once."""
    directions, sizes = np.eye(x.shape[1]), (1, 2, 3, 4, 6)
    shifts = np.stack([s * k * step * e for e in directions for k in sizes for s in (1, -1)])
    out = f((x + shifts[:, None]).reshape(-1, x.shape[1]))
    out = out.reshape(len(directions), len(sizes), 2, len(x), -1)
    apart = {k: out[:, i, 0] - out[:, i, 1] for i, k in enumerate(sizes)}
    fine, coarse = (_weighted({k: apart[m * k] for k in FIRST}, FIRST) / (m * step) for m in (1, 2))
    return np.moveaxis(fine, 0, -1), float(np.abs(fine - coarse).max())


def third_derivatives(
    f: Callable[[Float64[np.ndarray, "points d"]], Float64[np.ndarray, "points values"]],
    x: Float64[np.ndarray, "points d"],
    step: float,
) -> Float64[np.ndarray, "d points values"]:
    """∂³f/∂x_i³ at ``x`` ``(n, d)``, as ``(d, n, values)``: of fourth order in the step."""
    shifts = np.stack([s * k * step * e for e in np.eye(x.shape[1]) for k in THIRD for s in (1, -1)])
    out = f((x + shifts[:, None]).reshape(-1, x.shape[1])).reshape(x.shape[1], 3, 2, len(x), -1)
    return _weighted({k: out[:, i, 0] - out[:, i, 1] for i, k in enumerate(THIRD)}, THIRD) / step**3


def order_of_kink(
    f: Callable[[Float64[np.ndarray, " points"]], Float64[np.ndarray, " points"]], at: float, differences: int = 7
) -> tuple[float, float]:
    """s where f is a smooth function plus c sign(x) |x|^s about ``at``, s < ``differences`` odd; and its error.

    Differences of that order shrink like h^s. What the last halving of h changed bounds what is left, where each
    halves it at least.
    """
    signs = np.array([(-1.0) ** i * math.comb(differences, i) for i in range(differences + 1)])
    places = differences / 2 - np.arange(differences + 1)

    def size(h: float) -> float:
        return abs(float(signs @ f(np.asarray(at + h * places))))

    sizes = [size(2.0**-i) for i in (5, 6, 7)]
    orders = [math.log2(a / b) for a, b in pairwise(sizes)]
    return orders[1], abs(orders[1] - orders[0])


def _weighted(differences: dict[int, Array], weights: dict[int, float]) -> Array:
    """Σ weight times f(x + k h) − f(x − k h) over k."""
    return np.stack([weights[k] * difference for k, difference in differences.items()]).sum(0)
