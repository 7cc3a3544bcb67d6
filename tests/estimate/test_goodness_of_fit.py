"""The distance between two samples, and its bound."""

from __future__ import annotations

import numpy as np
from support import refuses

from sdewm.estimate.goodness_of_fit import distance_between


def test_two_samples_of_one_measure_agree_at_the_stated_rate():
    g, seen = np.random.default_rng(5), 0
    for _ in range(200):
        gap = distance_between(g.normal(size=500), g.normal(size=500))
        seen += gap.mean > gap.half_width(0.95)
    assert seen <= 20  # 5 % of 200 at most; 10 expected at the bound, and 20 has probability 2e-3 there
    other = distance_between(g.normal(size=2000), g.normal(0.5, 1.0, 2000))
    assert other.mean > other.half_width(1 - 1e-6)
    with refuses(ValueError, "y", "458", "100"):
        distance_between(np.zeros(100), np.zeros(100))
