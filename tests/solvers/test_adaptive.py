"""Steps that adapt: errors as the tolerance asks, on the path that a fixed grid has, at fewer steps; and refusals."""

from __future__ import annotations

import math
import pickle

import pytest
import torch
from scipy.special import ndtri
from scipy.stats import chi2
from support import F64, FALSE_ALARM, FALSE_FAILURE, refuses

from sdewm import BrownianPath, FunctionSDE, PerturbedSDE, ShortestStepReached, TimeGrid, solve, solve_adaptive
from sdewm.exact.strong_problems import STRONG_PROBLEMS, StrongProblem
from sdewm.jets import JetSpace, Parameter, constant
from sdewm.noise.area_plan import plan_areas
from sdewm.noise.brownian import BrownianNode
from sdewm.solvers import adaptive
from sdewm.solvers.adaptive import AdaptiveSolution
from sdewm.solvers.methods import stepper

ENDS = (0.0, 1.0)
FINEST = 9  # where areas are drawn, in these tests
GBM = FunctionSDE(lambda t, x: 0.1 * x, lambda t, x: 0.5 * x)
ONE = torch.ones(1, dtype=F64)
# Steps' errors add up to some of tol, and the problems' own growth may make more of it.
LARGEST = 3.0


def error(problem: StrongProblem, found: AdaptiveSolution) -> float:
    """The largest error of any path, relative to 1 + |x|."""
    whole = found.path.whole()
    given = [whole.dB]
    if not problem.commuting:
        given.append(whole.area(FINEST, plan_areas(found.path.channels, 2.0**-FINEST)))
    true = problem.reference(*given)
    return float(((found.x - true).abs() / (1 + true.abs())).max())


def solved(name: str, tol: float, method: str = "milstein", paths: int = 32) -> AdaptiveSolution:
    problem = STRONG_PROBLEMS[name]
    drawn = not problem.commuting or method in ("sra1", "taylor-1.5")
    finest = FINEST if drawn else None
    return solve_adaptive(problem.sde, problem.x0, ENDS, tol=tol, method=method, paths=paths, finest=finest)


CASES = [
    ("exponential, ito", "milstein"), ("sinh, ito", "sri2"), ("spiral, ito", "milstein"),
    ("tanh, stratonovich", "heun"), ("square of time, ito", "euler"), ("square of time, ito", "implicit-euler"),
    ("square root of time, ito", "sra1"), ("logistic, ito", "taylor-1.5"),
    ("grushin, diagonal, ito", "milstein"), ("twisted coordinates, stratonovich", "milstein"),
]  # fmt: skip


@pytest.mark.parametrize("name, method", CASES)
def test_errors_are_as_the_tolerance_asks(name, method):
    found = {tol: solved(name, tol, method) for tol in (0.2, 0.05)}
    for tol, one in found.items():
        assert error(STRONG_PROBLEMS[name], one) < LARGEST * tol
    assert found[0.05].steps >= found[0.2].steps


def test_errors_are_not_where_no_step_is_rejected(monkeypatch):
    monkeypatch.setattr(adaptive._Walk, "_ratio", lambda self, node, before, *_: torch.zeros_like(before))
    assert error(STRONG_PROBLEMS["square of time, ito"], solved("square of time, ito", 0.01)) > LARGEST * 0.01


def test_errors_of_one_sign_do_not_add_up_to_more(monkeypatch):
    """Where there is next to no noise all errors have one sign, and sum to far more than random ones would."""
    growth = FunctionSDE(lambda t, x: x, lambda t, x: 1e-6 * x)

    def wrong() -> float:
        found = solve_adaptive(growth, ONE, ENDS, tol=1e-4, paths=4)
        true = torch.exp(1 + 1e-6 * found.path.whole().dB)
        return float(((found.x - true).abs() / (1 + true)).max())

    assert wrong() < 1.5 * LARGEST * 1e-4  # half as much again, as an error of 1 + |x| grows with x
    monkeypatch.setattr(adaptive, "SUMS", math.inf)
    assert wrong() > 9e-4


