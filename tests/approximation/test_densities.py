"""Measures on the ball: probabilities, their quantiles, marginals and integrals."""

from __future__ import annotations

import numpy as np
import pytest
from balls import TILTED
from scipy import integrate
from support import refuses

from sdewm.approximation.circle import CircleMeasure
from sdewm.approximation.densities import DiskMeasure, IntervalMeasure
from sdewm.estimate.goodness_of_fit import distance


@pytest.mark.parametrize("measure", [IntervalMeasure((1.0, -0.5, 0.3, 0.4)), IntervalMeasure((1.0,), 1.0, 1.5)])
def test_an_interval_measure_is_a_probability_with_its_quantiles(measure):
    for x in (-0.7, 0.0, 0.4, 1.0):
        mass = integrate.quad(measure.density, -1, x, points=[0.0], epsabs=1e-13)[0]
        assert float(measure.cdf(np.array(x))) == pytest.approx(mass, abs=1e-10)
    u = np.linspace(0, 1, 41)
    assert measure.cdf(measure.quantile(u)) == pytest.approx(u, abs=1e-14)


def test_a_disk_measure_has_the_marginals_of_its_sample():
    direction, n = np.array([0.6, 0.8]), 4000
    along = np.sort(TILTED.sample(n, np.random.default_rng(0)) @ direction)
    found = distance(TILTED.marginal_cdf(direction, along))
    assert found.mean <= found.half_width(0.999)
    assert TILTED.integral(lambda x: np.ones(len(x))) == pytest.approx(1.0, abs=1e-13)
    # ∫ x (1 + 0.4 x − 0.3 y²) over ∫ (1 − 0.3 y²), the odd terms gone.
    assert TILTED.integral(lambda x: x[:, 0]) == pytest.approx(0.4 / 4 / (1 - 0.3 / 4), abs=1e-13)


def test_what_is_no_measure_is_refused():
    with refuses(ValueError, "coefficients", "≥ 0"):
        IntervalMeasure((0.1, 1.0))
    with refuses(ValueError, "weight", "≥ 0"):
        DiskMeasure(lambda x: x[:, 0])
    with refuses(ValueError, "cosines", "positive"):
        CircleMeasure((1.2,))
