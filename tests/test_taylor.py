"""The Taylor test: right rates where the expansion is right, the right complaint where it is not."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats
from support import F64, FALSE_FAILURE, grid_of, refuses

from sdewm import reference
from sdewm.brownian import BrownianSampler
from sdewm.montecarlo import Sample
from sdewm.noise import MonteCarlo, QuasiMonteCarlo, TimeGrid
from sdewm.problems import PROBLEMS
from sdewm.sde import FunctionSDE, PerturbedSDE
from sdewm.taylor import KINDS, Rate, TaylorTest, _jackknife, _rate, check_ladder, taylor_test
from theory_checks.settings import Settings

GRID = TimeGrid(0.0, 1.0, 8)
ORDERS = [(kind, order) for kind in KINDS for order in range(3)]
# Nine rates at once in each test share the false-failure rate.
LEVEL = 1 - FALSE_FAILURE / len(ORDERS)
CIRCLE = PROBLEMS["circle"]()


def constant(value: float):
    return lambda t, x: torch.zeros_like(x) + value


def ladder(top: float, rungs: int = 6) -> list[float]:
    return [top / 2**j for j in range(rungs)]


def run_circle(**options) -> TaylorTest:
    return taylor_test(CIRCLE.family, CIRCLE.loss, CIRCLE.x0, GRID, **{"paths": 256, "level": LEVEL} | options)


def run_pure_noise(x0: float, loss, **options) -> TaylorTest:
    """dx = ε dB: odd orders vanish in expectation, and exactly under antithetic pairs."""
    family = PerturbedSDE(FunctionSDE(), FunctionSDE(None, constant(1.0)))
    start = torch.tensor([x0], dtype=F64)
    return taylor_test(family, loss, start, GRID, sampler=MonteCarlo(4096, 3), level=LEVEL, **options)


def outcomes(result: TaylorTest, kind: str) -> list[str]:
    return [result.rates[kind, order].outcome for order in range(3)]


def expected(result: TaylorTest, kind: str) -> list[int]:
    return [result.rates[kind, order].expected for order in range(3)]


# -- where the expansion is right


@pytest.mark.parametrize("name", [*PROBLEMS, "reference"])
def test_rates_are_one_two_three(name):
    """Strong, loss and weak, two-sided; each interval is far too narrow to hold a neighbouring order."""
    if name == "reference":
        family, loss, x0, grid = reference.latent_family(), reference.loss, reference.initial_state(), GRID
    else:
        problem = PROBLEMS[name]()
        family, loss, x0, grid = problem.family, problem.loss, problem.x0, grid_of(problem, 16)
    result = taylor_test(family, loss, x0, grid, paths=2**10, level=LEVEL)
    assert result.passed and result.reasons == {}, str(result)
    for (kind, order), rate in result.rates.items():
        low, high = rate.interval(LEVEL)
        assert low <= order + 1 <= high and high - low < 0.2 and rate.expected == order + 1, (kind, order)
    assert set(result.rates) == set(result.remainders) == set(ORDERS)
    assert all(a == 2 * b for a, b in zip(result.eps, result.eps[1:], strict=False))
    # The third-order coefficient: the limit of the remainder over ε³ is what the third jet says.
    difference = result.third["difference"]
    assert abs(difference.mean) <= difference.half_width(1 - FALSE_FAILURE) + result.third_numerical
    # So sharp that an error of 1 % in the third jet would show.
    assert difference.half_width(1 - FALSE_FAILURE) + result.third_numerical < 0.01 * abs(
        result.third["predicted"].mean
    )


@pytest.mark.parametrize("order", [0, 1])
def test_lower_orders_alone(order):
    result = run_circle(order=order)
    assert set(result.rates) == {(kind, k) for kind in KINDS for k in range(order + 1)}
    assert result.passed and result.third == {}


def test_sequential_steps():
    family, x0 = reference.latent_family(), reference.initial_state()
    assert taylor_test(family, reference.loss, x0, GRID, paths=256, method="euler-sequential", level=LEVEL).passed


def test_areas():
    """Milstein's scheme for noise that does not commute, the ladder found by a pilot with areas of its own."""
    problem = PROBLEMS["linear"]()
    result = taylor_test(
        problem.family, problem.loss, problem.x0, GRID, method="milstein", sampler=BrownianSampler(256, 0), level=LEVEL
    )
    assert [result.rates[key].outcome for key in ORDERS] == ["as expected"] * 9, str(result)


def test_linear_response_is_exact():
    """An Ornstein–Uhlenbeck process with additive error is linear in ε, a linear loss of it too."""
    family = PerturbedSDE(FunctionSDE(lambda t, x: -x, constant(0.4)), FunctionSDE(constant(0.3), constant(0.7)))
    x0 = torch.tensor([1.0], dtype=F64)
    linear = taylor_test(family, lambda x: x.sum(-1), x0, GRID, paths=256, level=LEVEL)
    square = taylor_test(family, lambda x: (x * x).sum(-1), x0, GRID, paths=256, level=LEVEL)
    for kind in KINDS:
        assert outcomes(linear, kind) == ["as expected", "exact", "exact"], kind
    for kind in ("loss", "weak"):
        assert outcomes(square, kind) == ["as expected", "as expected", "exact"], kind
    assert linear.passed and square.passed


