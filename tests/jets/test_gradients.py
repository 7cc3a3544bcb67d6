"""Drifts that differentiate a potential: ∇U on tensors and jets alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sdewm import FunctionSDE, PerturbedSDE, QuasiMonteCarlo, TimeGrid, expand, gradient, solve
from sdewm.jets import Jet, JetSpace, NotDifferentiable, gradients
from sdewm.jets.directional import directional

F64 = torch.float64


def jet(space: JetSpace, *shape: int) -> Jet:
    return Jet(0.5 * torch.randn(len(space), *shape, dtype=F64, generator=torch.Generator().manual_seed(0)), space)


def quartic(x: Tensor) -> Tensor:
    return (0.25 * x**4 - 0.5 * x**2).sum(-1) + x[..., 0] * x[..., 1]


def quartic_slope(x: Tensor) -> Tensor:
    return x**3 - x + torch.stack([x[..., 1], x[..., 0], 0 * x[..., 0]], -1)


def wells(x: Tensor) -> Tensor:
    return -torch.logsumexp(torch.stack([-((x - 1) ** 2).sum(-1), -((x + 1) ** 2).sum(-1)], -1), -1)


def wells_slope(x: Tensor) -> Tensor:
    return 2 * (x - torch.tanh(2 * x.sum(-1, keepdim=True)))


def by_autograd(potential: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    def slope(x: Tensor) -> Tensor:
        with torch.enable_grad():
            y = x.detach().requires_grad_(True)
            return torch.autograd.grad(potential(y).sum(), y, create_graph=True)[0]

    return slope


def by_func(potential: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    return torch.func.grad(lambda x: potential(x).sum())


def by_vmap(potential: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    return torch.func.vmap(torch.func.grad(potential))


POTENTIALS = {"quartic": (quartic, quartic_slope), "wells": (wells, wells_slope)}


@pytest.mark.parametrize("grad", [True, False])
@pytest.mark.parametrize("route", [gradient, by_autograd, by_func, by_vmap])
@pytest.mark.parametrize("space", [JetSpace(1, 0), JetSpace(1, 3), JetSpace(2, 2), JetSpace(3, 2)])
@pytest.mark.parametrize("name", POTENTIALS)
def test_gradient_of_a_potential(name: str, space: JetSpace, route: Callable[..., Any], grad: bool) -> None:
    potential, slope = POTENTIALS[name]
    with torch.set_grad_enabled(grad):
        x = jet(space, 5, 3)
        found = route(potential)(x)
        assert isinstance(found, Jet) and found.space is space and found.shape == x.shape
        torch.testing.assert_close(found.coefficients, slope(x).coefficients)
        plain = route(potential)(x.value)
        torch.testing.assert_close(plain, slope(x.value))


def test_gradient_again() -> None:
    """The Laplacian, and a gradient inside the direction that Milstein's scheme takes."""
    x = jet(JetSpace(2, 2), 4, 3)
    twice = gradient(lambda y: gradient(quartic)(y).sum(-1))(x)
    torch.testing.assert_close(twice.coefficients, (3 * x**2 - 1 + torch.tensor([1.0, 1.0, 0.0])).coefficients)
    along = directional(gradient(quartic), x, torch.ones_like(x))
    torch.testing.assert_close(along.coefficients, twice.coefficients)


def test_autograd_weights_and_constants() -> None:
    x = jet(JetSpace(2, 2), 4, 3)
    y = x.clone().requires_grad_(True)
    weights = jet(JetSpace(2, 2), 4, 3).sin()
    (found,) = torch.autograd.grad(y**3, y, grad_outputs=weights)
    torch.testing.assert_close(found.coefficients, (3 * x**2 * weights).coefficients)
    y = x.clone().requires_grad_(True)
    (found,) = torch.autograd.grad((y**3).sum(), y)
    torch.testing.assert_close(found.coefficients, (3 * x**2).coefficients)
    assert gradient(lambda x: torch.ones(len(x), dtype=F64) + 0 * x.sum(-1))(x).coefficients.abs().max() == 0


def test_langevin_with_a_network_as_potential() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(2, 8), nn.Softplus(), nn.Linear(8, 1)).double()
    drift = gradient(lambda x: net(x).squeeze(-1) + 0.5 * (x**2).sum(-1))
    base = FunctionSDE(lambda t, x: -drift(x), lambda t, x: torch.full_like(x, 0.3))
    family = PerturbedSDE(base, FunctionSDE(lambda t, x: 0.5 * x, lambda t, x: torch.tanh(x)))
    x0, grid, sampler = (
        torch.tensor([0.8, -0.3], dtype=F64),
        TimeGrid(0.0, 1.0, 4),
        QuasiMonteCarlo(64, 0, replicates=4),
    )
    expansion = expand(family, lambda x: (x**2).sum(-1), x0, grid, sampler=sampler)
    noises = [noise for r in range(4) for noise in sampler.draw([r], 2, grid, x0)]
    nodes = np.cos((2 * np.arange(9) + 1) * np.pi / 18)

    def mean(eps: float) -> float:
        with torch.no_grad():
            finals = torch.cat([solve(family.at(eps), x0, grid, noise=noise) for noise in noises])
            return float((finals**2).sum(-1).mean())

    fit = np.polynomial.polynomial.polyfit(nodes, [mean(0.02 * float(node)) for node in nodes], 8)
    found = [expansion.loss0.mean, expansion.first.mean, expansion.second.mean]
    assert found == pytest.approx(list(fit[:3] / 0.02 ** np.arange(3)), rel=1e-7)


