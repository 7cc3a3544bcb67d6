"""The Taylor test: right rates where the expansion is right, the right complaint where it is not."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from support import F64, FALSE_FAILURE, grid_of, refuses
from taylor_tests import (
    CIRCLE,
    CONFIDENCE,
    GRID,
    ORDERS,
    constant,
    expected,
    float32_case,
    ladder,
    outcomes,
    run_circle,
    run_float32,
)

from sdewm.exact import reference
from sdewm.exact.problems import PROBLEMS
from sdewm.expansion.rates import KINDS, LARGEST_EPS
from sdewm.expansion.taylor import check_ladder, taylor_test
from sdewm.expansion.taylor_result import TaylorTest
from sdewm.noise.brownian import BrownianSampler
from sdewm.noise.grid import TimeGrid
from sdewm.noise.samplers import AntitheticMonteCarlo
from sdewm.systems.perturbed import PerturbedSDE
from sdewm.systems.sde import FunctionSDE


def run_pure_noise(x0: float, loss, **options) -> TaylorTest:
    """dx = ε dB: odd orders vanish in expectation, and exactly under antithetic pairs."""
    family = PerturbedSDE(FunctionSDE(), FunctionSDE(None, constant(1.0)))
    start = torch.tensor([x0], dtype=F64)
    return taylor_test(
        family, loss, start, GRID, sampler=AntitheticMonteCarlo(4096, 3), confidence=CONFIDENCE, **options
    )


# -- where the expansion is right


@pytest.mark.parametrize("name", [*PROBLEMS, "reference"])
def test_rates_are_one_two_three(name):
    """Strong, loss and weak, two-sided; each interval is far too narrow to hold a neighbouring order."""
    if name == "reference":
        family, loss, x0, grid = reference.latent_family(), reference.loss, reference.initial_state(), GRID
    else:
        problem = PROBLEMS[name]()
        family, loss, x0, grid = problem.family, problem.loss, problem.x0, grid_of(problem, 16)
    result = taylor_test(family, loss, x0, grid, paths=2**10, confidence=CONFIDENCE)
    assert result.passed and result.reasons == {}, str(result)
    for (kind, order), rate in result.rates.items():
        low, high = rate.interval(CONFIDENCE)
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
    assert taylor_test(
        family, reference.loss, x0, GRID, paths=256, method="euler-sequential", confidence=CONFIDENCE
    ).passed


def test_areas():
    """Milstein's scheme for noise that does not commute, the ladder found by a pilot with areas of its own."""
    problem = PROBLEMS["linear"]()
    result = taylor_test(
        problem.family,
        problem.loss,
        problem.x0,
        GRID,
        method="milstein",
        sampler=BrownianSampler(256, 0),
        confidence=CONFIDENCE,
    )
    assert [result.rates[key].outcome for key in ORDERS] == ["as expected"] * 9, str(result)


def test_linear_response_is_exact():
    """An Ornstein–Uhlenbeck process with additive error is linear in ε, a linear loss of it too."""
    family = PerturbedSDE(FunctionSDE(lambda t, x: -x, constant(0.4)), FunctionSDE(constant(0.3), constant(0.7)))
    x0 = torch.tensor([1.0], dtype=F64)
    linear = taylor_test(family, lambda x: x.sum(-1), x0, GRID, paths=256, confidence=CONFIDENCE)
    square = taylor_test(family, lambda x: (x * x).sum(-1), x0, GRID, paths=256, confidence=CONFIDENCE)
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
    scale = [result.size(k) for k in range(4)]
    for k in range(3):
        assert result.eps[0] * scale[k + 1] <= 0.2 * scale[k] * (1 + 1e-12)


# -- where something is wrong


def test_the_printed_expansion_has_a_wrong_second_derivative():
    result = run_circle(form="printed")
    assert result.reasons == {(kind, 2): "derivative wrong" for kind in KINDS}
    assert all(result.rates[kind, 2].value == pytest.approx(2, abs=0.01) for kind in KINDS)
    assert not result.passed and result.third == {}


class Misread(PerturbedSDE):
    """Numbers ε are read wrongly, parameters rightly: solutions that the derivatives do not belong to."""

    def __init__(self, read, family: PerturbedSDE = CIRCLE.family) -> None:
        super().__init__(family.base, family.error)
        self.read = read

    def at(self, eps, eps_drift=None):
        return super().at(self.read(eps) if isinstance(eps, float) else eps, eps_drift)


def run_misread(read) -> TaylorTest:
    return taylor_test(Misread(read), CIRCLE.loss, CIRCLE.x0, GRID, paths=256, confidence=CONFIDENCE)


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
        assert set(result.reasons.values()) <= {"ε too large", "below noise", "too wide to tell"}, str(result)
        assert "ε too large" in result.reasons.values()


