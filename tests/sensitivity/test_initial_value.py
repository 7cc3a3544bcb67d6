"""Φ, and variation of constants: exact with the right end's inverse, a limit with the left end's."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy import stats
from support import EULER_METHODS, F64, FALSE_FAILURE, normal_increments, refuses
from torch import Tensor

from sdewm.exact import reference
from sdewm.exact.problems import PROBLEMS
from sdewm.jets import JetSpace, Parameter
from sdewm.noise.grid import TimeGrid
from sdewm.noise.increments import StoredIncrements
from sdewm.sensitivity import along, first_derivatives, fundamental_matrix, step_jacobians
from sdewm.solvers.loop import trajectory
from sdewm.solvers.solve import solve
from sdewm.systems.perturbed import PerturbedSDE
from sdewm.systems.sde import diffusion_matrix, diffusion_product, noise_channels

CASES: dict[str, tuple[PerturbedSDE, Tensor]] = {
    **{name: (p.family, p.x0) for name, p in ((name, make()) for name, make in PROBLEMS.items())},
    "reference": (reference.latent_family(), reference.initial_state()),
}
GRID = TimeGrid(0.0, 1.0, 20)


@pytest.fixture(params=CASES)
def case(request) -> tuple[PerturbedSDE, Tensor]:
    return CASES[request.param]


def noise_for(family: PerturbedSDE, x0: Tensor, grid: TimeGrid, paths: int = 5, seed: int = 2) -> Tensor:
    return normal_increments(grid, paths, noise_channels(family.base, torch.zeros(()), x0[None]), seed)


def step_matrix(family: PerturbedSDE, t: Tensor, dt: float, x: Tensor, dB: Tensor) -> Tensor:
    """M_n = I + ∂f Δt + ∂g_k ΔB^k."""
    drift, diffusion = step_jacobians(family.base, t, x, dB)
    return torch.eye(x.shape[-1], dtype=x.dtype) + drift * dt + diffusion


def first_sensitivity(family: PerturbedSDE, x0: Tensor, grid: TimeGrid, noise: Tensor) -> Tensor:
    """y_N from the solver's own steps."""
    parameter = Parameter(JetSpace(1, 1), 0)
    return solve(family.at(parameter), x0, grid, noise=noise).coefficients[1]


def ito_correction(family: PerturbedSDE, t: Tensor, x: Tensor) -> Tensor:
    """Σ_k ∂g_k η_k, by reverse-mode differentiation of each column alone."""
    columns = diffusion_matrix(family.error, t, x)
    total = torch.zeros_like(x)
    for k in range(columns.shape[-1]):
        _, along_column = torch.autograd.functional.jvp(
            lambda v, k=k: diffusion_matrix(family.base, t, v)[..., k], x, columns[..., k]
        )
        total = total + along_column
    return total


def left_end_form(family: PerturbedSDE, x0: Tensor, grid: TimeGrid, noise: Tensor, ito: bool) -> Tensor:
    """Φ_N Σ_n Φ_n⁻¹ (e_n − Σ_k ∂g_k η_k Δt), with or without the correction."""
    phi = torch.eye(len(x0), dtype=F64).expand(noise.shape[1], -1, -1)
    total = torch.zeros(noise.shape[1], len(x0), 1, dtype=F64)
    for (i, t, x), dB in zip(
        trajectory(family.base, x0, grid, method="euler", noise=StoredIncrements(noise)), noise, strict=False
    ):
        e = family.error.f(t, x) * grid.dt + diffusion_product(family.error, t, x, dB)
        if ito:
            e = e - ito_correction(family, t, x) * grid.dt
        total = total + torch.linalg.solve(phi, e.unsqueeze(-1))
        phi = step_matrix(family, t, grid.dt, x, dB) @ phi
        assert i < grid.steps
    return (phi @ total)[..., 0]


# -- Φ


@pytest.mark.parametrize("method", EULER_METHODS)
def test_against_finite_differences_in_the_initial_value(method):
    """Central differences of fourth order in each coordinate of x0, to 1e-7."""
    family, x0 = CASES["reference"]
    noise = noise_for(family, x0, GRID)

    def final(shift: Tensor) -> Tensor:
        return solve(family.base, x0 + shift, GRID, method=method, noise=noise)

    h, columns = 1e-2, []
    for e in torch.eye(len(x0), dtype=F64):
        near, far = final(h * e) - final(-h * e), final(2 * h * e) - final(-2 * h * e)
        columns.append((8 * near - far) / (12 * h))
    found = fundamental_matrix(family.base, x0, GRID, method=method, noise=noise)
    torch.testing.assert_close(found, torch.stack(columns, -1), rtol=0, atol=1e-7)


def test_is_the_product_of_the_steps(case):
    family, x0 = case
    noise = noise_for(family, x0, GRID)
    phi = torch.eye(len(x0), dtype=F64).expand(5, -1, -1)
    steps = trajectory(family.base, x0, GRID, method="euler", noise=StoredIncrements(noise))
    for (_, t, x), dB in zip(steps, noise, strict=False):
        phi = step_matrix(family, t, GRID.dt, x, dB) @ phi
    found = fundamental_matrix(family.base, x0, GRID, noise=noise)
    torch.testing.assert_close(found, phi, rtol=1e-12, atol=1e-13)
    assert torch.equal(fundamental_matrix(family.base, x0, GRID, noise=StoredIncrements(noise)), found)
    assert torch.equal(fundamental_matrix(family.base, x0.expand(5, -1), GRID, noise=noise), found)


