"""A rate and its interval: jackknives, rungs at rounding or below noise, limits."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import stats
from support import F64
from taylor_tests import ladder, run_circle

from sdewm.estimate.samples import Sample
from sdewm.exact.problems import PROBLEMS
from sdewm.expansion import taylor
from sdewm.expansion.rates import Rate, _extrapolated, _jackknife, _shift, rate_of
from sdewm.expansion.taylor import taylor_test
from sdewm.noise.grid import TimeGrid
from sdewm.noise.samplers import QuasiMonteCarlo
from sdewm.systems.perturbed import PerturbedSDE
from sdewm.systems.sde import FunctionSDE
from sdewm.verification.settings import Settings

# -- the numbers that a rate is judged by


def test_the_jackknife_of_a_mean_is_its_standard_error():
    """Exactly, so that neither its factor (n − 1)/n nor the count of what is left out can be off."""
    table = torch.randn(2, 12, generator=torch.Generator().manual_seed(0), dtype=F64).numpy()
    for row in table:
        assert _jackknife(float, row) == pytest.approx(stats.sem(row), rel=1e-12)
    # Of a curved statistic it is what error propagation says, to the order of the spread.
    near = 1 + 1e-4 * table[0]
    assert _jackknife(lambda m: float(m) ** 3, near) == pytest.approx(3 * stats.sem(near), rel=1e-3)


def rate_of_square(spread: float, coefficient: float = 1.0, rounding: float = 0.0, rung: int = 5) -> Rate:
    """The weak rate of remainders that are ε² exactly, but for a ``spread`` over replicates on one rung, the last."""
    eps, replicates = np.array(ladder(0.1)), 16
    table = np.repeat(eps[:, None] ** 2, replicates, 1)
    draws = np.random.default_rng(0).normal(size=replicates)
    noise = (draws - draws.mean()) / draws.std(ddof=1)
    table[rung] *= 1 + spread * noise
    values = {f"{what} scale/{k}": np.ones(replicates) for k in range(4) for what in ("state", "loss")}
    values |= {f"coefficient/{k}": np.zeros(replicates) for k in (0, 1, 3)}
    # The mean of this coefficient is so many standard errors from zero.
    values["coefficient/2"] = coefficient + math.sqrt(replicates) * noise
    found = Sample(values, 16, 0)
    return rate_of("weak", 1, table, tuple(eps), found, rounding, 2e-16, 0.99)


def test_a_rate_whose_interval_is_as_wide_as_the_orders_are_apart_is_below_noise():
    """An interval of width 1 or more may hold two orders; the width is the interval's own, at the test's confidence."""
    widths = []
    for spread in np.linspace(0.02, 0.6, 30):
        rate = rate_of_square(float(spread), coefficient=100.0)
        assert rate.value == pytest.approx(2.0, abs=1e-12)
        low, high = rate.interval(0.99)
        expected = "below noise" if high - low >= 1 else "too wide to tell" if high - low > 0.5 else "as expected"
        assert rate.outcome == expected and rate.passed == (expected == "as expected"), high - low
        widths.append(high - low)
        # Error propagation: the limit weighs the last local rate by 8/3, which moves by the remainder's over log 2.
        half = stats.t.ppf(0.995, 15) * 8 / 3 * spread / math.sqrt(16) / math.log(2)
        assert high - low == pytest.approx(2 * half, rel=0.1)
    assert min(abs(w - 1) for w in widths) < 0.15 and min(abs(w - 0.5) for w in widths) < 0.15
    assert min(widths) < 0.4 and max(widths) > 1.5


def test_a_weak_order_whose_coefficient_is_not_told_from_zero_is_below_noise():
    """Three standard errors are asked for."""
    assert rate_of_square(0.01, coefficient=3.1).outcome == "as expected"
    assert rate_of_square(0.01, coefficient=-3.1).outcome == "as expected"
    assert rate_of_square(0.01, coefficient=2.9).outcome == "below noise"


@pytest.mark.parametrize("rungs", [3, 4, 6])
def test_rounding_moves_a_rate_by_no_more_than_is_said(rungs):
    """Against all ways in which the remainders can be off, one by one; the worst of them is what is said."""
    remainder, rounding = np.array(ladder(0.1, rungs)) ** 2, 1e-9
    local = lambda r: np.log2(r[:-1] / r[1:])  # noqa: E731
    exact = _extrapolated(local(remainder))[0]
    signs = np.array(np.meshgrid(*[[-1, 1]] * rungs)).reshape(rungs, -1).T
    worst = max(abs(_extrapolated(local(remainder + s * rounding))[0] - exact) for s in signs)
    assert _shift(remainder, rounding) == pytest.approx(worst, rel=1e-3)


def test_rungs_at_which_rounding_moves_the_rate_by_a_tenth_are_left_out():
    """The interval has what rounding may do on those that are kept."""
    rungs = []
    for rounding in np.logspace(-9, -2, 29):
        rate = rate_of_square(1e-6, coefficient=100.0, rounding=float(rounding))
        rungs.append(rate.rungs)
        if not rate.rungs:
            assert rate.outcome == "below roundoff" and math.isnan(rate.value)
            continue
        eps = np.array(ladder(0.1))
        assert rate.rounding == pytest.approx(_shift(eps[: rate.rungs] ** 2, rounding), rel=1e-3)
        assert rate.rounding <= 0.1
        assert rate.rungs == 6 or _shift(eps[: rate.rungs + 1] ** 2, rounding) > 0.1
        low, high = rate.interval()
        assert (high - low) / 2 >= rate.rounding * (1 - 1e-9)
    assert rungs == sorted(rungs, reverse=True) and set(rungs) == {6, 5, 4, 3, 0}


def test_a_rate_that_noise_makes_too_wide_is_not_put_down_to_rounding():
    """Also where rounding has left out rungs: more paths are what helps."""
    rate = rate_of_square(0.15, coefficient=100.0, rounding=1.5e-6, rung=3)
    assert rate.rungs == 4 and rate.outcome == "too wide to tell"


# -- in float32


def test_the_limit_of_the_third_coefficient_moves_by_its_rounding_at_most(monkeypatch):
    """That of each rung's remainder up or down, whichever moves the limit most."""
    rounding = 1e-9
    monkeypatch.setattr(taylor, "rounding_of", lambda *arguments: rounding)
    result = run_circle(paths=256)

    def limit(signs: tuple[int, ...]) -> float:
        values = dict(result.sample.values)
        for j, sign in enumerate(signs):
            values[f"weak/2/{j}"] = values[f"weak/2/{j}"] + sign * rounding
        found = Sample(values, result.sample.paths, result.sample.seed)
        return taylor._third(found, result.eps, 1.0)[0]["measured"].mean

    exact = limit(())
    worst = max(abs(limit(signs) - exact) for signs in itertools.product((-1, 1), repeat=len(result.eps)))
    assert result.third_rounding == pytest.approx(worst, rel=1e-3)