@pytest.mark.parametrize("x0", [0.0, 0.7])
def test_odd_orders_that_vanish_in_expectation(x0):
    """Weak rates 2, 2, 4; the loss's own are 1, 2, 3, but 2, 2, 4 too where it is even about x0."""
    result = run_pure_noise(x0, lambda x: torch.cos(x).sum(-1))
    assert result.passed, str(result)
    assert expected(result, "weak") == [2, 2, 4] and outcomes(result, "weak") == ["as expected"] * 3
    assert outcomes(result, "strong") == ["as expected", "exact", "exact"]
    assert expected(result, "loss") == ([2, 2, 4] if x0 == 0 else [1, 2, 3])


@pytest.mark.parametrize("x0", [0.0, 0.7])
def test_a_square_loss_of_pure_noise_ends_at_order_two(x0):
    """Also where the unperturbed solution and its loss are zero and have no scale of their own."""
    result = run_pure_noise(x0, lambda x: (x * x).sum(-1))
    assert result.passed, str(result)
    assert expected(result, "weak")[:2] == [2, 2]
    assert outcomes(result, "weak") == ["as expected", "as expected", "exact"]
    assert outcomes(result, "strong") == ["as expected", "exact", "exact"]


def test_the_same_seed_gives_the_same_result_and_no_state_is_left():
    before = torch.get_rng_state()
    one, other = run_circle(seed=4), run_circle(seed=4)
    assert torch.equal(torch.get_rng_state(), before)
    assert one.rates == other.rates and one.third == other.third
    assert torch.is_grad_enabled()
    assert run_circle(seed=5).rates != one.rates


def test_the_default_ladder_starts_where_terms_shrink_fivefold():
    result = run_circle()
    scale = [math.sqrt(result.sample[f"loss scale/{k}"].mean()) for k in range(4)]
    for k in range(3):
        assert result.eps[0] * scale[k + 1] <= 0.2 * scale[k] * (1 + 1e-12)


def test_it_prints_one_line_a_rate():
    lines = str(run_circle()).splitlines()
    assert len(lines) == 1 + len(ORDERS) + 3
    assert all("as expected" in line for line in lines[1:10])


# -- where something is wrong


def test_the_printed_expansion_has_a_wrong_second_derivative():
    result = run_circle(form="printed")
    assert result.reasons == {(kind, 2): "derivative wrong" for kind in KINDS}
    assert all(result.rates[kind, 2].value == pytest.approx(2, abs=0.01) for kind in KINDS)
    assert not result.passed and result.third == {}


class Misread(PerturbedSDE):
    """Numbers ε are read wrongly, parameters rightly: solutions that the derivatives do not belong to."""

    def __init__(self, read) -> None:
        super().__init__(CIRCLE.family.base, CIRCLE.family.error)
        self.read = read

    def at(self, eps, eps_drift=None):
        return super().at(self.read(eps) if isinstance(eps, float) else eps, eps_drift)


def run_misread(read) -> TaylorTest:
    return taylor_test(Misread(read), CIRCLE.loss, CIRCLE.x0, GRID, paths=256, level=LEVEL)


def test_a_wrong_first_derivative_is_found_at_every_order_from_one():
    """A slope that is 10 % off."""
    result = run_misread(lambda eps: 1.1 * eps)
    assert result.reasons == {(kind, order): "derivative wrong" for kind in KINDS for order in (1, 2)}


def test_an_order_higher_than_expected_is_not_passed():
    """Solutions at ε², whose first derivative is zero where the expansion announces one."""
    result = run_misread(lambda eps: eps**2)
    for kind in KINDS:
        assert result.rates[kind, 0].outcome == "order higher than expected"
        assert result.rates[kind, 0].value == pytest.approx(2, abs=0.01)
        assert result.rates[kind, 1].outcome == "derivative wrong"
    assert not result.passed


def test_a_ladder_far_too_high():
    """No derivative is blamed on rungs above where the series converges, whatever the rates there."""
    for top in (8.0, 16.0):
        result = run_circle(eps=ladder(top, 4))
        assert not result.passed
        assert set(result.reasons.values()) <= {"ε too large", "below noise"}, str(result)
        assert "ε too large" in result.reasons.values()


def test_a_ladder_below_roundoff():
    result = run_circle(eps=ladder(1e-4))
    for kind in KINDS:
        assert outcomes(result, kind) == ["as expected", "below roundoff", "below roundoff"]


def test_a_ladder_below_noise():
    """Under plain randomness without pairs the odd orders of the mean are noise, and hide the even ones."""
    family = PerturbedSDE(FunctionSDE(), FunctionSDE(None, constant(1.0)))
    result = taylor_test(
        family, lambda x: torch.cos(x).sum(-1), torch.tensor([0.7], dtype=F64), GRID, paths=256, level=LEVEL
    )
    assert outcomes(result, "weak")[0] == outcomes(result, "weak")[2] == "below noise"
    assert set(result.reasons) == {("weak", 0), ("weak", 2)}
    assert result.rates["weak", 0].stderr == math.inf


