"""Certified constants: never below what sampling finds, exact where the answer is known, and caught when wrong."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import nn
from torch.func import jacrev, vmap

from sdewm import lipschitz
from sdewm.lipschitz import (
    ACTIVATIONS,
    Activation,
    SlopeNetwork,
    curvature,
    gru_lipschitz,
    interval,
    spectral_norm,
    spectral_product,
)
from tests.support import F64, refuses

FUNCTIONS = {
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "silu": nn.functional.silu,
    "softplus": nn.functional.softplus,
}
MODULES = {"tanh": nn.Tanh, "sigmoid": nn.Sigmoid, "silu": nn.SiLU, "softplus": nn.Softplus}


def network(activation: str, sizes: tuple[int, ...], seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    modules: list[nn.Module] = []
    for a, b in itertools.pairwise(sizes):
        modules += [nn.Linear(a, b).double(), MODULES[activation]()]
    return nn.Sequential(*modules[:-1]).requires_grad_(False)


def largest_jacobian(function, x: torch.Tensor) -> float:
    jacobians = vmap(jacrev(lambda v: function(v[None])[0]))(x)
    return float(torch.linalg.matrix_norm(jacobians, 2).max())


@pytest.mark.parametrize("name", FUNCTIONS)
def test_activation_constants(name):
    """On a grid so fine that nothing of the derivative's range is missed by more than 1e-5."""
    x = torch.linspace(-12, 12, 400_001, dtype=F64, requires_grad=True)
    [slope] = torch.autograd.grad(FUNCTIONS[name](x).sum(), x, create_graph=True)
    [bend] = torch.autograd.grad(slope.sum(), x)
    slope = slope.detach()
    a = ACTIVATIONS[name]
    assert a.low - 1e-4 <= float(slope.min()) and float(slope.max()) <= a.high + 1e-4
    # Proven bounds, and no wider than they have to be.
    assert a.low <= float(slope.min()) + 1e-12 and float(slope.max()) <= a.high + 1e-12
    assert float(bend.abs().max()) == pytest.approx(a.curvature, abs=1e-5)
    assert float(bend.abs().max()) <= a.curvature + 1e-12


@pytest.mark.parametrize("activation", FUNCTIONS)
@pytest.mark.parametrize("sizes", [(4, 8, 3), (3, 8, 8, 2)])
def test_bounds_hold_and_improve_on_the_product(activation, sizes):
    layers = network(activation, sizes)
    net = SlopeNetwork(sizes[0])
    out = net.sequential(layers, net.inputs)
    fast, searched = net.lipschitz(out, search=0), net.lipschitz(out)
    product = spectral_product([m.weight for m in layers if isinstance(m, nn.Linear)], [activation] * (len(sizes) - 2))
    g = torch.Generator().manual_seed(1)
    found = largest_jacobian(layers, 3 * torch.randn(4000, sizes[0], generator=g, dtype=F64))
    assert found <= searched <= fast * (1 + 1e-12)
    assert searched < product


def test_a_linear_map_and_one_neuron_are_exact():
    g = torch.Generator().manual_seed(0)
    matrix = torch.randn(3, 4, generator=g, dtype=F64)
    net = SlopeNetwork(4)
    assert net.lipschitz(matrix @ net.inputs) == pytest.approx(spectral_norm(matrix), rel=1e-12)
    square = torch.randn(4, 4, generator=g, dtype=F64)
    symmetric = torch.linalg.eigvalsh((square + square.T) / 2)[-1]
    assert net.mean_square_rate(square @ net.inputs) == pytest.approx(float(symmetric), rel=1e-10)
    one = SlopeNetwork(1)
    neuron = one.layer(2.0 * one.inputs, "tanh")
    assert one.lipschitz(3.0 * neuron) == pytest.approx(6.0, rel=1e-3)
    assert one.mean_square_rate(-3.0 * neuron) == pytest.approx(0.0, abs=1e-3)


def test_composition_is_certified_as_one_function():
    """x − x is zero, whatever the neurons between: a product of constants would say 2."""
    net = SlopeNetwork(2)
    hidden = net.layer(net.inputs, "tanh")
    assert net.lipschitz(hidden - net.pad(hidden)) == 0.0
    policy = network("tanh", (2, 6, 1))
    action = net.sequential(policy, net.inputs)
    out = net.layer(net.stack(net.inputs, action), "tanh")

    def composed(x: torch.Tensor) -> torch.Tensor:
        return torch.tanh(torch.cat([x, policy(x)], -1))

    x = torch.randn(4000, 2, generator=torch.Generator().manual_seed(0), dtype=F64)
    apart = math.hypot(1.0, SlopeNetwork(2).lipschitz(torch.eye(2, dtype=F64)) * spectral_product(
        [policy[0].weight, policy[2].weight], ["tanh"]))  # fmt: skip
    assert largest_jacobian(composed, x) <= net.lipschitz(out) <= apart