# -- bad input


def test_the_limit_over_the_third_power_is_off_by_no_more_than_its_numerical_error():
    """The prediction is exact on the grid, so the difference is the limit's error and nothing else, to the noise.

    In this sample the order below agrees with the limit by chance, to a sixth of what both are off.
    """
    problem = PROBLEMS["circle"]()
    diffusion_alone = PerturbedSDE(problem.family.base, FunctionSDE(None, problem.family.error.g))
    sampler = QuasiMonteCarlo(512, Settings(seed=0).stream(0), widen=1.3)
    grid = TimeGrid(0.0, problem.horizon, 32)
    test = taylor_test(diffusion_alone, problem.loss, problem.x0, grid, sampler=sampler)
    difference = test.third["difference"]
    assert abs(difference.mean) > 5 * difference.stderr  # more than noise
    assert abs(difference.mean) < test.third_numerical + 4 * difference.stderr


@pytest.mark.filterwarnings("error::RuntimeWarning", "ignore:gt is not")
def test_remainders_that_a_single_replicate_makes_decide_nothing():
    """L = 1[x > 0.8]: on the lower rungs a few paths cross, and without their replicate there is nothing left."""
    base = FunctionSDE(lambda t, x: torch.sin(x), lambda t, x: 0.3 + 0.1 * torch.cos(x))
    family = PerturbedSDE(base, FunctionSDE(lambda t, x: 0.5 * x, lambda t, x: torch.tanh(x)))
    x0, grid = torch.tensor([0.8], dtype=F64), TimeGrid(0.0, 1.0, 8)
    result = taylor_test(family, lambda x: (x[:, 0] > 0.8).double(), x0, grid, paths=256)
    one_crossing = [rate for rate in result.rates.values() if math.isinf(rate.stderr)]
    assert one_crossing and not any(math.isnan(end) for rate in one_crossing for end in rate.interval())
    assert {rate.outcome for rate in one_crossing} <= {"ε too large", "below noise", "below roundoff"}
