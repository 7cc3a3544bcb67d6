"""The increasing map between two measures on a line."""

from __future__ import annotations

import numpy as np

from sdewm.approximation import quantiles
from sdewm.approximation.smoothness import derivative
from theory_checks import proposition_a7


def test_slope_of_the_quantile_map():
    g = quantiles.QuantileMap(proposition_a7.LATENT, proposition_a7.POSITIVE)
    slope, left = derivative(g, proposition_a7.INSIDE, 1e-2)
    assert np.abs(slope - g.slope(proposition_a7.INSIDE)).max() <= left