@pytest.mark.parametrize(
    "error, message, call",
    [
        (TypeError, "^x: expected a tensor", lambda x: gradient(quartic)(1.0)),
        (TypeError, "^potential: expected a tensor", lambda x: gradient(lambda y: 1.0)(x)),
        (ValueError, "^potential: expected one number for each path", lambda x: gradient(torch.sin)(x)),
        (ValueError, "^potential: expected one number for each path", lambda x: gradient(torch.sum)(x)),
        (RuntimeError, "scalar outputs", lambda x: torch.autograd.grad(x.requires_grad_(True) ** 2, x)),
        (TypeError, r"use sdewm\.gradient", lambda x: quartic(x).sum().backward()),
    ],
)
def test_misuse_says_what_to_do(error: type[Exception], message: str, call: Callable[[Jet], Any]) -> None:
    with pytest.raises(error, match=message):
        call(jet(JetSpace(1, 2), 4, 3))


def test_a_gradient_with_a_coefficient_in_the_wrong_place_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    assembled = gradients._assembled

    def reversed_(space: JetSpace, weights: Tensor, pull: Any) -> Any:
        return [Jet(g.coefficients.flip(0), space) for g in assembled(space, weights, pull)]

    monkeypatch.setattr(gradients, "_assembled", reversed_)
    with pytest.raises(AssertionError):
        test_gradient_of_a_potential("quartic", JetSpace(1, 3), gradient, True)


FORWARD: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "jvp": lambda x, v: torch.func.jvp(_field, (x,), (v,))[1],
    "jvp along a jet": lambda x, v: torch.func.jvp(_field, (x,), (x,))[1],
    "jvp at a constant": lambda x, v: torch.func.jvp(_field, (v,), (x,))[1],
    "jvp with a jet inside": lambda x, v: torch.func.jvp(lambda y: _field(y) * x, (v,), (v,))[1],
    "dual numbers": lambda x, v: _dual_slope(x, v),
    "jacrev": lambda x, v: torch.func.jacrev(_field)(x),
    "jacrev in vmap": lambda x, v: torch.func.vmap(torch.func.jacrev(_field))(x),
    "jacrev twice": lambda x, v: torch.func.vmap(torch.func.jacrev(torch.func.jacrev(_field)))(x),
    "jacobian": lambda x, v: torch.autograd.functional.jacobian(_field, x),
}


def _field(x: Tensor) -> Tensor:
    return torch.sin(x) * x.sum(-1, keepdim=True)


def _dual_slope(x: Tensor, v: Tensor) -> Tensor:
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(x, v)
        return torch.autograd.forward_ad.unpack_dual(_field(dual)).tangent


@pytest.mark.parametrize("name", FORWARD)
def test_torchs_transforms_of_jets(name: str) -> None:
    """Against polynomials in ε through calls with plain tensors, which know nothing of jets."""
    c = torch.randn(4, 3, 2, generator=torch.Generator().manual_seed(0), dtype=F64)
    v = torch.randn(3, 2, generator=torch.Generator().manual_seed(1), dtype=F64)
    nodes = 0.1 * torch.cos((2 * torch.arange(13, dtype=F64) + 1) * torch.pi / 26)
    calls = torch.stack([FORWARD[name](sum(row * e**k for k, row in enumerate(c)), v) for e in nodes])
    fit = torch.linalg.solve(torch.linalg.vander(nodes / 0.1), calls.flatten(1))[:4]
    fit = fit / 0.1 ** torch.arange(4, dtype=F64)[:, None]
    found = FORWARD[name](Jet(c, JetSpace(1, 3)), v)
    torch.testing.assert_close(found.coefficients.flatten(1), fit, rtol=1e-6, atol=1e-7)


def test_forward_mode_that_cannot_see_a_jet_is_refused() -> None:
    with pytest.raises(NotDifferentiable, match=r"another of torch\.func's transforms"):
        torch.func.jacfwd(_field)(Jet(torch.randn(4, 3, 2, dtype=F64), JetSpace(1, 3)))


@pytest.mark.parametrize("potential", [None, 1.0, [], torch.zeros(2)])
def test_a_potential_that_is_no_function_is_named_when_it_is_given(potential: Any) -> None:
    with pytest.raises(TypeError, match=r"^potential: expected a function"):
        gradient(potential)


def test_whole_numbers_have_no_gradient() -> None:
    with pytest.raises(TypeError, match=r"^x: expected floating-point numbers, got torch\.int64"):
        gradient(quartic)(torch.ones(3, 2, dtype=torch.int64))
    with pytest.raises(TypeError, match=r"^potential: expected floating-point numbers, got torch\.int64"):
        gradient(lambda x: quartic(x).long())(torch.ones(3, 2, dtype=F64))
    with pytest.raises(TypeError, match=r"^potential: expected floating-point numbers, got torch\.complex128"):
        gradient(lambda x: quartic(x) + 0j)(torch.ones(3, 2, dtype=F64))
