"""Stiff and super-linear problems: their truths, and the errors of each scheme at steps of 1/32."""

from __future__ import annotations

import math

import pytest
import torch
from scipy import stats

from sdewm.exact.hard_problems import HARD_PROBLEMS
from sdewm.noise.grid import TimeGrid
from sdewm.solvers.base import NonFiniteState
from sdewm.solvers.solve import solve

GRID = TimeGrid(0.0, 1.0, 32)
STIFF = [name for name, problem in HARD_PROBLEMS.items() if problem.stiff]


def mean(name: str, method: str, steps: int = 32, paths: int = 2**13) -> tuple[float, float]:
    problem = HARD_PROBLEMS[name]
    x = solve(problem.sde, problem.x0, TimeGrid(0.0, 1.0, steps), method=method, paths=paths, seed=1)
    value = problem.functional(x)
    return float(value.mean()), float(value.std() / paths**0.5)


@pytest.mark.parametrize("method", ["implicit-euler", "split-step"])
@pytest.mark.parametrize("name", HARD_PROBLEMS)
def test_implicit_steps_of_a_32nd_are_near_the_truth(name, method):
    """Within an eighth of it, which is what a method of order 1 leaves there, and the noise of the sample."""
    found, stderr = mean(name, method)
    truth = HARD_PROBLEMS[name].truth
    assert abs(found - truth) < 0.125 * abs(truth) + 4 * stderr


@pytest.mark.parametrize("name", STIFF)
def test_explicit_steps_are_not(name):
    problem = HARD_PROBLEMS[name]
    try:
        x = solve(problem.sde, problem.x0, GRID, method="euler", paths=64)
    except NonFiniteState as error:
        assert "implicit-euler" in str(error)
    else:
        assert float(problem.functional(x).mean()) > 1e3 * problem.truth


def test_tamed_steps_take_the_model_that_grows():
    found, stderr = mean("3/2-model", "tamed-euler")
    assert abs(found - HARD_PROBLEMS["3/2-model"].truth) < 0.125 * HARD_PROBLEMS["3/2-model"].truth + 4 * stderr


@pytest.mark.parametrize("name", HARD_PROBLEMS)
def test_truths_by_another_route(name):
    """Many short steps on other paths for the first two; for the model the density of 1/x, integrated."""
    truth = HARD_PROBLEMS[name].truth
    if name == "3/2-model":
        decay = math.exp(-2.0)
        c = 0.25 * (1 - decay) / 8
        law = stats.ncx2(4 * (4 + 0.25) / 0.25, decay / (2 * c))
        assert law.expect(lambda v: 1 / (c * v)) == pytest.approx(truth, rel=1e-6)
        return
    found, stderr = mean(name, "implicit-euler", steps=512, paths=2**11)
    assert abs(found - truth) < 0.01 * truth + 4 * stderr
    assert torch.isfinite(HARD_PROBLEMS[name].x0).all()
