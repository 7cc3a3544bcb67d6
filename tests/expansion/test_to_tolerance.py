"""Expansions to a tolerance: within it of exact answers, and refused where nobody could know that they are."""

from __future__ import annotations

import math

import pytest
import torch
from scipy import stats
from support import F64, refuses

from sdewm import FunctionSDE, PerturbedSDE, TimeGrid, ToleranceNotReached, expand_to
from sdewm.exact.problems import PROBLEMS, Problem
from sdewm.expansion import to_tolerance
from sdewm.expansion.to_tolerance import COEFFICIENTS, Round, WithinTolerance, _next, _rate

FAMILY = PerturbedSDE(
    FunctionSDE(lambda t, x: -x, lambda t, x: torch.ones_like(x)), FunctionSDE(lambda t, x: torch.sin(x), None)
)
X0 = torch.tensor([0.5], dtype=F64)
GRID = TimeGrid(0.0, 1.0, 4)


def errors(problem: Problem, found: WithinTolerance) -> dict[str, float]:
    t = problem.truth
    truth = {"loss0": t[0, 0], "first": t[1, 0] + t[0, 1], "second": t[2, 0] + t[1, 1] + t[0, 2]}
    return {name: abs(getattr(found.expansion, name).mean - truth[name]) for name in COEFFICIENTS}


def run(name: str, tol: float, seed: int = 0, coarsest: int = 4) -> tuple[Problem, WithinTolerance]:
    problem = PROBLEMS[name]()
    grid = TimeGrid(0.0, problem.horizon, coarsest)
    return problem, expand_to(problem.family, problem.loss, problem.x0, grid, tol=tol, seed=seed)


@pytest.mark.parametrize("name", ["gbm", "ou", "linear", "circle"])
def test_it_is_within_the_tolerance(name: str) -> None:
    problem, found = run(name, 1e-3)
    assert max(errors(problem, found).values()) <= 1e-3
    assert found.rounds[-1].worst[1] <= 1e-3 and found.expansion.bias_left["second"] <= 1e-3


def test_the_confidence_is_kept() -> None:
    """Of 40 runs at 95 % each, so many may miss that the test fails by chance once in a million times."""
    missed = 0
    for seed in range(40):
        problem, found = run("ou", 3e-3, seed=100 * seed)
        missed += max(errors(problem, found).values()) > 3e-3
    assert missed <= stats.binom.isf(1e-6, 40, 0.05)


def test_without_the_bias_it_would_miss(monkeypatch: pytest.MonkeyPatch) -> None:
    """The check can fail: of intervals alone it takes a coarse grid for a good one."""
    problem, found = run("gbm", 1e-3, coarsest=1)
    assert max(errors(problem, found).values()) <= 1e-3
    monkeypatch.setattr(Round, "worst", property(lambda self: max(self.sampling.items(), key=lambda item: item[1])))
    monkeypatch.setattr(to_tolerance, "SHOWN", math.inf)
    problem, found = run("gbm", 1e-3, coarsest=1)
    assert max(errors(problem, found).values()) > 1e-3


def test_the_three_coefficients_share_what_may_miss() -> None:
    """Each has a third of it: intervals of 1 − (1 − confidence)/3, or all three would be within theirs less often."""
    for confidence in (0.95, 0.5):
        problem = PROBLEMS["ou"]()
        grid = TimeGrid(0.0, problem.horizon, 4)
        found = expand_to(problem.family, problem.loss, problem.x0, grid, tol=1e-2, confidence=confidence)
        for name in COEFFICIENTS:
            width = getattr(found.expansion, name).half_width(1 - (1 - confidence) / 3)
            assert found.rounds[-1].sampling[name] == pytest.approx(width, rel=1e-12)


@pytest.mark.parametrize("name", ["ou", "gbm"])
def test_the_last_round_is_the_one_that_is_returned(name: str) -> None:
    """Where a pilot is enough, the other one came last, with errors beyond the tolerance."""
    for tol in (1e-2, 0.1, 1.0):
        _, found = run(name, tol)
        each = 1 - 0.05 / 3
        assert found.rounds[-1].worst[1] <= tol
        assert found.rounds[-1].sampling["first"] == pytest.approx(found.expansion.first.half_width(each), rel=1e-12)


def test_it_ends_with_the_first_round_that_is_within_the_tolerance() -> None:
    _, found = run("ou", 3e-3)
    worst = [r.worst[1] for r in found.rounds]
    assert len(worst) > len(to_tolerance.WIDENINGS) and worst[-1] <= 3e-3 < min(worst[:-1])


def test_a_budget_may_be_spent_to_the_last_step() -> None:
    problem, found = run("ou", 3e-3)
    grid, spent = TimeGrid(0.0, problem.horizon, 4), sum(r.path_steps for r in found.rounds)
    again = expand_to(problem.family, problem.loss, problem.x0, grid, tol=3e-3, budget=spent)
    assert again.expansion.second == found.expansion.second
    with refuses(ToleranceNotReached, f"budget: the next round, {found.rounds[-1].paths} paths"):
        expand_to(problem.family, problem.loss, problem.x0, grid, tol=3e-3, budget=spent - 1)


