"""Closed forms against the moment equations, against quadrature and by hand."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from referees import GBM, IDENTITY, OU, SQUARE, assert_same, gbm_moments, ou_moments
from support import taylor_by_interpolation

from sdewm.exact import (
    gbm_coefficients,
    ou_coefficients,
)

# -- closed forms and moment equations -----------------------------------------------------------------------


def test_e1_witness():
    """dx = (σ + ε) x dB, L = x²: the ε² coefficient is x0² e^{σ²t} (t + 2σ²t²), not the printed t + 3σ²t²."""
    sigma, t, x0 = 0.4, 1.3, 0.9
    p = dict(mu=0.0, sigma=sigma, nu=0.0, tau=1.0, x0=x0, horizon=t)
    by_hand = x0**2 * math.exp(sigma**2 * t) * (t + 2 * sigma**2 * t**2)
    printed = x0**2 * math.exp(sigma**2 * t) * (t + 3 * sigma**2 * t**2)
    for c in (gbm_coefficients(**p), gbm_moments(**p)):
        assert c[2, 0] == pytest.approx(by_hand, rel=1e-13)
        assert abs(c[2, 0] - printed) > 0.1
        assert c[1, 0] == pytest.approx(x0**2 * math.exp(sigma**2 * t) * 2 * sigma * t, rel=1e-13)


@pytest.mark.parametrize("steps", [None, 1, 7, 64])
def test_gbm_two_ways(steps):
    assert_same(gbm_moments(steps=steps, **GBM), gbm_coefficients(steps=steps, **GBM))
    assert_same(gbm_moments(IDENTITY, steps, **GBM), gbm_coefficients(power=1, steps=steps, **GBM))


size = st.floats(-0.8, 0.8)


@settings(max_examples=25, deadline=None)
@given(
    mu=size,
    sigma=size,
    nu=size,
    tau=size,
    x0=st.floats(-2, 2),
    horizon=st.floats(0.1, 2),
    steps=st.sampled_from([None, 5]),
)
def test_gbm_two_ways_for_any_parameters(steps, **p):
    assert_same(gbm_moments(steps=steps, **p), gbm_coefficients(steps=steps, **p), 1e-10)


def test_gbm_by_hand():
    c, t = gbm_coefficients(**GBM, power=3), GBM["horizon"]
    value = GBM["x0"] ** 3 * math.exp((3 * GBM["mu"] + 3 * GBM["sigma"] ** 2) * t)
    a, b, d = 6 * GBM["sigma"] * GBM["tau"] * t, 3 * GBM["nu"] * t, 3 * GBM["tau"] ** 2 * t
    by_hand = {
        (0, 0): 1, (1, 0): a, (0, 1): b, (2, 0): d + a**2 / 2, (1, 1): a * b, (0, 2): b**2 / 2,
        (3, 0): a * d + a**3 / 6, (2, 1): (d + a**2 / 2) * b, (1, 2): a * b**2 / 2, (0, 3): b**3 / 6,
    }  # fmt: skip
    assert_same(c, {alpha: value * factor for alpha, factor in by_hand.items()})


@pytest.mark.parametrize("power", [1, 2, 3, 4, 5])
def test_gbm_power_on_the_grid_by_quadrature(power):
    z, w = np.polynomial.hermite_e.hermegauss(12)
    w, dt = w / w.sum(), GBM["horizon"] / 3

    def value(a: float, b: float) -> float:
        growth = 1 + (GBM["mu"] + b * GBM["nu"]) * dt + (GBM["sigma"] + a * GBM["tau"]) * math.sqrt(dt) * z
        return GBM["x0"] ** power * (w @ growth**power) ** 3

    expected = taylor_by_interpolation(value, nodes=16, radius=1.0)
    assert_same(gbm_coefficients(power=power, steps=3, **GBM), expected, 1e-9)


@pytest.mark.parametrize("steps", [None, 1, 7, 64])
def test_ou_two_ways(steps):
    assert_same(ou_coefficients(loss="x", steps=steps, **OU), ou_moments(IDENTITY, steps))
    assert_same(ou_coefficients(loss="x^2", steps=steps, **OU), ou_moments(SQUARE, steps))


def test_ou_cosine_from_its_normal_law():
    def value(a: float, b: float) -> float:
        kappa = OU["theta"] - b * OU["drift_error"][1]
        r = math.exp(-kappa * OU["horizon"])
        average = r * OU["x0"] + (OU["theta"] * OU["mean"] + b * OU["drift_error"][0]) * (1 - r) / kappa
        variance = (OU["s"] + a * OU["noise_error"]) ** 2 * (1 - r**2) / (2 * kappa)
        return math.exp(-variance / 2) * math.cos(average)

    assert_same(ou_coefficients(loss="cos x", **OU), taylor_by_interpolation(value, radius=0.3), 1e-7)


# -- errors --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: gbm_coefficients(steps=0, **GBM), "steps"),
        (lambda: gbm_coefficients(power=0, **GBM), "power"),
        (lambda: gbm_coefficients(degree=-1, **GBM), "degree"),
        (lambda: ou_coefficients(**(OU | {"theta": 0.0})), "theta"),
        (lambda: ou_coefficients(loss="sin x", **OU), "loss"),
    ],
)
def test_wrong_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