def test_sums_cost_nothing_where_errors_are_random(monkeypatch):
    found = solve_adaptive(GBM, ONE, ENDS, tol=5e-3, paths=500)
    monkeypatch.setattr(adaptive, "SUMS", math.inf)
    assert solve_adaptive(GBM, ONE, ENDS, tol=5e-3, paths=500).made >= 0.95 * found.made


def test_areas_are_those_of_the_path(monkeypatch):
    """Without them the error stays far above the tolerance, or steps get too short."""
    monkeypatch.setattr(BrownianNode, "area", lambda self, finest, plan: torch.zeros(len(self.dB), 2, 2, dtype=F64))
    try:
        assert float((solved("grushin, diagonal, ito", 0.05).x[:, 1]).std()) < 1.05
    except ShortestStepReached:
        pass


# -- one path


def test_steps_part_the_time_and_have_the_increments_of_the_path_that_solve_has():
    found = solve_adaptive(GBM, ONE, (1.0, 3.0), tol=0.02, paths=40, seed=7, save="path")
    parts = [found.path.node(*node) for node in found.nodes]
    assert found.steps == len(parts) == len(found.times) - 1 == len(found.x) - 1
    assert [part.start for part in parts] == found.times[:-1].tolist() and found.times[-1] == 3.0
    assert len({part.level for part in parts}) > 1  # not a grid of equal steps
    path = BrownianPath(7, 40, 1, 1.0, 3.0)
    torch.testing.assert_close(sum(part.dB for part in parts), next(path.increments(0)), rtol=0, atol=1e-13)
    x, method = found.x[0], stepper("milstein", GBM).prepare(GBM, ONE, TimeGrid(1.0, 3.0, 8))
    for part, expected in zip(parts, found.x[1:], strict=True):
        x = method.step(GBM, torch.tensor(part.start, dtype=F64), part.dt, x, part.dB)
        torch.testing.assert_close(x, expected, rtol=0, atol=1e-14)
    final = solve_adaptive(GBM, ONE, (1.0, 3.0), tol=0.02, paths=40, seed=7)
    assert torch.equal(final.x, found.x[-1]) and torch.equal(final.times, found.times)