def made(paths: int, sampling: float, bias: float = 0.0, steps: int = 16) -> Round:
    return Round(steps, paths, 1.0, dict.fromkeys(COEFFICIENTS, sampling), dict.fromkeys(COEFFICIENTS, bias), 0, 0.0)


@pytest.mark.parametrize(
    ("sampling", "rate"), [(0.05, 0.5), (0.025, 1.0), (0.1 / 4**0.75, 0.75), (0.09, 0.5), (0.001, 1.0), (0.0, 1.0)]
)
def test_the_rate_of_intervals_is_seen_within_what_is_possible(sampling: float, rate: float) -> None:
    """Four times the paths: like 1/√paths at least, and like 1/paths at most."""
    assert _rate(made(1000, 0.1), made(4000, sampling)) == pytest.approx(rate, rel=1e-12)


def test_as_many_paths_tell_no_rate() -> None:
    assert _rate(made(1000, 0.1), made(1000, 0.05)) == 0.5
    assert _rate(made(1000, 0.0), made(4000, 0.1)) == 0.5


@pytest.mark.parametrize(("rate", "more"), [(0.5, (0.02 / 0.008) ** 2), (1.0, 0.02 / 0.008)])
def test_the_next_round_is_planned_to_come_within_eight_tenths(rate: float, more: float) -> None:
    """Where intervals of 0.02 are all of the error, and fall like paths to the power of minus the rate."""
    assert _next(made(1000, 0.02), 0.01, rate, 1000) == (16, math.ceil(1000 * more))
    assert _next(made(1000, 0.02), 0.01, rate, 2) == (16, 2000)


def test_a_bias_of_more_than_its_part_makes_the_grid_finer() -> None:
    """Four times a quarter of the tolerance, at a bias like Δt²: steps are halved once."""
    assert _next(made(1000, 1e-9, 0.01), 0.01, 0.5, 8) == (32, 1000)
    assert _next(made(1000, 1e-9, 0.17), 0.01, 0.5, 8) == (16 * 2**4, 1000)
    assert _next(made(1000, 1.0, 0.01), 0.01, 0.5, 8) == (16, 8000), "a change that noise makes says nothing"


def test_one_seed_is_one_answer() -> None:
    first, second = (run("ou", 3e-3, seed=7)[1] for _ in range(2))
    assert first.expansion.second == second.expansion.second
    assert [(r.steps, r.paths) for r in first.rounds] == [(r.steps, r.paths) for r in second.rounds]


def test_it_says_what_it_cost() -> None:
    _, found = run("ou", 3e-3)
    lines = str(found).splitlines()
    assert lines[0] == "within 0.003 with confidence 0.95, bias and sampling error together"
    assert lines[1].split() == ["steps", "paths", "coefficient", "sampling", "bias", "seconds"]
    assert len(found.rounds) == sum(line.split()[0].isdigit() for line in lines if line.split()[1:2] != ["±"])


def test_a_budget_that_ends_first_says_what_was_reached() -> None:
    problem = PROBLEMS["gbm"]()
    with pytest.raises(ToleranceNotReached, match=r"second was within .*; tol is 1e-06") as met:
        expand_to(
            problem.family, problem.loss, problem.x0, TimeGrid(0.0, problem.horizon, 4), tol=1e-6, budget=1_000_000
        )
    assert met.value.rounds and sum(r.path_steps for r in met.value.rounds) <= 1_000_000


def test_kinks_are_refused() -> None:
    with (
        pytest.raises(ToleranceNotReached, match=r"^loss or coefficients: kinks where paths come .*abs"),
        pytest.warns(UserWarning),
    ):
        expand_to(FAMILY, lambda x: x[:, 0].abs(), X0, GRID, tol=1e-2)


def test_a_loss_that_few_paths_carry_is_refused() -> None:
    wild = PerturbedSDE(FunctionSDE(None, lambda t, x: torch.ones_like(x)), FunctionSDE(lambda t, x: x, None))
    with pytest.raises(ToleranceNotReached, match=r"^loss: .* cannot be believed|^budget: "):
        expand_to(wild, lambda x: torch.exp(6 * x[:, 0]), X0, GRID, tol=1e9, budget=2**24)


@pytest.mark.parametrize(
    "argument, value", [("tol", 0.0), ("tol", -1.0), ("confidence", 1.0), ("budget", 0), ("seed", -1), ("grid", 8)]
)
def test_bad_input_is_named(argument: str, value: object) -> None:
    given = {"grid": GRID, "tol": 1e-2} | {argument: value}
    with refuses((ValueError, TypeError), f"{argument}:"):
        expand_to(FAMILY, lambda x: x[:, 0] ** 2, X0, given.pop("grid"), **given)
