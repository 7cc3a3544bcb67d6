"""Theorem 3.7 and Corollary 3.8: coefficients against exact answers, mistakes planted and found."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from scipy import stats
from support import F64, FALSE_FAILURE, agrees, convicts, grid_of, refuses, taylor_by_interpolation
from torch import Tensor

from sdewm.estimate.estimates import Estimate
from sdewm.estimate.samples import Sample
from sdewm.exact import reference
from sdewm.exact.problems import PROBLEMS, Problem
from sdewm.expansion import expected_loss
from sdewm.expansion.expected_loss import expand
from sdewm.expansion.power_series import Expansion
from sdewm.expansion.variation_of_constants import TERMS
from sdewm.jets import Jet, Parameter
from sdewm.noise.brownian import BrownianSampler
from sdewm.noise.grid import TimeGrid
from sdewm.noise.samplers import MonteCarlo
from sdewm.sensitivity import along, first_derivatives
from sdewm.solvers.base import NonFiniteState
from sdewm.systems.losses import SummedLoss
from sdewm.systems.perturbed import PerturbedSDE
from sdewm.systems.sde import FunctionSDE

STEPS = 16
MADE = {name: make() for name, make in PROBLEMS.items()}


def expected(c: dict) -> dict[str, float]:
    """What the Taylor coefficients in the two magnitudes say of an expansion's numbers."""
    return {
        "loss0": c[0, 0],
        "P": c[1, 0],
        "P~": c[0, 1],
        "first": c[1, 0] + c[0, 1],
        "Q + S": 2 * c[2, 0],
        "Q~ + S~": c[1, 1] + c[0, 2],
        "second": c[2, 0] + c[1, 1] + c[0, 2],
        "third": c[3, 0] + c[2, 1] + c[1, 2] + c[0, 3],
    }


def found(result: Expansion) -> dict[str, Estimate]:
    s = result.sample
    return {
        name: s.estimate(sum(s[part] for part in name.split(" + ")))
        for name in expected(dict.fromkeys(((a, b) for a in range(4) for b in range(4)), 0.0))
        if name != "third" or result.third is not None
    }


def disagreements(result: Expansion, truth: dict) -> dict[str, tuple[Estimate, float]]:
    """Everything whose interval misses the truth; all intervals hold together at the false-failure rate."""
    numbers, right = found(result), expected(truth)
    left = result.bias_left
    return {
        name: (estimate, right[name])
        for name, estimate in numbers.items()
        if not agrees(
            estimate,
            right[name],
            comparisons=len(numbers),
            bias=sum(left.get(p, 0.0) for p in name.split(" + ")),
        )
    }


@pytest.fixture(params=PROBLEMS)
def problem(request) -> Problem:
    return MADE[request.param]


@pytest.mark.parametrize("sampler", ["rqmc", "mc", "antithetic"])
def test_coefficients_on_the_grid(problem, sampler):
    """Eight numbers at once, no discretization error on either side. False-failure rate 0.001 a problem."""
    result = expand(
        problem.family,
        problem.loss,
        problem.x0,
        grid_of(problem, STEPS),
        paths=2**12,
        sampler=sampler,
        order=3,
    )
    assert disagreements(result, problem.euler_truth(STEPS)) == {}
    assert result.bias == {} and result.form == "corrected" and result.reading == ""