@pytest.mark.parametrize("dt", [0.0, 0.1])
def test_mean_square_rate_bounds_what_is_sampled(dt):
    f, g = network("silu", (3, 8, 3), 1), network("tanh", (3, 8, 3), 2)
    net = SlopeNetwork(3)
    drift, diffusion = net.sequential(f, net.inputs), net.sequential(g, net.inputs)
    metric = torch.tensor([1.0, 2.0, 0.5], dtype=F64)
    rate = net.mean_square_rate(drift, diffusion, dt=dt, metric=metric)
    generator = torch.Generator().manual_seed(3)
    x = 2 * torch.randn(20_000, 3, generator=generator, dtype=F64)
    y = x + 0.3 * torch.randn(x.shape, generator=generator, dtype=F64)
    d, df, dg = y - x, f(y) - f(x), g(y) - g(x)

    def norm(a: torch.Tensor) -> torch.Tensor:
        return (metric * a * a).sum(-1)

    quotient = (2 * (metric * d * df).sum(-1) + norm(dg) + dt * norm(df)) / norm(d) / 2
    assert float(quotient.max()) <= rate <= float(quotient.max()) + 1.0


def test_a_bound_needs_the_right_slopes(monkeypatch):
    """With the slopes of SiLU taken to be those of ReLU the bound falls below a Jacobian that exists."""
    layers = network("silu", (1, 1, 1))
    layers[0].weight.fill_(1.0)
    layers[2].weight.fill_(1.0)
    top = largest_jacobian(layers, torch.tensor([[2.3994 - float(layers[0].bias)]], dtype=F64))

    def certified() -> float:
        net = SlopeNetwork(1)
        return net.lipschitz(net.sequential(layers, net.inputs))

    assert top <= certified()
    monkeypatch.setitem(lipschitz.ACTIVATIONS, "silu", Activation(0.0, 1.0, 0.5))
    assert certified() < top


@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_gru_constants_bound_sampled_jacobians(scale):
    torch.manual_seed(0)
    cell = nn.GRUCell(5, 6).double().requires_grad_(False)
    for p in cell.parameters():
        p.mul_(scale)
    c = gru_lipschitz(cell, search=60)
    g = torch.Generator().manual_seed(1)
    h = 2 * torch.rand(4000, 6, generator=g, dtype=F64) - 1
    h[:2000] = h[:2000].sign()
    x = 4 * torch.randn(4000, 5, generator=g, dtype=F64)
    state = vmap(jacrev(lambda h, x: cell(x[None], h[None])[0], argnums=0))(h, x)
    inputs = vmap(jacrev(lambda h, x: cell(x[None], h[None])[0], argnums=1))(h, x)
    assert float(torch.linalg.matrix_norm(state, 2).max()) <= c.state
    assert float(torch.linalg.matrix_norm(inputs, 2).max()) <= c.input


def test_gru_constant_of_a_cell_that_only_remembers_is_one():
    cell = nn.GRUCell(2, 3).double().requires_grad_(False)
    for p in cell.parameters():
        p.zero_()
    assert gru_lipschitz(cell, search=20).state == pytest.approx(1.0, rel=0.05)


def test_interval_contains_every_value():
    for activation in FUNCTIONS:
        layers = network(activation, (3, 6, 2))
        low, high = interval(layers, -torch.ones(3), torch.ones(3))
        y = layers(2 * torch.rand(5000, 3, generator=torch.Generator().manual_seed(0), dtype=F64) - 1)
        assert bool((y >= low).all()) and bool((y <= high).all())


def test_curvature_bounds_second_derivatives():
    layers = network("tanh", (3, 8, 2))
    bound = curvature(layers[2].weight, "tanh", layers[0].weight)
    g = torch.Generator().manual_seed(0)
    x, u, v = (torch.randn(2000, 3, generator=g, dtype=F64) for _ in range(3))
    pre = layers[0](x)
    bend = -2 * torch.tanh(pre) * (1 - torch.tanh(pre) ** 2)
    second = (bend * (u @ layers[0].weight.T) * (v @ layers[0].weight.T)) @ layers[2].weight.T
    assert float((second.norm(dim=-1) / u.norm(dim=-1) / v.norm(dim=-1)).max()) <= bound


def test_bad_input_is_named():
    net = SlopeNetwork(2)
    with refuses(ValueError, "inputs", "0"):
        SlopeNetwork(0)
    with refuses(ValueError, "activation", "relu"):
        net.layer(net.inputs, "relu")
    with refuses(TypeError, "modules", "ReLU"):
        net.sequential([nn.ReLU()], net.inputs)
    with refuses(TypeError, "modules", "ReLU"):
        interval([nn.ReLU()], -torch.ones(1), torch.ones(1))
    with refuses(ValueError, "drift", "2 rows"):
        net.mean_square_rate(net.inputs[:1])
    with refuses(ValueError, "metric", "2 positive"):
        net.mean_square_rate(net.inputs, metric=torch.tensor([1.0, 0.0]))
    with refuses(ValueError, "box", "0.5"):
        gru_lipschitz(nn.GRUCell(1, 1), box=0.5)
