"""Every problem against its own truth, without sampling."""

import dataclasses
import doctest
import itertools
import math

import numpy as np
import pytest
import torch
from support import taylor_by_interpolation
from torch import Tensor

from sdewm.exact import (
    CircleSDE,
    LinearSDE,
    QuadraticLoss,
    TorusSDE,
    kolmogorov_circle,
    moments,
    multi_indices,
    problems,
)
from sdewm.exact.problems import PROBLEMS, Problem
from sdewm.jets import JetSpace, Parameter, constant
from sdewm.noise.grid import TimeGrid
from sdewm.solvers.structure import noise_structure
from sdewm.systems.perturbed import PerturbedSDE
from sdewm.systems.sde import SDE, FunctionSDE, diffusion_matrix, diffusion_product, noise_channels

TIME = torch.tensor(0.0, dtype=torch.float64)


@pytest.fixture(scope="module")
def made() -> dict[str, Problem]:
    return {name: make() for name, make in PROBLEMS.items()}


@pytest.fixture(params=PROBLEMS)
def problem(request, made) -> Problem:
    return made[request.param]


def evaluate(model: LinearSDE | CircleSDE | TorusSDE, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Drift (paths, n) and diffusion (paths, n, m) of a numpy model."""
    if isinstance(model, LinearSDE):
        return x @ model.A.T + model.a, np.einsum("kij,pj->pik", model.B, x) + model.b.T
    if isinstance(model, TorusSDE):
        return model.drift(x), model.diffusion(x)
    return model.drift(x[:, 0])[:, None], model.diffusion(x[:, 0]).T[:, None, :]


def euler_by_quadrature(problem: Problem, sde: SDE, x: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """Losses and weights after a few Euler steps from x : (1, n), by a product quadrature of all increments.

    Two nodes are exact for a linear system and a quadratic loss, which see no more than second moments.
    """
    m = noise_channels(problem.family.base, TIME, problem.x0[None])
    points = {"ou": 30, "circle": 30, "torus": 10}.get(problem.name, 2)
    nodes, weights = np.polynomial.hermite_e.hermegauss(points)
    z, w = (
        torch.cartesian_prod(*[torch.from_numpy(values)] * (m * steps)).reshape(-1, m * steps)
        for values in (nodes, weights / weights.sum())
    )
    z, w = z.unflatten(-1, (steps, m)), w.prod(-1)
    dt = problem.horizon / steps
    x = x.expand(len(z), -1)
    for n in range(steps):
        x = x + sde.f(TIME, x) * dt + diffusion_product(sde, TIME, x, z[:, n] * math.sqrt(dt))
    return problem.loss(x), w


def test_docstring_examples():
    assert doctest.testmod(problems).failed == 0


def test_names():
    assert {name: make().name for name, make in PROBLEMS.items()} == {name: name for name in PROBLEMS}


def test_shapes_and_precision(problem):
    x = problem.x0 + torch.randn(5, len(problem.x0), dtype=torch.float64)
    n, m = x.shape[-1], noise_channels(problem.family.base, TIME, x)
    for sde in (problem.family.base, problem.family.error):
        assert sde.f(TIME, x).shape == (5, n)
        assert diffusion_matrix(sde, TIME, x).shape == (5, n, m)
    assert problem.loss(x).shape == (5,)
    assert x.dtype == problem.loss(x).dtype == problem.x0.dtype == torch.float64
    assert tuple(problem.truth) == tuple(problem.euler_truth(4)) == multi_indices(3)


def test_torch_coefficients_are_those_of_the_model(problem):
    x = problem.x0 + torch.randn(20, len(problem.x0), dtype=torch.float64)
    (f, g), (f_error, g_error) = (evaluate(model, x.numpy()) for model in problem.model)
    for eps, eps_drift in ((0.0, 0.0), (0.3, -0.7)):
        sde = problem.family.at(eps, eps_drift)
        np.testing.assert_allclose(sde.f(TIME, x), f + eps_drift * f_error, atol=1e-14)
        np.testing.assert_allclose(diffusion_matrix(sde, TIME, x), g + eps * g_error, atol=1e-14)


def test_both_errors_matter(problem):
    """Every coefficient but the third is large enough to be measured, and none is wild."""
    for alpha, value in problem.truth.items():
        assert (0.01 if sum(alpha) < 3 else 5e-4) < abs(value) < 2.5, alpha


def disagreements(problem: Problem) -> set[tuple[int, int]]:
    """Where the torch family, its loss and x0 disagree with the truth on a grid of two steps."""

    def value(eps: float, eps_drift: float) -> float:
        losses, weights = euler_by_quadrature(problem, problem.family.at(eps, eps_drift), problem.x0[None], 2)
        return float(weights @ losses)

    found = taylor_by_interpolation(value)
    return {alpha for alpha, c in problem.euler_truth(2).items() if not abs(found[alpha] - c) < 1e-6}


def test_euler_truth_is_that_of_the_torch_family(problem):
    assert disagreements(problem) == set()


def test_jets_of_the_torch_family_give_the_euler_truth(problem):
    space = JetSpace(2, 3)
    sde = problem.family.at(Parameter(space, 0), Parameter(space, 1))
    losses, weights = euler_by_quadrature(problem, sde, constant(problem.x0[None], space), 2)
    known_to = 1e-8 if problem.name == "torus" else 1e-11
    for alpha, value in problem.euler_truth(2).items():
        assert float(weights @ losses.coefficient(alpha)) == pytest.approx(value, abs=known_to), alpha


def test_a_wrong_family_is_caught(problem):
    """The comparison above sees one per cent in an error, and in the noise."""
    base, error = problem.family.base, problem.family.error
    for wrong, expected in (
        (
            PerturbedSDE(base, FunctionSDE(lambda t, x: 1.01 * error.f(t, x), error.g, error.noise_type)),
            (0, 1),
        ),
        (
            PerturbedSDE(base, FunctionSDE(error.f, lambda t, x: 1.01 * error.g(t, x), error.noise_type)),
            (1, 0),
        ),
        (PerturbedSDE(FunctionSDE(base.f, lambda t, x: 1.01 * base.g(t, x), base.noise_type), error), (0, 0)),
    ):
        assert expected in disagreements(dataclasses.replace(problem, family=wrong))


def test_euler_truth_tends_to_the_truth(problem):
    """Bias halves as the steps double, and Richardson's extrapolation is off by little."""
    fine = 128 if problem.name == "torus" else 512  # the torus takes longest
    grids = {steps: problem.euler_truth(steps) for steps in (fine // 4, fine // 2, fine)}
    for alpha, value in problem.truth.items():
        quarter, half, whole = (grid[alpha] - value for grid in grids.values())
        assert abs(whole) < 2.5 / fine
        assert abs(2 * whole - half) < 5 / fine**2
        assert half - quarter == pytest.approx(2 * (whole - half), rel=0.2, abs=0.25 / fine**2)


def test_closed_forms_agree_with_moment_equations(made):
    gbm = made["gbm"]
    square = QuadraticLoss(2 * np.eye(1), np.zeros(1))
    for steps in (None, 10):
        found = moments(*gbm.model, square, gbm.x0.numpy(), gbm.horizon, steps=steps)
        expected = gbm.truth if steps is None else gbm.euler_truth(steps)
        assert found == pytest.approx(expected, rel=1e-12)


def test_circle_truth_does_not_depend_on_the_points(made):
    circle = made["circle"]
    found = kolmogorov_circle(*circle.model, lambda x: np.cos(x) + 0.3 * np.sin(2 * x), -0.4, circle.horizon, points=41)
    assert found.coefficients == pytest.approx(circle.truth, abs=1e-9)


def test_torus_noises_do_not_commute(made):
    problem = made["torus"]
    for sde in (problem.family.base, problem.family.error):
        found = noise_structure(sde, problem.x0, TimeGrid(0.0, problem.horizon, 1))
        assert found.kind == "general" and found.commutator > 0.03


@pytest.mark.parametrize("part", [0, 1])
def test_linear_matrices_do_not_commute(made, part):
    model = made["linear"].model[part]
    matrices = [model.A, *model.B]
    for p, q in itertools.combinations(matrices, 2):
        assert np.abs(p @ q - q @ p).max() > 0.005


def test_latent_linear_has_the_structure_of_the_paper(made):
    """Who depends on whom in (5)-(8): rows and columns are z, z, h, h, z̃, s̃."""
    base, error = made["latent-linear"].model
    drift = [[0, 0, 1, 1, 0, 0], [1, 1, 1, 1, 0, 0], [0, 0, 1, 1, 0, 0], [0, 0, 1, 1, 1, 0]]
    noise = [[0, 0, 1, 1, 0, 0], [0, 0, 0, 0, 0, 0], [0, 0, 1, 1, 0, 0], [0, 0, 1, 1, 1, 0]]
    only_z = [[0, 0, 1, 1, 0, 0], [0] * 6, [0] * 6, [0] * 6]
    for array, expected in (
        (base.A, drift),
        (np.abs(base.B).sum(0), noise),
        (error.A, only_z),
        (np.abs(error.B).sum(0), only_z),
    ):
        np.testing.assert_array_equal(array != 0, np.repeat(expected, (2, 2, 1, 1), axis=0))
    assert not error.a[2:].any() and not error.b[:, 2:].any() and not base.b[:, 2:4].any()
    assert (np.count_nonzero(base.b, axis=1) == 1).all()  # a Brownian motion for each noisy row
