"""Measures on the circle, and their quantiles."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sdewm.approximation.circle import CircleMeasure


def test_circle_measures_and_their_quantiles():
    p = CircleMeasure((0.5,), (0.0, 0.3))
    theta = np.linspace(0.1, 12.0, 50)
    assert p.quantile(p.cdf(theta)) == pytest.approx(theta, abs=1e-12)
    assert float(p.cdf(np.array(2 * math.pi))) == pytest.approx(1.0)
