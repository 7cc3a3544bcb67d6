"""The Taylor test: right rates where the expansion is right, the right complaint where it is not."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats
from support import F64, FALSE_FAILURE, grid_of, refuses
from torch import nn

from sdewm.estimate.samples import Sample
from sdewm.exact import reference
from sdewm.exact.problems import PROBLEMS
from sdewm.expansion import taylor
from sdewm.expansion.rates import ADVICE, KINDS, LARGEST_EPS, Rate, _extrapolated, _jackknife, _shift, rate_of
from sdewm.expansion.remainders import OF_STATE, POWERS
from sdewm.expansion.taylor import check_ladder, pool_tests, taylor_test
from sdewm.expansion.taylor_result import TaylorTest, Units
from sdewm.noise.brownian import BrownianSampler
from sdewm.noise.grid import TimeGrid
from sdewm.noise.samplers import AntitheticMonteCarlo, QuasiMonteCarlo
from sdewm.systems.blocks import BlockSizes
from sdewm.systems.latent import LatentSDE
from sdewm.systems.perturbed import PerturbedSDE
from sdewm.systems.sde import FunctionSDE
from sdewm.verification.settings import Settings

GRID = TimeGrid(0.0, 1.0, 8)
ORDERS = [(kind, order) for kind in KINDS for order in range(3)]
# Nine rates at once in each test share the false-failure rate.
CONFIDENCE = 1 - FALSE_FAILURE / len(ORDERS)
CIRCLE = PROBLEMS["circle"]()


def constant(value: float):
    return lambda t, x: torch.zeros_like(x) + value


def ladder(top: float, rungs: int = 6) -> list[float]:
    return [top / 2**j for j in range(rungs)]


def run_circle(**options) -> TaylorTest:
    return taylor_test(
        CIRCLE.family, CIRCLE.loss, CIRCLE.x0, GRID, **{"paths": 256, "confidence": CONFIDENCE} | options
    )


def run_pure_noise(x0: float, loss, **options) -> TaylorTest:
    """dx = ε dB: odd orders vanish in expectation, and exactly under antithetic pairs."""
    family = PerturbedSDE(FunctionSDE(), FunctionSDE(None, constant(1.0)))
    start = torch.tensor([x0], dtype=F64)
    return taylor_test(
        family, loss, start, GRID, sampler=AntitheticMonteCarlo(4096, 3), confidence=CONFIDENCE, **options
    )


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


def in_float32(family: PerturbedSDE) -> PerturbedSDE:
    for part in (family.base, family.error):
        for module in vars(part).values():
            if isinstance(module, nn.Module):
                module.float()
    return family


class Blocks(nn.Module):
    """A network of its inputs side by side; ``positive`` makes a diffusion of it."""

    def __init__(self, inputs: int, outputs: int, positive: bool = False) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(inputs, 16), nn.SiLU(), nn.Linear(16, outputs))
        self.positive = positive

    def forward(self, *inputs):
        paths = max(len(x) for x in inputs if x.ndim == 2)
        value = self.net(torch.cat([x if x.ndim == 2 else x.expand(paths, -1) for x in inputs], -1))
        return 0.1 + 0.3 * nn.functional.softplus(value) if self.positive else value


class Cell(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.GRUCell(4, 8)

    def forward(self, h, z, action):
        return self.cell(torch.cat([z, action], -1), h)


def recurrent() -> tuple:
    """A recurrent state-space model with a GRU cell, in float32, under an error of its encoder."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = LatentSDE(
            q_enc=Blocks(10, 3), q_enc_bar=Blocks(10, 3, True), f=Cell(), p=Blocks(8, 3), p_bar=Blocks(8, 3, True),
            q_dec=Blocks(11, 2), policy=Blocks(11, 1), sizes=BlockSizes(z=3, h=8, z_tilde=3, s_tilde=2), leak=1.0,
            observation=lambda t: torch.stack([torch.sin(t), torch.cos(t)]),
        )  # fmt: skip
        family = PerturbedSDE(model, model.encoder_error(Blocks(10, 3), Blocks(10, 3)))
    for part in (family.base, family.error):
        for module in vars(part).values():
            if isinstance(module, nn.Module):
                module.requires_grad_(False)
    loss = lambda x: (x * x).mean(-1)  # noqa: E731
    return family, loss, torch.zeros(16), TimeGrid(0.0, 6.0, 6), {"method": "euler-sequential"}