def test_a_ladder_below_roundoff():
    """The rate rests on the rungs that are not below roundoff; where they are too few there is none."""
    result = run_circle(eps=ladder(1e-4))
    for kind in KINDS:
        assert outcomes(result, kind)[:2] == ["as expected"] * 2
        assert result.rates[kind, 0].rungs == 6
    assert outcomes(result, "weak")[2] == outcomes(result, "strong")[2] == "below roundoff"
    lower = run_circle(eps=ladder(1e-7))
    for kind in KINDS:
        assert outcomes(lower, kind) == ["as expected", "below roundoff", "below roundoff"]
        assert lower.rates[kind, 2].rungs == 0 and math.isnan(lower.rates[kind, 2].value)
    assert "take larger ε" in lower.verdict and "double" not in lower.verdict  # float64 is as fine as there is


def test_a_ladder_below_noise():
    """Under plain randomness without pairs the odd orders of the mean are noise, and hide the even ones."""
    family = PerturbedSDE(FunctionSDE(), FunctionSDE(None, constant(1.0)))
    result = taylor_test(
        family, lambda x: torch.cos(x).sum(-1), torch.tensor([0.7], dtype=F64), GRID, paths=256, confidence=CONFIDENCE
    )
    assert outcomes(result, "weak")[0] == outcomes(result, "weak")[2] == "below noise"
    assert set(result.reasons) == {("weak", 0), ("weak", 2)}
    assert result.rates["weak", 0].stderr == math.inf


# -- in float32


FLOAT32 = ["gbm", "ou", "linear", "circle", "torus", "reference", "recurrent"]


@pytest.mark.parametrize("name", FLOAT32)
def test_in_float32_what_can_be_seen_is_as_expected_and_the_rest_is_below_roundoff(name):
    result = run_float32(name)
    for (kind, order), rate in result.rates.items():
        allowed = ("as expected", "below roundoff") if order == 2 else ("as expected",)
        if kind == "weak":
            allowed += ("below noise",)
        assert rate.outcome in allowed and rate.expected == order + 1, str(result)
        if rate.outcome == "as expected":
            low, high = rate.interval(CONFIDENCE)
            assert low <= order + 1 <= high and high - low <= 0.5
    assert result.verdict.startswith("passed" if result.passed else "undecided, nothing failed")
    if "below roundoff" in result.reasons.values():
        assert "rounding in float32" in result.verdict and ".double() on the model and x0" in result.verdict
    assert result.dtype == torch.float32 and len(result.eps) == 6


@pytest.mark.parametrize("name", FLOAT32)
def test_in_float32_the_printed_second_derivative_is_found_wrong(name):
    """By the strong remainder and by the loss's; the mean may be below noise."""
    result = run_float32(name, form="printed")
    wrong = {key for key, outcome in result.reasons.items() if outcome == "derivative wrong"}
    assert {("strong", 2), ("loss", 2)} <= wrong <= {(kind, 2) for kind in KINDS}, str(result)
    assert result.verdict.startswith("failed: derivative wrong at strong 2, loss 2")


@pytest.mark.parametrize("name", ["circle", "reference", "recurrent"])
def test_in_float32_a_wrong_first_derivative_is_found(name):
    """Wrong by a tenth, and wrong altogether: the rung that measures rounding must not take either for rounding."""
    family, loss, x0, grid, more = float32_case(name)
    for read, wrong in ((lambda e: 1.1 * e, "derivative wrong"), (lambda e: e**2, "order higher than expected")):
        result = taylor_test(Misread(read, family), loss, x0, grid, paths=256, confidence=CONFIDENCE, **more)
        for kind in ("strong", "loss"):
            assert outcomes(result, kind)[1:] == ["derivative wrong"] * 2, str(result)
        assert wrong in result.reasons.values()


def test_any_number_of_steps_will_do():
    """A grid that no coarser one divides."""
    problem = PROBLEMS["circle"]()
    grid = TimeGrid(0.0, problem.horizon, 7)
    assert taylor_test(problem.family, problem.loss, problem.x0, grid, paths=256, confidence=CONFIDENCE).eps


def test_a_ladder_in_float32_stays_as_given_and_its_rungs_at_rounding_are_left_out():
    given = ladder(0.1, 8)
    result = run_float32("circle", eps=given)
    assert result.eps == tuple(given) and all(len(values) == 8 for values in result.remainders.values())
    rate = result.rates["strong", 1]
    assert rate.outcome == "as expected" and 3 <= rate.rungs < 8
    assert f"as expected (the smallest {8 - rate.rungs} of 8 ε are below roundoff)" in str(result)


def test_an_order_past_one_that_is_hidden_is_not_called_exact():
    """A loss whose curvature rounding hides: that its series ends at ε² cannot be seen either."""
    family = PerturbedSDE(FunctionSDE(lambda t, x: -x, constant(0.4)), FunctionSDE(constant(0.3), constant(0.7)))
    x0 = torch.tensor([1.0])
    loss = lambda x: (x + 3e-5 * x * x).sum(-1)  # noqa: E731
    single = taylor_test(family, loss, x0, GRID, paths=256, confidence=CONFIDENCE)
    double = taylor_test(family, loss, x0.double(), GRID, paths=256, confidence=CONFIDENCE)
    assert outcomes(single, "loss") == ["as expected", "below roundoff", "below roundoff"]
    assert outcomes(double, "loss") == ["as expected", "as expected", "exact"]
    # A state that is linear in ε is exact in either.
    for result in (single, double):
        assert outcomes(result, "strong") == ["as expected", "exact", "exact"]


