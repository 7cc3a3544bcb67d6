"""The order from errors of known order: covered at the level, its regimes named, wrong orders seen."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from sdewm.solvers.order_fit import OrderFit, fit_order

H = 2.0 ** -np.arange(3, 8)


def fitted(errors, *, noise=0.3, groups=64, seed=0, power=0.5, **options) -> OrderFit:
    """Squared errors (or signed differences) whose noise is large, and mostly common to all step lengths."""
    draw = np.random.default_rng(seed)
    spread = np.sqrt(0.9) * draw.normal(size=(1, groups)) + np.sqrt(0.1) * draw.normal(size=(len(H), groups))
    means = (np.asarray(errors) ** (1 / power))[:, None] * (1 + noise * spread)
    return fit_order(H, means, power, paths=32 * groups, seed=seed, **options)


@pytest.mark.parametrize("power", [0.5, 1.0])
@pytest.mark.parametrize("order", [0.5, 1.0, 2.0])
def test_intervals_with_a_next_term_cover_at_their_level(order, power):
    """1,000 intervals at 99 %; the straight line's miss nearly always. False-failure rate 1e-6."""
    errors = H**order * (1 + 0.8 * H)
    fits = [fitted(errors, seed=s, power=power, noise=0.1) for s in range(1000)]
    missed = sum(not f.order.interval(0.99)[0] <= order <= f.order.interval(0.99)[1] for f in fits)
    lines = sum(not f.slope.interval(0.99)[0] <= order <= f.slope.interval(0.99)[1] for f in fits)
    assert missed <= binom.isf(1e-6, 1000, 0.01) and lines > 500
    # The errors are not quite of the form that is fitted, and flags have a level of their own.
    assert sum(f.regime != "asymptotic" for f in fits) <= binom.isf(1e-6, 1000, 2e-3)


@pytest.mark.parametrize("order, other", [(0.5, 1.0), (1.0, 0.5), (1.0, 1.5)])
def test_another_order_is_not_in_the_interval(order, other):
    low, high = fitted(H**order * (1 - 0.5 * H)).order.interval(0.99)
    assert low <= order <= high and not low <= other <= high


def test_errors_that_follow_no_power_are_said():
    assert fitted(H**0.5 * (1 + 0.5 * (-1.0) ** np.arange(5)), noise=0.05).regime == "pre-asymptotic"
    assert fitted(np.maximum(H, H[2])).regime == "pre-asymptotic"


def test_errors_larger_than_the_solution_are_said():
    found = fitted(np.array([1e12, 1e6, 1e3, 0.1, 0.05]), size=1.0)
    assert found.regime == "unstable" and "at Δt = 0.0312" in found.reason


def test_errors_at_rounding_are_said():
    found = fitted(np.maximum(H**2, 2e-4), rounding=1e-5)
    assert found.regime == "at rounding" and "use longer steps" in found.reason
    exact = fitted(0 * H)
    assert exact.regime == "at rounding" and np.isnan(exact.order.mean) and exact.order.stderr == np.inf


def test_differences_of_either_sign_are_said():
    found = fitted(1e-3 * H, power=1.0, noise=5.0)
    assert found.regime == "below noise" and "more paths" in found.reason


def with_limit(away: float, order: float, seed: int, power: float) -> OrderFit:
    """Errors of a method whose limit is this far from the reference, and distances between successive lengths."""
    draw = np.random.default_rng(seed)
    noise = 1 + 0.3 * (np.sqrt(0.9) * draw.normal(size=(1, 64)) + np.sqrt(0.1) * draw.normal(size=(5, 64)))
    own = ((H**order * (1 + 0.8 * H)) ** (1 / power))[:, None] * noise
    return fit_order(
        H, own + away ** (1 / power), power, paths=2048, seed=seed, successive=own[1:] * (1 + 0.5 * H[1:, None])
    )


@pytest.mark.parametrize("power", [0.5, 1.0])
@pytest.mark.parametrize("order", [0.5, 1.0, 2.0])
def test_errors_that_level_off_are_told_and_no_others(order, power):
    """A constant three times the last error is seen; where there is none 1,000 fits see none."""
    last = H[-1] ** order
    found = with_limit(3 * last, order, 0, power)
    assert found.regime == "levelling off" and f"the errors level off at {3 * last:.2g}, " in found.reason, found.reason
    assert all(with_limit(3 * last, order, s, power).regime == "levelling off" for s in range(100))
    assert not any(with_limit(0.0, order, s, power).regime == "levelling off" for s in range(1000))


def test_errors_that_stay_and_a_method_that_does_not_converge():
    found = fitted(
        np.full(5, 0.3), successive=np.full((4, 64), 0.1) * np.random.default_rng(1).uniform(0.9, 1.1, (4, 64))
    )
    assert found.regime == "no convergence" and "do not come together" in found.reason


def test_the_jackknife_is_that_of_all_groups_but_one():
    draw = np.random.default_rng(3)
    means = H[:, None] ** 2 * np.exp(0.3 * draw.normal(size=(5, 16)))
    found = fit_order(H, means, 0.5, paths=512, seed=0)
    design = np.column_stack([np.ones(5), np.log(H), H])

    def order(rest):
        return np.linalg.lstsq(design, 0.5 * np.log(rest.mean(1)), rcond=None)[0][1]

    left_out = np.array([order(np.delete(means, g, 1)) for g in range(16)])
    assert found.order.mean == pytest.approx(order(means), abs=1e-12)
    assert found.order.stderr == pytest.approx(np.sqrt(15 * left_out.var()), rel=1e-10) and found.order.dof == 15