def test_where_all_steps_are_the_longest_they_are_those_of_a_grid():
    found = solve_adaptive(GBM, ONE, TimeGrid(0.0, 1.0, 16), tol=100.0, paths=8, seed=3)
    assert torch.equal(found.times, torch.linspace(0, 1, 33, dtype=F64)) and found.made == 3 * 16
    expected = solve(GBM, ONE, TimeGrid(0.0, 1.0, 32), method="milstein", paths=8, seed=3)
    torch.testing.assert_close(found.x, expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("ends", [(-2.4, 3.7), (0.1, 0.7), (-0.3, 7.9)])
def test_the_last_time_is_the_end_to_the_last_digit(ends):
    found = solve_adaptive(GBM, ONE, ends, tol=1.0, paths=2)
    assert float(found.times[-1]) == ends[1] == TimeGrid(*ends, 8).time(8)
    assert bool((found.times.diff() > 0).all())


def test_one_path_for_all_tolerances():
    ends = []
    for tol in (0.1, 0.01, 0.001):
        found = solve_adaptive(GBM, ONE, ENDS, tol=tol, paths=4, seed=2)
        ends.append(sum(found.path.node(*node).dB for node in found.nodes))
    torch.testing.assert_close(ends[0], ends[1], rtol=0, atol=1e-13)
    torch.testing.assert_close(ends[0], ends[2], rtol=0, atol=1e-13)


def test_one_start_for_each_path():
    x0 = torch.tensor([[1.0], [2.0]], dtype=torch.float32)
    found = solve_adaptive(GBM, x0, ENDS, tol=0.1, paths=2)
    assert found.x.dtype is torch.float32 and found.x.shape == (2, 1)
    true = x0 * torch.exp(0.1 - 0.125 + 0.5 * found.path.whole().dB).float()
    assert float(((found.x - true) / (1 + true)).abs().max()) < LARGEST * 0.1


def of_w(ends: torch.Tensor) -> tuple[float, float]:
    """How far mean and variance of W(1) are from 0 and 1: z, and the tail probability of the sum of squares."""
    n = len(ends)
    return abs(float(ends.sum())) / math.sqrt(n), float(chi2.cdf(float((ends**2).sum()), n))


def test_rejections_do_not_bias_the_paths():
    """Mean and variance of W(1) as the accepted steps sum to it, over 100 seeds; false-failure rate 1e-3 in all."""
    ends, rejected = [], 0
    for seed in range(100):
        found = solve_adaptive(GBM, ONE, ENDS, tol=0.015, paths=16, seed=seed)
        rejected += found.made > 1.5 * found.steps
        ends.append(sum(found.path.node(*node).dB for node in found.nodes)[:, 0])
    assert rejected > 30
    z, p = of_w(torch.cat(ends))
    assert z < ndtri(1 - FALSE_FAILURE / 4)
    assert FALSE_FAILURE / 4 < p < 1 - FALSE_FAILURE / 4


def test_steps_that_are_drawn_anew_are_seen_to_bias_them():
    """The same by an algorithm that throws a step away where its Milstein term is large, and draws a shorter one."""
    generator = torch.Generator().manual_seed(0)
    ends = []
    for _ in range(1600):
        t, h, W = 0.0, 0.125, 0.0
        while t < 1:
            dB = float(torch.randn((), generator=generator, dtype=F64)) * math.sqrt(h)
            if abs(0.125 * (dB**2 - h)) > 0.02 * math.sqrt(h) and h > 2**-8:
                h /= 2
                continue
            t, W = t + h, W + dB
            h = min(0.125, 2 * h, 1 - t) if t < 1 else h
        ends.append(W)
    _, p = of_w(torch.tensor(ends, dtype=F64))
    assert p < FALSE_ALARM


# -- what it is for


def test_a_stiff_transient_takes_fewer_steps_than_a_grid():
    """All steps that were made are counted, and the grid has the least power of two with as small an error."""
    fast, slow = 400.0, 0.5

    def rate(t):
        return slow + fast * torch.exp(-t * fast / 8)

    sde = FunctionSDE(lambda t, x: -rate(t) * x, lambda t, x: 0.05 * x)
    x0 = torch.full((1,), 1e3, dtype=F64)
    found = solve_adaptive(sde, x0, ENDS, tol=0.1, paths=8)

    def wrong(x):
        exponent = -slow - 8 * (1 - math.exp(-fast / 8)) - 0.05**2 / 2 + 0.05 * found.path.whole().dB
        return float((x - x0 * torch.exp(exponent)).abs().max())

    reached = wrong(found.x)
    for level in range(8, 15):
        try:
            x = solve(sde, x0, TimeGrid(*ENDS, 2**level), method="milstein", paths=8)
        except ArithmeticError:
            continue
        if wrong(x) <= reached:
            break
    assert reached < 1 and 2 * found.made < 2**level


def test_where_steps_would_be_too_short_the_error_names_what_takes_them():
    stiff = FunctionSDE(lambda t, x: -1e6 * (x - torch.cos(t)), lambda t, x: 0.1 * x)
    with pytest.raises(ShortestStepReached) as caught:
        solve_adaptive(stiff, ONE, ENDS, tol=1e-2, paths=4, finest=8)
    text = str(caught.value)
    assert "x: at t = 0 the error of a step of 0.00391, the shortest" in text and "finest=" in text
    assert 'a stiff drift takes "implicit-euler" and "split-step"' in text
    assert str(pickle.loads(pickle.dumps(caught.value))) == text
    nowhere = FunctionSDE(lambda t, x: 1e200 * x**3, lambda t, x: 0.1 * x)
    with pytest.raises(ShortestStepReached, match="is not finite, in component 0 on 4 of 4 paths"):
        solve_adaptive(nowhere, ONE, ENDS, tol=1e-2, paths=4, finest=8)


def test_what_is_rounding_is_called_so():
    """No shorter step would help: there are no 24 halvings first, and double precision gets through."""
    decay = FunctionSDE(lambda t, x: -x, lambda t, x: 1e-3 * torch.ones_like(x))
    with pytest.raises(ShortestStepReached) as caught:
        solve_adaptive(decay, ONE.float(), ENDS, tol=1e-6, paths=8)
    assert "The error is rounding in float32: take a larger tol=, or float64." in str(caught.value)
    assert "finest" not in str(caught.value) and caught.value.dt > 2.0**-20
    with pytest.raises(ShortestStepReached, match=r"rounding in float64: take a larger tol=\."):
        solve_adaptive(decay, ONE, ENDS, tol=1e-15, paths=8, finest=40)
    assert solve_adaptive(decay, ONE.float(), ENDS, tol=1e-4, paths=8).x.dtype is torch.float32
    assert solve_adaptive(decay, ONE, (0.0, 0.05), tol=1e-5, paths=8).x.dtype is F64


def test_refusals():
    with refuses(ValueError, "method: expected strong order 1", "'euler', which has 0.5 on scalar noise", '"milstein"'):
        solve_adaptive(GBM, ONE, ENDS, tol=0.1, paths=4, method="euler")
    meant = FunctionSDE(GBM.f, GBM.g, sde_type="stratonovich")
    with refuses(ValueError, "method: expected one whose steps stand alone, got 'torchsde:heun'"):
        solve_adaptive(meant, ONE, ENDS, tol=0.1, paths=4, method="torchsde:heun")
    for tol in (0.0, -1.0, math.nan, "small"):
        with refuses(ValueError, "tol: expected a finite number"):
            solve_adaptive(GBM, ONE, ENDS, tol=tol, paths=4)
    with refuses(ValueError, "grid: expected a power of two of steps", "got 3"):
        solve_adaptive(GBM, ONE, TimeGrid(0.0, 1.0, 3), tol=0.1, paths=4)
    with refuses(ValueError, "grid: expected a TimeGrid or (t0, t1)"):
        solve_adaptive(GBM, ONE, (0.0, 1.0, 2.0), tol=0.1, paths=4)
    with refuses(ValueError, "finest: expected an integer from 4 to 40, got 3"):
        solve_adaptive(GBM, ONE, ENDS, tol=0.1, paths=4, finest=3)
    with refuses(ValueError, "x0: expected 3 states, as there are paths, got 2"):
        solve_adaptive(GBM, torch.ones(2, 1), ENDS, tol=0.1, paths=3)
    with refuses(ValueError, "save: expected"):
        solve_adaptive(GBM, ONE, ENDS, tol=0.1, paths=4, save="all")


def test_jets_are_refused():
    space = JetSpace(1, 2)
    family = PerturbedSDE(GBM, FunctionSDE(lambda t, x: x))
    with refuses(ValueError, "x0, sde: expected tensors, got jets"):
        solve_adaptive(family.at(Parameter(space, 0)), ONE, ENDS, tol=0.1, paths=4)
    with refuses(ValueError, "x0, sde: expected tensors, got jets"):
        solve_adaptive(GBM, constant(ONE, space), ENDS, tol=0.1, paths=4)


def test_gradients_pass():
    x0 = ONE.clone().requires_grad_(True)
    found = solve_adaptive(GBM, x0, ENDS, tol=0.1, paths=4)
    [slope] = torch.autograd.grad(found.x.sum(), x0)
    torch.testing.assert_close(slope, found.x.sum().detach()[None])


# -- the tree


def test_nodes_are_those_of_the_levels():
    path = BrownianPath(5, 30, 2, 1.0, 3.0)
    for number, dB in enumerate(path.increments(3)):
        node = path.node(3, number)
        assert torch.equal(node.dB, dB) and (node.dt, node.start, node.end) == (
            0.25, 1 + 0.25 * number, 1.25 + 0.25 * number,
        )  # fmt: skip
    for number, (_, area) in enumerate(path.at(3, finest=5).time_areas()):
        assert torch.equal(path.node(3, number).time_area(5), area)
    with refuses(ValueError, "number: expected an integer from 0 to 7, got 8"):
        path.node(3, 8)


def test_the_longest_step_may_be_the_whole_time() -> None:
    """One is a power of two."""
    sde = FunctionSDE(lambda t, x: -x, None)
    found = solve_adaptive(sde, [1.0], TimeGrid(0.0, 1.0, 1), tol=1.0, paths=2)
    assert found.times.tolist() == [0.0, 0.5, 1.0]
    with pytest.raises(ValueError, match=r"^grid: expected a power of two"):
        solve_adaptive(sde, [1.0], TimeGrid(0.0, 1.0, 6), tol=1.0, paths=2)