def test_a_remainder_that_float32_sees_is_not_called_exact():
    """cos about 0: all coefficients past ε² that are known are zero, and the remainder is ε⁴."""
    family = PerturbedSDE(FunctionSDE(), FunctionSDE(None, constant(1.0)))
    result = taylor_test(family, lambda x: torch.cos(x).sum(-1), torch.zeros(1), GRID, paths=256, confidence=CONFIDENCE)
    assert result.rates["loss", 2].expected == result.rates["weak", 2].expected == 4
    for kind in ("loss", "weak"):
        assert outcomes(result, kind)[2] in ("as expected", "below roundoff"), str(result)
    assert outcomes(result, "strong") == ["as expected", "exact", "exact"]


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


# -- scales


@pytest.mark.parametrize("k", [-900, -300, 300, 900])
def test_a_power_of_two_in_the_loss_changes_no_rate_and_no_digit(k):
    base = FunctionSDE(lambda t, x: -x, lambda t, x: 0.3 + 0 * x)
    family = PerturbedSDE(base, FunctionSDE(lambda t, x: x, lambda t, x: 1 + 0 * x))
    grid, x0 = TimeGrid(0.0, 1.0, 8), torch.tensor([0.8], dtype=F64)

    def run(scale: float, seed: int = 0) -> TaylorTest:
        return taylor_test(family, lambda x: scale * x.sum(-1).exp(), x0, grid, paths=256, seed=seed)

    one, other = run(1.0), run(2.0**k)
    assert one.passed and other.rates == one.rates and other.eps == one.eps
    assert other.size(2) == math.ldexp(one.size(2), k) and other.third_rounding == math.ldexp(one.third_rounding, k)
    for kind in ("strong", "loss", "weak"):
        scale = 1.0 if kind == "strong" else 2.0**k
        assert np.array_equal(other.remainders[kind, 2], scale * one.remainders[kind, 2])
    for name, found in one.third.items():
        assert other.third[name].mean == math.ldexp(found.mean, k)
        assert other.third[name].stderr == math.ldexp(found.stderr, k)


def test_solutions_far_larger_than_the_error_have_a_ladder():
    """The cube of the ε at which the error would be as large as the solution is no number."""
    base = FunctionSDE(lambda t, x: -x, lambda t, x: 1e120 + 0 * x)
    family = PerturbedSDE(base, FunctionSDE(lambda t, x: torch.tanh(x), lambda t, x: 1 + 0 * x))
    x0 = torch.tensor([0.8], dtype=torch.float64)
    found = taylor_test(family, lambda x: x.sum(-1), x0, TimeGrid(0.0, 1.0, 4), paths=64)
    assert found.eps[0] == LARGEST_EPS and found.passed


def test_numbers_that_are_too_large_say_whose_they_are():
    base = FunctionSDE(lambda t, x: torch.sin(x), lambda t, x: torch.full_like(x, 1e100))
    family = PerturbedSDE(base, FunctionSDE(lambda t, x: x))
    with refuses(ArithmeticError, "in 'coefficients of the state'"):
        taylor_test(family, lambda x: x.sum(-1), torch.ones(1, dtype=F64), TimeGrid(0.0, 1.0, 16), paths=256)


@pytest.mark.parametrize("size", [1e98, 1e100])
def test_an_error_far_below_the_rounding_of_a_huge_solution_is_not_called_wrong(size):
    base = FunctionSDE(lambda t, x: -x, lambda t, x: torch.full_like(x, size))
    family = PerturbedSDE(base, FunctionSDE(g=lambda t, x: torch.tanh(x)))
    test = taylor_test(
        family, lambda x: (x / size).square().sum(-1), torch.ones(1, dtype=F64), TimeGrid(0.0, 1.0, 16), paths=256
    )
    assert "wrong" not in test.verdict and not test.verdict.startswith("failed")


@pytest.mark.parametrize(
    ("scale", "eps", "name"), [(1e120, None, "family"), (1.0, [1e-110, 5e-111, 2.5e-111, 1.25e-111], "eps")]
)
def test_an_error_whose_cube_leaves_the_numbers_is_refused(scale, eps, name):
    family = PerturbedSDE(
        FunctionSDE(lambda t, x: -x, lambda t, x: 0.3 + 0 * x), FunctionSDE(lambda t, x: scale + 0 * x)
    )
    with pytest.raises(ValueError, match=rf"^{name}: expected .* ε³"):
        taylor_test(
            family, lambda x: (x**2).sum(-1), torch.ones(1, dtype=F64), TimeGrid(0.0, 1.0, 4), paths=64, eps=eps
        )
