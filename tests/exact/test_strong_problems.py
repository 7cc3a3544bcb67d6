"""Each problem's solution solves its equation, by Itô's and Stratonovich's own rules; and its noise is what it says."""

from __future__ import annotations

import pytest
import torch
from support import F64
from torch import Tensor

from sdewm.exact.strong_problems import STRONG_PROBLEMS, StrongProblem
from sdewm.noise.grid import TimeGrid
from sdewm.solvers.structure import noise_structure
from sdewm.systems.sde import diffusion_matrix

NAMES = list(STRONG_PROBLEMS)


def lifted(problem: StrongProblem, t: Tensor, W: Tensor, A: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """x, ∂_t x, and D_k x with the vector fields D_k = ∂_{W_k} + ½ Σ_l W_l ∂_{A_lk} of the lift, for one path."""

    def x(t: Tensor, W: Tensor, A: Tensor) -> Tensor:
        return problem.solution(t.reshape(1, 1), W[None], A[None])[0]

    of_t, of_W, of_A = torch.func.jacrev(x, (0, 1, 2))(t, W, A)
    m = len(W)
    half = torch.zeros(m, m, m, dtype=F64)  # how W moves A_ij = −A_ji, by noise k
    for k in range(m):
        half[k, :, k] += 0.5 * W
        half[k, k, :] -= 0.5 * W
    return x(t, W, A), of_t, of_W + torch.einsum("nij,kij->nk", of_A, half)


@pytest.mark.parametrize("name", NAMES)
def test_the_solution_solves_the_equation(name):
    """dx = ∂_t x dt + Σ D_k x ∘dW_k, and in Itô's calculus ½ Σ D_k D_k x more: to rounding, at random points."""
    problem, draw = STRONG_PROBLEMS[name], torch.Generator().manual_seed(0)
    m = diffusion_matrix(problem.sde, torch.zeros((), dtype=F64), problem.x0[None]).shape[-1]
    for _ in range(5):
        t, W = torch.rand((), generator=draw, dtype=F64), 0.5 * torch.randn(m, generator=draw, dtype=F64)
        A = torch.randn(m, m, generator=draw, dtype=F64)
        A = 0.3 * (A - A.mT)
        x, of_t, of_noise = lifted(problem, t, W, A)
        drift, noise = problem.sde.f(t, x[None])[0], diffusion_matrix(problem.sde, t, x[None])[0]
        torch.testing.assert_close(noise, of_noise, rtol=1e-11, atol=1e-11)
        if problem.sde.sde_type == "ito":
            # D_k g_k along the solution, by the chain rule: ∂g_k[g_k].
            jacobian = torch.func.jacrev(lambda y, t=t: diffusion_matrix(problem.sde, t, y[None])[0])(x)
            of_t = of_t + 0.5 * torch.einsum("ikj,jk->i", jacobian, noise)
        torch.testing.assert_close(drift, of_t, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("name", NAMES)
def test_the_start_and_the_noise(name):
    problem = STRONG_PROBLEMS[name]
    structure = noise_structure(problem.sde, problem.x0, TimeGrid(0.0, 1.0, 8))
    m = structure.channels
    start = problem.solution(
        torch.zeros(1, 1, dtype=F64), torch.zeros(1, m, dtype=F64), torch.zeros(1, m, m, dtype=F64)
    )
    torch.testing.assert_close(start[0], problem.x0, rtol=0, atol=1e-12)
    assert structure.needs_areas == (not problem.commuting)
    assert (structure.commutator > 0.05) == (not problem.commuting)


def test_how_many_there_are():
    kinds = [STRONG_PROBLEMS[name].commuting for name in NAMES]
    assert len(kinds) >= 50 and kinds.count(False) >= 8
    assert {name.rsplit(", ", 1)[1] for name in NAMES} == {"ito", "stratonovich"}