def linear() -> tuple:
    """The linear system of PROBLEMS with its numbers in float32."""
    problem = PROBLEMS["linear"]()

    def of(model) -> FunctionSDE:
        A, a, B, b = (torch.tensor(part, dtype=torch.float32) for part in (model.A, model.a, model.B, model.b))
        # Rows of g are coordinates, columns are channels.
        wide, offset = B.transpose(0, 1).reshape(-1, B.shape[-1]), b.mT.reshape(-1)
        return FunctionSDE(
            lambda t, x: x @ A.mT + a, lambda t, x: (x @ wide.mT + offset).unflatten(-1, (3, 2)), "general"
        )

    base, error = problem.model
    family = PerturbedSDE(of(base), of(error))
    return family, lambda x: (x * x).sum(-1) + x.sum(-1), problem.x0.float(), grid_of(problem, 16), {}


def float32_case(name: str) -> tuple:
    if name == "reference":
        return in_float32(reference.latent_family()), reference.loss, reference.initial_state().float(), GRID, {}
    if name == "recurrent":
        return recurrent()
    if name == "linear":
        return linear()
    problem = PROBLEMS[name]()
    return problem.family, problem.loss, problem.x0.float(), grid_of(problem, 16), {}


def run_float32(name: str, **options) -> TaylorTest:
    *arguments, more = float32_case(name)
    return taylor_test(*arguments, **{"paths": 2**10, "confidence": CONFIDENCE} | more | options)


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


@pytest.mark.parametrize("name", ["circle", "reference"])
def test_rounding_is_measured(name):
    """In the middle of what float32 is off by, path by path, against the same solutions in float64."""
    single = run_float32(name, paths=256)
    family, loss, x0, grid, _ = float32_case(name)
    if name == "reference":
        family = reference.latent_family()
    double = taylor_test(family, loss, x0.double(), grid, eps=single.eps, paths=256, confidence=CONFIDENCE)
    for kind in ("strong", "loss"):
        off = math.sqrt(single.sample[f"{kind}/2/5"].mean())  # all but rounding
        assert double.remainders[kind, 2][5] < 0.5 * off
        measured = math.sqrt(single.sample[f"{kind}/1/6"].mean())
        assert 1 / 3 < measured / off < 3, (kind, measured, off)


def test_a_loss_that_cancels_is_rounded_by_more_than_its_own_last_digit():
    """x² by way of numbers as large as 10⁴: its size says nothing of its rounding, the rung far below does."""
    loss = lambda x: ((x + 100) ** 2 - 10_000 - 200 * x).sum(-1)  # noqa: E731
    single = taylor_test(CIRCLE.family, loss, CIRCLE.x0.float(), GRID, paths=256, confidence=CONFIDENCE)
    for kind in ("loss", "weak"):
        assert outcomes(single, kind)[1:] == ["below roundoff"] * 2, str(single)
    assert set(single.reasons.values()) == {"below roundoff"}
    assert taylor_test(CIRCLE.family, loss, CIRCLE.x0, GRID, paths=256, confidence=CONFIDENCE).passed


def test_without_the_measured_rounding_float32_gets_wrong_verdicts(monkeypatch):
    """What the rules above are for."""
    monkeypatch.setattr(taylor, "rounding_of", lambda *arguments: 0.0)
    result = run_float32("circle")
    assert "ε too large" in result.reasons.values() or "derivative wrong" in result.reasons.values()


