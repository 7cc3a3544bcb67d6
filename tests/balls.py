"""Points of the unit ball, and measures on the disk."""

from __future__ import annotations

import numpy as np

from sdewm.approximation.densities import DiskMeasure

TILTED = DiskMeasure(lambda x: 1 + 0.4 * x[:, 0] - 0.3 * x[:, 1] ** 2)
EVEN = DiskMeasure(lambda x: np.ones(len(x)))


def ball(dim: int, n: int = 60) -> np.ndarray:
    """Points of the ball, fewer than ``n`` on the disk."""
    x = np.random.default_rng(3).uniform(-1, 1, (n, dim))
    return x[(x**2).sum(1) <= 1]