def milstein_truth(problem: Problem, steps: int) -> dict:
    """Coefficients on the grid of Milstein's scheme for a linear system: E I_kl I_ij = ½h² δ_ki δ_lj."""
    base, error = problem.model
    n, h = len(problem.x0), problem.horizon / steps

    def lifted(matrix, vector) -> np.ndarray:
        return np.block([[np.zeros((1, n + 1))], [vector[:, None], matrix]])

    def loss(eps: float, eps_drift: float) -> float:
        step = np.eye(n + 1) + h * lifted(base.A + eps_drift * error.A, base.a + eps_drift * error.a)
        g = [lifted(*two) for two in zip(base.B + eps * error.B, base.b + eps * error.b, strict=True)]
        crossed = [one @ other for one in g for other in g]
        xi = np.concatenate([[1.0], problem.x0.numpy()])
        m = np.outer(xi, xi)
        for _ in range(steps):
            m = step @ m @ step.T + h * sum(b @ m @ b.T for b in g) + h**2 / 2 * sum(b @ m @ b.T for b in crossed)
        # The loss is quadratic; a Hessian by differences of a quadratic function is exact to rounding.
        e = torch.eye(n)
        x = torch.cat([torch.zeros(1, n), e, -e, (e[:, None] + e).view(-1, n)])
        values = problem.loss(x.double()).numpy()
        plus, minus, both = values[1 : n + 1], values[n + 1 : 2 * n + 1], values[2 * n + 1 :].reshape(n, n)
        hessian = both - plus[:, None] - plus + values[0]
        return values[0] + (plus - minus) / 2 @ m[0, 1:] + (hessian * m[1:, 1:]).sum() / 2

    return taylor_by_interpolation(loss)


def test_coefficients_with_areas():
    """Noise that does not commute, on Milstein's own grid; Euler's coefficients are seen not to be these.

    False-failure rate 0.001.
    """
    problem, steps = MADE["linear"], 2
    result = expand(
        problem.family,
        problem.loss,
        problem.x0,
        grid_of(problem, steps),
        order=3,
        method="milstein",
        sampler=BrownianSampler(2**16, seed=0),
    )
    assert disagreements(result, milstein_truth(problem, steps)) == {}
    assert result.third is not None
    assert convicts(result.third, expected(problem.euler_truth(steps))["third"])


def test_coefficients_with_areas_in_continuous_time():
    """Three grids of one path each, the areas of the coarser ones by Chen's relation. False-failure rate 0.001."""
    problem = MADE["linear"]
    result = expand(
        problem.family,
        problem.loss,
        problem.x0,
        grid_of(problem, STEPS),
        grids=3,
        method="milstein",
        sampler=BrownianSampler(2**12, seed=1),
    )
    assert disagreements(result, problem.truth) == {}


def test_areas_are_asked_for():
    problem = MADE["linear"]
    with refuses(ValueError, "noise: 'milstein' needs Lévy areas", "sampler=sdewm.BrownianSampler(paths, seed)"):
        expand(problem.family, problem.loss, problem.x0, grid_of(problem, STEPS), method="milstein", sampler="mc")


def test_coefficients_in_continuous_time(problem):
    """Four grids extrapolated; what bias may be left is added to the intervals. False-failure rate 0.001."""
    result = expand(problem.family, problem.loss, problem.x0, grid_of(problem, 32), paths=2**11, order=3, grids=4)
    assert disagreements(result, problem.truth) == {}
    assert set(result.bias) == set(result.bias_left) == {"loss0", *TERMS, "first", "second", "third"}


def test_reported_bias_is_that_of_the_finest_grid(problem):
    """The difference of two exact answers, on the grid and in continuous time. False-failure rate 0.001."""
    grid = grid_of(problem, 32)
    result = expand(problem.family, problem.loss, problem.x0, grid, paths=2**11, grids=4)
    fine, true = expected(problem.euler_truth(32)), expected(problem.truth)
    raw = expand(problem.family, problem.loss, problem.x0, grid, paths=2**11)
    for name in ("loss0", "P", "P~", "first", "second"):
        difference = result.sample.estimate(raw.sample[name] - result.sample[name])
        assert result.bias[name] == pytest.approx(difference.mean, abs=1e-12)
        assert agrees(difference, fine[name] - true[name], comparisons=5, bias=result.bias_left[name]), name