# -- the numbers that a rate is judged by


def test_the_jackknife_of_a_mean_is_its_standard_error():
    """Exactly, so that neither its factor (n − 1)/n nor the count of what is left out can be off."""
    table = torch.randn(2, 12, generator=torch.Generator().manual_seed(0), dtype=F64).numpy()
    for row in table:
        assert _jackknife(float, row) == pytest.approx(stats.sem(row), rel=1e-12)
    # Of a curved statistic it is what error propagation says, to the order of the spread.
    near = 1 + 1e-4 * table[0]
    assert _jackknife(lambda m: float(m) ** 3, near) == pytest.approx(3 * stats.sem(near), rel=1e-3)


def rate_of(spread: float, coefficient: float = 1.0) -> Rate:
    """The weak rate of remainders that are ε² exactly, but for a ``spread`` over replicates on the last rung."""
    eps, replicates = np.array(ladder(0.1)), 16
    table = np.repeat(eps[:, None] ** 2, replicates, 1)
    draws = np.random.default_rng(0).normal(size=replicates)
    noise = (draws - draws.mean()) / draws.std(ddof=1)
    table[-1] *= 1 + spread * noise
    values = {f"loss scale/{k}": np.ones(replicates) for k in range(4)}
    values |= {f"coefficient/{k}": np.zeros(replicates) for k in (0, 1, 3)}
    # The mean of this coefficient is so many standard errors from zero.
    values["coefficient/2"] = coefficient + math.sqrt(replicates) * noise
    found = Sample(values, 16, 0)
    return _rate("weak", 1, table, tuple(eps), found, 0.99)


def test_a_rate_whose_interval_is_as_wide_as_the_orders_are_apart_is_below_noise():
    """An interval of width 1 or more may hold two orders; the width is the interval's own, at the test's level."""
    widths = []
    for spread in np.linspace(0.05, 0.6, 23):
        rate = rate_of(float(spread), coefficient=100.0)
        assert rate.value == pytest.approx(2.0, abs=1e-12)
        low, high = rate.interval(0.99)
        assert rate.outcome == ("below noise" if high - low >= 1 else "as expected"), high - low
        widths.append(high - low)
        # Error propagation: the limit weighs the last local rate by 8/3, which moves by the remainder's over log 2.
        half = stats.t.ppf(0.995, 15) * 8 / 3 * spread / math.sqrt(16) / math.log(2)
        assert high - low == pytest.approx(2 * half, rel=0.1)
    assert min(abs(w - 1) for w in widths) < 0.15 and min(widths) < 0.9 and max(widths) > 1.5


def test_a_weak_order_whose_coefficient_is_not_told_from_zero_is_below_noise():
    """Three standard errors are asked for."""
    assert rate_of(0.01, coefficient=3.1).outcome == "as expected"
    assert rate_of(0.01, coefficient=-3.1).outcome == "as expected"
    assert rate_of(0.01, coefficient=2.9).outcome == "below noise"


# -- bad input


@pytest.mark.parametrize(
    ("eps", "fragments"),
    [
        ([0.4, 0.2, 0.1], ("eps", "at least four", "got 3")),
        ([], ("eps", "at least four", "got 0")),
        ([0.4, 0.2, 0.1, 0.0], ("eps", "positive", "0.0", "about ε = 0")),
        ([-0.4, -0.2, -0.1, -0.05], ("eps", "positive", "-0.4")),
        ([math.inf, 0.2, 0.1, 0.05], ("eps[0]", "finite", "inf")),
        ([math.nan] * 4, ("eps[0]", "finite", "nan")),
        ([0.4, 0.2, 0.1, 0.04], ("eps", "half the one before", "0.04")),
        ([0.05, 0.1, 0.2, 0.4], ("eps", "half the one before", "0.05")),
    ],
)
def test_bad_ladders_are_refused(eps, fragments):
    for check in (check_ladder, lambda e: run_circle(eps=e)):
        with refuses(ValueError, *fragments):
            check(eps)


@pytest.mark.parametrize(
    ("changes", "error", "fragments"),
    [
        ({"order": 3}, ValueError, ("order", "0, 1 or 2", "3")),
        ({"form": "literal"}, ValueError, ("form", "'corrected' or 'printed'", "'literal'")),
        ({"sampler": "sobol"}, ValueError, ("sampler", "'rqmc', 'mc'", "'sobol'")),
        ({"method": "magic"}, ValueError, ("method", "euler", "'magic'")),
        ({"family": CIRCLE.family.base}, TypeError, ("family", "PerturbedSDE", "FunctionSDE")),
        ({"loss": lambda x: x.sum()}, ValueError, ("loss", "one number per path", "()")),
        ({"x0": torch.zeros(2, 1)}, ValueError, ("x0", "(n,)", "(2, 1)")),
    ],
)
def test_bad_input_is_refused(changes, error, fragments):
    usual = {"family": CIRCLE.family, "loss": CIRCLE.loss, "x0": CIRCLE.x0, "grid": GRID, "paths": 64}
    with refuses(error, *fragments):
        taylor_test(**usual | changes)


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
