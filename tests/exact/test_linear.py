"""Moment equations: without the algebra, by degree, as sums, and in the limit of short steps."""

import dataclasses
import doctest
import importlib

import numpy as np
import pytest
from referees import GBM, OU, WAVY, WAVY_ERROR, assert_same, random_linear
from support import taylor_by_interpolation

from sdewm.exact import (
    LinearSDE,
    QuadraticLoss,
    gbm_coefficients,
    kolmogorov_circle,
    moments,
    multi_indices,
    ou_coefficients,
)

# -- the algebra ---------------------------------------------------------------------------------------------


def test_docstring_examples():
    found = doctest.testmod(importlib.import_module("sdewm.exact.linear"))
    assert found.attempted > 0 and found.failed == 0


# -- closed forms and moment equations -----------------------------------------------------------------------


@pytest.mark.parametrize("steps", [None, 5])
def test_moments_without_the_algebra(steps):
    base, error, loss, x0 = random_linear(1)

    def value(a: float, b: float) -> float:
        shifted = LinearSDE(base.A + b * error.A, base.a + b * error.a, base.B + a * error.B, base.b + a * error.b)
        return moments(shifted, error, loss, x0, 0.7, steps=steps, degree=0)[0, 0]

    assert_same(moments(base, error, loss, x0, 0.7, steps=steps), taylor_by_interpolation(value, radius=0.3), 1e-6)


def test_lower_degree_is_a_part_of_the_higher():
    base, error, loss, x0 = random_linear(2)
    high = moments(base, error, loss, x0, 0.7)
    low = moments(base, error, loss, x0, 0.7, degree=2)
    assert_same(low, {alpha: high[alpha] for alpha in multi_indices(2)})


@pytest.mark.parametrize("steps", [None, 12])
def test_sum_over_intervals(steps):
    base, error, loss, x0 = random_linear(3)
    parts = [
        moments(base, error, loss, x0, 0.3 * j, steps=None if steps is None else steps * j // 3) for j in (1, 2, 3)
    ]
    expected = {alpha: sum(part[alpha] for part in parts) for alpha in parts[0]}
    assert_same(moments(base, error, loss, x0, 0.9, steps=steps, intervals=3), expected)


def euler_cases():
    base, error, loss, x0 = random_linear(4)
    return {
        "gbm": lambda steps: gbm_coefficients(steps=steps, **GBM),
        "ou": lambda steps: ou_coefficients(loss="cos x", steps=steps, **OU),
        "moments": lambda steps: moments(base, error, loss, x0, 0.7, steps=steps),
        "circle": lambda steps: (
            kolmogorov_circle(WAVY, WAVY_ERROR, np.cos, 0.4, 0.7, steps=steps, points=39, tolerance=1e-5).coefficients
        ),
    }


@pytest.mark.parametrize("name", ["gbm", "ou", "moments", "circle"])
def test_euler_grid_tends_to_continuous_time_at_first_order(name):
    answer = euler_cases()[name]
    exact, grids = answer(None), {steps: answer(steps) for steps in (128, 256, 512)}
    for alpha, value in exact.items():
        bias = {steps: grid[alpha] - value for steps, grid in grids.items()}
        # bias = c Δt + O(Δt²): it halves, and Richardson's extrapolations leave O(Δt²), which quarters.
        assert bias[256] == pytest.approx(bias[128] / 2, rel=0.1, abs=1e-5), alpha
        assert bias[512] == pytest.approx(bias[256] / 2, rel=0.05, abs=5e-6), alpha
        coarse, fine = 2 * bias[256] - bias[128], 2 * bias[512] - bias[256]
        assert fine == pytest.approx(coarse / 4, rel=0.1, abs=1e-7), alpha


# -- errors --------------------------------------------------------------------------------------------------


def test_wrong_shapes_are_named():
    base, error, loss, x0 = random_linear(5)
    with pytest.raises(ValueError, match=r"B: expected shape \(2, 3, 3\), got \(2, 3\)"):
        dataclasses.replace(base, B=base.b)
    with pytest.raises(ValueError, match=r"W: expected shape \(3, 3\)"):
        QuadraticLoss(np.eye(2), np.zeros(3))
    with pytest.raises(ValueError, match=r"x0: expected shape \(3,\), got \(2,\)"):
        moments(base, error, loss, x0[:2], 1.0)
    with pytest.raises(ValueError, match=r"error\.b: expected shape \(2, 3\), got \(1, 3\)"):
        moments(base, dataclasses.replace(error, B=error.B[:1], b=error.b[:1]), loss, x0, 1.0)
    with pytest.raises(ValueError, match=r"loss\.v"):
        moments(base, error, QuadraticLoss(np.eye(2), np.zeros(2)), x0, 1.0)
    with pytest.raises(ValueError, match="intervals"):
        moments(*random_linear(6), 1.0, steps=10, intervals=3)