def test_solutions_that_are_rounded_to_nothing_have_the_rounding_of_their_last_digit():
    """One path without noise: the rung far below is the unperturbed solution itself, and shows no rounding at all."""
    family = PerturbedSDE(FunctionSDE(lambda t, x: -x), FunctionSDE(constant(1e-3)))
    result = taylor_test(family, lambda x: x.exp().sum(-1), torch.tensor([1.0]), GRID, paths=64, confidence=CONFIDENCE)
    for kind in KINDS:
        assert set(outcomes(result, kind)) <= {"as expected", "exact", "below roundoff"}, str(result)


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


# -- what it prints


def test_the_first_line_is_the_verdict():
    result = run_circle()
    first, *lines = str(result).splitlines()
    assert first == result.verdict == "passed: all remainders fall as fast as the expansion says"
    for kind, meaning in KINDS.items():
        assert f"  {kind:<6}  {meaning}" in lines
    table = [line for line in lines if line.endswith("as expected")]
    assert [tuple(line.split()[:2]) for line in table] == [(kind, str(order)) for kind, order in ORDERS]
    for line, ((kind, order), rate) in zip(table, result.rates.items(), strict=True):
        low, high = rate.interval(CONFIDENCE)
        assert line.split()[2:6] == [f"{rate.value:.3f}", f"[{low:.3f},", f"{high:.3f}]", str(order + 1)], kind
    assert f"{100 * CONFIDENCE:.6g} % interval" in str(result)
    assert [line.split()[0] for line in lines[-3:]] == list(result.third)
    assert str(result).count("third") == 1 and "Coefficient of ε³" in str(result)
    assert max(map(len, lines)) <= 120


def test_a_failure_and_what_hides_are_said_in_words():
    failed = run_circle(form="printed")
    advice = ADVICE["derivative wrong"]
    assert failed.verdict == f"failed: derivative wrong at strong 2, loss 2, weak 2 – {advice}"
    hidden = run_circle(eps=ladder(1e-7))
    where = ", ".join(f"{kind} 1 and 2" for kind in KINDS)
    assert hidden.verdict == (
        f"undecided, nothing failed: below roundoff at {where} – rounding in float64 hides it: take larger ε"
    )
    assert "nan" not in str(hidden) and str(hidden).count("no rate") == 6


def test_exact_is_no_rate_but_passes():
    family = PerturbedSDE(FunctionSDE(lambda t, x: -x, constant(0.4)), FunctionSDE(constant(0.3), constant(0.7)))
    result = taylor_test(
        family, lambda x: x.sum(-1), torch.tensor([1.0], dtype=F64), GRID, paths=256, confidence=CONFIDENCE
    )
    assert result.verdict == "passed: all remainders fall as fast as the expansion says or are zero"
    assert str(result).count("nothing left but rounding") == 6 and "inf" not in str(result)


def test_tests_in_different_precision_are_not_pooled():
    eps = ladder(0.1)
    starts = (CIRCLE.x0, CIRCLE.x0.float())
    one, other = (taylor_test(CIRCLE.family, CIRCLE.loss, x0, GRID, eps=eps, paths=64) for x0 in starts)
    with refuses(ValueError, "tests", "dtype"):
        pool_tests([one, other])


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


def test_tests_whose_units_differ_are_pooled():
    family = PerturbedSDE(FunctionSDE(lambda t, x: torch.sin(x), lambda t, x: 0.3 + 0 * x), FunctionSDE(lambda t, x: x))
    grid, x0 = TimeGrid(0.0, 1.0, 8), torch.tensor([0.8], dtype=F64)
    tests = [
        taylor_test(family, lambda x: x.sum(-1), x0, grid, paths=256, seed=s, eps=[0.08, 0.04, 0.02, 0.01])
        for s in (0, 1)
    ]
    units, factors = tests[1].units, {1: (2.0, 0.25), 2: (4.0, 0.0625)}
    values = {}
    for name, value in tests[1].sample.values.items():
        kind = name.partition("/")[0]
        values[name] = value * factors[POWERS[kind]][kind not in OF_STATE]
    elsewhere = replace(
        tests[1], units=Units(units.state / 2, units.loss * 4), sample=replace(tests[1].sample, values=values)
    )
    assert pool_tests([tests[0], elsewhere]).rates == pool_tests(tests).rates


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