def test_step_jacobians_are_those_of_autograd(case):
    family, x0 = case
    t, x = torch.tensor(0.3, dtype=F64), x0 + torch.linspace(-0.5, 0.5, 4, dtype=F64)[:, None]
    dB = noise_for(family, x0, TimeGrid(0.0, 1.0, 1), paths=4)[0]
    functions: list[Callable[[Tensor], Tensor]] = [
        lambda v: family.base.f(t, v),
        lambda v: diffusion_product(family.base, t, v, dB),
    ]
    for found, function in zip(step_jacobians(family.base, t, x, dB), functions, strict=True):
        columns = [
            torch.autograd.functional.jvp(function, x, e.expand(x.shape))[1] for e in torch.eye(len(x0), dtype=F64)
        ]
        torch.testing.assert_close(found, torch.stack(columns, -1), rtol=1e-12, atol=1e-13)


def test_constants_have_no_derivative():
    x = torch.ones(3, 2, dtype=F64)
    assert torch.equal(first_derivatives(torch.ones(3, 2, dtype=F64), like=x), torch.zeros(3, 2, 2, dtype=F64))


def test_along_is_a_first_order_jet():
    x, u, v = (torch.full((3, 2), value, dtype=F64) for value in (1.0, 2.0, 3.0))
    jet = along(x, [u, v], order=2)
    torch.testing.assert_close((jet * jet).coefficient((1, 1)), 2 * u * v)
    assert torch.equal(first_derivatives(jet), torch.stack([u, v], -1))


def test_errors_are_those_of_solve():
    family, x0 = CASES["circle"]
    with refuses(ValueError, "noise", "20 steps", "got 7"):
        fundamental_matrix(family.base, x0, GRID, noise=torch.zeros(7, 3, 1, dtype=F64))
    with refuses(ValueError, "noise", "1 channels", "got 2"):
        fundamental_matrix(family.base, x0, GRID, noise=torch.zeros(20, 3, 2, dtype=F64))


# -- variation of constants


def test_the_right_ends_inverse_is_exact(case):
    """y_N = Σ_n Φ_N Φ_{n+1}⁻¹ e_n on any grid, to rounding."""
    family, x0 = case
    noise = noise_for(family, x0, GRID)
    walk = list(trajectory(family.base, x0, GRID, method="euler", noise=StoredIncrements(noise)))
    phis, errors = [torch.eye(len(x0), dtype=F64).expand(5, -1, -1)], []
    for (_, t, x), dB in zip(walk, noise, strict=False):
        phis.append(step_matrix(family, t, GRID.dt, x, dB) @ phis[-1])
        errors.append(family.error.f(t, x) * GRID.dt + diffusion_product(family.error, t, x, dB))
    terms = [phis[-1] @ torch.linalg.solve(phi, e.unsqueeze(-1)) for phi, e in zip(phis[1:], errors, strict=True)]
    y = first_sensitivity(family, x0, GRID, noise)
    conditions = max(float(torch.linalg.cond(phi).max()) for phi in phis)
    torch.testing.assert_close(sum(terms)[..., 0], y, rtol=0, atol=1e-14 * conditions * float(y.abs().max()) * 20)


ORDER_CASES = {"gbm": True, "linear": True, "circle": True, "reference": False}


def strong_orders(family: PerturbedSDE, x0: Tensor, ito: bool) -> tuple[float, float]:
    """Interval for the order in Δt of the left-end form's root mean square error, from Δt = 1/8 to 1/128.

    Twelve groups of 64 paths, each with a slope of its own. False-failure rate 0.001.
    """
    groups, size, fine = 12, 64, TimeGrid(0.0, 1.0, 128)
    noise = StoredIncrements(noise_for(family, x0, fine, groups * size, seed=9))
    errors = []
    for factor in (16, 1):
        grid, increments = fine.coarsen(factor), noise.coarsen(factor).values
        difference = left_end_form(family, x0, grid, increments, ito) - first_sensitivity(family, x0, grid, increments)
        errors.append((difference**2).sum(-1).view(groups, size).mean(1).sqrt().numpy())
    slopes = np.log2(errors[0] / errors[1]) / 4
    low, high = stats.t.interval(1 - FALSE_FAILURE, groups - 1, slopes.mean(), stats.sem(slopes))
    return float(low), float(high)


@pytest.mark.parametrize("name", ORDER_CASES)
def test_the_left_ends_inverse_converges_with_the_ito_correction(name):
    """Order ½ or better in Δt; and it is an order, not none."""
    low, high = strong_orders(*CASES[name], ito=True)
    assert high >= 0.5 and low > 0.25, (low, high)


@pytest.mark.parametrize("name", [name for name, needed in ORDER_CASES.items() if needed])
def test_without_the_ito_correction_it_does_not(name):
    """Order ½ is rejected."""
    _, high = strong_orders(*CASES[name], ito=False)
    assert high < 0.5, high


def test_the_latent_model_needs_no_ito_correction():
    """q̄_enc does not depend on z, where the error is."""
    family, x0 = CASES["reference"]
    t, x = torch.tensor(0.3, dtype=F64), x0.expand(4, -1)
    assert not ito_correction(family, t, x).any()
    assert bool(ito_correction(CASES["linear"][0], t, CASES["linear"][1].expand(4, -1)).any())
