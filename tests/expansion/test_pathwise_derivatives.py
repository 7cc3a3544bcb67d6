"""Coefficients of each path against finite differences in ε on the same noise."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from support import EULER_METHODS, normal_increments
from torch import Tensor

from sdewm.exact import reference
from sdewm.expansion.pathwise_derivatives import corrected_terms
from sdewm.noise.grid import TimeGrid
from sdewm.noise.increments import StoredIncrements
from sdewm.solvers.solve import solve
from sdewm.systems.losses import as_summed


def reference_noise(grid: TimeGrid) -> StoredIncrements:
    return StoredIncrements(normal_increments(grid, 7, 6, seed=5))


def differences(value: Callable[[float], Tensor], h: float = 1e-2) -> tuple[Tensor, Tensor]:
    """First and second derivative at 0 by central differences of fourth order."""
    far, near, middle = (value(2 * h), value(-2 * h)), (value(h), value(-h)), value(0.0)
    first = (8 * (near[0] - near[1]) - (far[0] - far[1])) / (12 * h)
    second = (16 * (near[0] + near[1]) - (far[0] + far[1]) - 30 * middle) / (12 * h * h)
    return first, second


@pytest.mark.parametrize("method", EULER_METHODS)
def test_each_path_is_differentiated_exactly(method):
    """Every term of every path against finite differences in ε, to 1e-7: the discrete identity.

    P, Q, S and their tildes apart: derivatives of the state by differences, of the loss by autograd.
    """
    family, x0, grid = reference.latent_family(), reference.initial_state(), TimeGrid(0.0, 1.0, 6)
    noise = reference_noise(grid)

    def final(eps: float, eps_drift: float) -> Tensor:
        return solve(family.at(eps, eps_drift), x0, grid, method=method, noise=noise)

    y_a, w_aa = differences(lambda e: final(e, 0.0))
    y_b, w_bb = differences(lambda e: final(0.0, e))
    _, w_both = differences(lambda e: final(e, e))
    w_ab = (w_both - w_aa - w_bb) / 2
    x = final(0.0, 0.0).requires_grad_()
    (gradient,) = torch.autograd.grad(reference.loss(x).sum(), x)
    hessian = torch.func.vmap(torch.func.hessian(lambda v: reference.loss(v[None])[0]))(x.detach())

    def curvature(u: Tensor, v: Tensor) -> Tensor:
        return torch.einsum("pi,pij,pj->p", u, hessian, v)

    by_hand = {
        "loss0": reference.loss(x.detach()),
        "P": (gradient * y_a).sum(-1),
        "P~": (gradient * y_b).sum(-1),
        "Q": (gradient * w_aa).sum(-1),
        "S": curvature(y_a, y_a),
        "Q~": (gradient * (w_ab + w_bb / 2)).sum(-1),
        "S~": curvature(y_b, y_a) + curvature(y_b, y_b) / 2,
    }
    jets = corrected_terms(family, {"loss": as_summed(reference.loss, grid)}, x0, grid, noise=noise, method=method)
    for name, value in by_hand.items():
        torch.testing.assert_close(jets["loss", name], value, rtol=1e-7, atol=1e-7 * float(value.abs().max()))


@pytest.mark.parametrize("method", EULER_METHODS)
def test_the_expansion_is_the_finite_difference_of_the_mean(method):
    """E L on the same noise, differentiated in ε: first and second coefficient to 1e-7, the third to 1e-5."""
    family, x0, grid = reference.latent_family(), reference.initial_state(), TimeGrid(0.0, 1.0, 6)
    noise = reference_noise(grid)

    def mean(eps: float) -> Tensor:
        return reference.loss(solve(family.at(eps), x0, grid, method=method, noise=noise)).mean()

    losses = {"loss": as_summed(reference.loss, grid)}
    jets = corrected_terms(family, losses, x0, grid, noise=noise, method=method, order=3)
    terms = {name: value.mean() for (_, name), value in jets.items()}
    first, twice_second = differences(mean)
    second = 0.5 * (terms["Q"] + terms["S"]) + terms["Q~"] + terms["S~"]
    torch.testing.assert_close(terms["P"] + terms["P~"], first, rtol=1e-7, atol=0)
    torch.testing.assert_close(second, twice_second / 2, rtol=1e-7, atol=0)
    h = 0.02
    third = (mean(-3 * h) - mean(3 * h) + 8 * (mean(2 * h) - mean(-2 * h)) - 13 * (mean(h) - mean(-h))) / (48 * h**3)
    torch.testing.assert_close(terms["third"], third, rtol=1e-5, atol=0)