def test_terms_make_up_the_coefficients(problem):
    s = expand(problem.family, problem.loss, problem.x0, grid_of(problem, 4), paths=64).sample
    np.testing.assert_allclose(s["first"], s["P"] + s["P~"], rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(s["second"], 0.5 * (s["Q"] + s["S"]) + s["Q~"] + s["S~"], rtol=1e-13)


def test_monte_carlo_and_quasi_monte_carlo_agree():
    """On the reference model. Welch's test of ten numbers, false-failure rate 0.001."""
    results = [
        expand(
            reference.latent_family(),
            reference.loss,
            reference.initial_state(),
            TimeGrid(0.0, 1.0, 8),
            paths=2**12,
            sampler=sampler,
            order=3,
        )
        for sampler in ("mc", "rqmc")
    ]
    for name in ("loss0", "first", "second", "third", *TERMS):
        one, other = (r.sample[name] for r in results)
        assert stats.ttest_ind(one, other, equal_var=False).pvalue > FALSE_FAILURE / 10, name


@pytest.mark.parametrize("form", ["corrected", "printed"])
def test_single_precision(form):
    """To what single precision can hold: some 16 steps of 1e-7 each, in numbers of order one."""
    problem = MADE["circle"]
    x0, grid = problem.x0, grid_of(problem, STEPS)
    double = expand(problem.family, problem.loss, x0, grid, paths=256, form=form)
    single = expand(problem.family, problem.loss, x0.float(), grid, paths=256, form=form)
    for name in ("loss0", "first", "second", *TERMS):
        np.testing.assert_allclose(single.sample[name], double.sample[name], rtol=0, atol=2e-5)


def test_an_executor_and_progress_change_nothing():
    problem = MADE["linear"]
    arguments = (problem.family, problem.loss, problem.x0, grid_of(problem, 4))
    calls = []
    serial = expand(*arguments, paths=256, progress=lambda *a: calls.append(a))
    with ThreadPoolExecutor(2) as executor:
        parallel = expand(*arguments, paths=256, executor=executor)
    for name in ("loss0", "first", "second", *TERMS):
        np.testing.assert_array_equal(serial.sample[name], parallel.sample[name])
    assert calls[-1] == (32, 32)


def test_a_summed_loss_is_the_sum_of_its_terms():
    problem = MADE["latent-linear"]
    grid = grid_of(problem, 8)

    def one(t: Tensor, x: Tensor) -> Tensor:
        return (1 + t) * problem.loss(x)

    def result(times: list[float], weights: list[float] | None = None) -> Sample:
        loss = SummedLoss(one, times, weights)
        return expand(problem.family, loss, problem.x0, grid, paths=64, order=3).sample

    half, end, both, start = result([0.5]), result([1.0]), result([0.5, 1.0], [2.0, -0.5]), result([0.0])
    for name in ("loss0", "first", "second", "third", *TERMS):
        np.testing.assert_allclose(both[name], 2 * half[name] - 0.5 * end[name], rtol=0, atol=1e-13)
        assert name == "loss0" or not start[name].any(), "the initial state does not depend on ε"
    np.testing.assert_allclose(start["loss0"], problem.loss(problem.x0[None]).item())


@pytest.mark.parametrize("form", ["corrected", "printed"])
def test_a_terminal_loss_is_a_sum_with_one_term(form):
    problem = MADE["circle"]
    grid = grid_of(problem, 8)
    summed = SummedLoss(lambda t, x: problem.loss(x), [problem.horizon])
    one, other = (
        expand(problem.family, loss, problem.x0, grid, paths=64, form=form) for loss in (problem.loss, summed)
    )
    for name in ("loss0", "first", "second", *TERMS):
        np.testing.assert_array_equal(one.sample[name], other.sample[name])


def linearised(f: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    """f without its curvature: every order of x passes through the Jacobian at x's value."""

    def g(t: Tensor, x: Tensor) -> Tensor:
        if not isinstance(x, Jet):
            return f(t, x)
        slopes = first_derivatives(f(t, along(x.value, list(x.coefficients[1:]), order=1)))
        return Jet(torch.cat([f(t, x.value)[None], slopes.movedim(-1, 0)]), x.space)

    return g


def at_order_zero(self: Parameter, x: Tensor) -> Tensor:
    return x.value if isinstance(x, Jet) else x


def without_half(values, form, half_q=False):
    return values["Q"] + values["S"] + values["Q~"] + values["S~"]


CIRCLE = MADE["circle"]

BASE, ERROR = CIRCLE.family.base, CIRCLE.family.error

MISTAKES: dict[str, tuple[dict, Callable[[pytest.MonkeyPatch], None], set[str]]] = {
    "2 ∂η y dropped": (
        {},
        lambda patch: patch.setattr(Parameter, "lower", at_order_zero),
        {"Q + S", "Q~ + S~", "second"},
    ),
    "the drift's Hessian dropped": (
        {"family": PerturbedSDE(FunctionSDE(linearised(BASE.f), BASE.g), ERROR)},
        lambda patch: None,
        {"Q + S", "second"},
    ),
    "drift and diffusion error swapped": (
        {"family": PerturbedSDE(BASE, FunctionSDE(ERROR.g, ERROR.f))},
        lambda patch: None,
        {"P", "P~", "Q + S", "Q~ + S~", "first", "second"},
    ),
    "the diffusion error's sign": (
        {"family": PerturbedSDE(FunctionSDE(BASE.f, BASE.g), FunctionSDE(ERROR.f, lambda t, x: -ERROR.g(t, x)))},
        lambda patch: None,
        {"P", "first"},
    ),
    "a longer horizon": (
        {"grid": TimeGrid(0.0, 1.25 * CIRCLE.horizon, STEPS)},
        lambda patch: None,
        {"loss0", "P", "P~", "first"},
    ),
    "½ dropped": ({}, lambda patch: patch.setattr(expected_loss, "second_coefficient", without_half), {"second"}),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_found(mistake, monkeypatch):
    """False-alarm rate 1e-6: 6 standard errors away, and about 25 on the side that a skewness of 1 endangers.

    The smallest mistake, 0.027 of Q + S, is 32 standard errors of 2^14 paths.
    """
    changes, plant, seen = MISTAKES[mistake]
    plant(monkeypatch)
    arguments = {"family": CIRCLE.family, "grid": grid_of(CIRCLE, STEPS)} | changes
    result = expand(arguments["family"], CIRCLE.loss, CIRCLE.x0, arguments["grid"], paths=2**14)
    numbers, truth = found(result), expected(CIRCLE.euler_truth(STEPS))
    convicted = {name for name, estimate in numbers.items() if convicts(estimate, truth[name])}
    assert seen <= convicted, {name: (str(numbers[name]), truth[name]) for name in seen - convicted}


def relu_far_out(x):
    return torch.relu(x[:, 0] - 2.2)


@pytest.mark.filterwarnings("ignore::sdewm.jets.NonSmoothWarning")
def test_a_mean_that_no_path_reaches_is_flagged():
    """E max(x − 2.2, 0) is 10⁻¹⁰, and 0 on every path; σ(10⁵ (x − 2.2)) is 0 there too, to rounding."""
    noisy = FunctionSDE(lambda t, x: -x, lambda t, x: 0.3 + 0 * x)
    grid, x0 = TimeGrid(0.0, 1.0, 8), torch.tensor([0.8], dtype=F64)
    family = PerturbedSDE(noisy, FunctionSDE(lambda t, x: x))
    for loss in (relu_far_out, lambda x: torch.sigmoid(1e5 * (x[:, 0] - 2.2))):
        found = expand(family, loss, x0, grid, paths=256)
        for estimate in (found.loss0, found.first, found.second, found.predict(0.1)):
            assert estimate.mean == 0 and "all 256 paths give 0" in estimate.flags[0]
    every = SummedLoss(lambda t, x: relu_far_out(x), times=[0.5, 1.0])
    assert expand(family, every, x0, grid, paths=256).loss0.flags
    # What is 0, or constant, by itself: losses, terms of an error that is not there, and all of a single path.
    for loss in (lambda x: 0 * x[:, 0] + 3.0, lambda x: x[:, 0] ** 2):
        result = expand(PerturbedSDE(noisy, FunctionSDE()), loss, x0, grid, paths=256)
        assert not any(e.flags for e in (result.loss0, result.first, *result.terms.values(), result.predict(0.1)))
    still = PerturbedSDE(FunctionSDE(lambda t, x: -x), FunctionSDE(lambda t, x: x))
    for loss in (relu_far_out, lambda x: x[:, 0] ** 2):
        assert not expand(still, loss, x0, grid, paths=256).loss0.flags


@pytest.mark.parametrize(
    ("changes", "error", "fragments"),
    [
        ({"form": "literal"}, ValueError, ("form", "'corrected' or 'printed'", "'literal'")),
        ({"reading": "generous"}, ValueError, ("reading", "literal", "drift in Φ", "'generous'")),
        ({"sampler": "sobol"}, ValueError, ("sampler", "'rqmc', 'mc'", "'sobol'")),
        ({"order": 4}, ValueError, ("order", "2 or 3", "4")),
        ({"order": 1}, ValueError, ("order", "2 or 3", "1")),
        ({"form": "printed", "order": 3}, ValueError, ("order", "2 for form 'printed'", "3")),
        ({"form": "printed", "method": "euler-sequential"}, ValueError, ("method", "'euler'", "sequential")),
        ({"method": "magic"}, ValueError, ("method", "euler", "'magic'")),
        ({"method": "euler-sequential"}, TypeError, ("method", "stages", "FunctionSDE")),
        ({"grids": 4}, ValueError, ("grids", "2^(grids-1)", "12 steps", "got 4")),
        ({"grids": 0}, ValueError, ("grids", "12 steps", "got 0")),
        ({"grids": -1}, ValueError, ("grids", "12 steps", "got -1")),
        ({"paths": 8}, ValueError, ("paths", "16", "8")),
        ({"paths": 8, "sampler": "mc"}, ValueError, ("paths", "16", "8")),
        ({"x0": torch.zeros(3, 1, dtype=F64)}, ValueError, ("x0", "one initial state (n,)", "(3, 1)")),
        ({"x0": torch.tensor([math.nan])}, ValueError, ("x0", "finite")),
        ({"family": BASE}, TypeError, ("family", "PerturbedSDE(base, error)", "FunctionSDE")),
        ({"loss": 1.0}, TypeError, ("loss", "function of states", "SummedLoss", "float")),
        ({"loss": lambda x: x.square().mean()}, ValueError, ("loss", "(paths,)", "()", "last axis")),
        ({"loss": lambda x: x}, ValueError, ("loss", "one number per path", "(paths,)", "(paths, 1)")),
        ({"loss": lambda x: 1.0}, ValueError, ("loss", "one number per path", "float")),
        ({"loss": lambda x: (x - x).log().sum(-1)}, ValueError, ("loss", "finite", "-inf", "initial state")),
        ({"executor": 3}, TypeError, ("executor:", "map and submit", "got 3")),
        ({"progress": 3}, TypeError, ("progress:", "(done, all)", "got 3")),
        ({"loss": SummedLoss(lambda t, x: x[:, 0], [0.3])}, ValueError, ("times:", "on the grid", "0.3")),
        ({"loss": SummedLoss(lambda t, x: x[:, 0], [1 / 12]), "grids": 2}, ValueError, ("times:", "on the grid")),
    ],
)
def test_bad_input_is_refused(changes, error, fragments):
    usual = {"family": CIRCLE.family, "loss": CIRCLE.loss, "x0": CIRCLE.x0, "grid": TimeGrid(0.0, 1.0, 12)}
    arguments = usual | {"paths": 64} | changes
    with refuses(error, *fragments):
        expand(**arguments)


def test_non_finite_states_are_named():
    family = PerturbedSDE(FunctionSDE(lambda t, x: x.exp().exp(), BASE.g), ERROR)
    with refuses(NonFiniteState, "x: component 0", "t = "):
        expand(family, CIRCLE.loss, torch.tensor([5.0], dtype=F64), TimeGrid(0.0, 1.0, 4), paths=64)


def test_own_samplers_bring_their_own_paths_and_seed():
    result = expand(
        CIRCLE.family,
        CIRCLE.loss,
        CIRCLE.x0,
        TimeGrid(0.0, 1.0, 4),
        sampler=MonteCarlo(64, 17),
        paths=10**9,
        seed=3,
    )
    assert result.first.n == 64 and result.first.seed == 17 and result.first.dof == 31
