"""Certified constants: never below what sampling finds, exact where the answer is known, and caught when wrong."""

from __future__ import annotations

import itertools
import math
import warnings

import pytest
import torch
from support import F64, refuses
from torch import nn
from torch.func import jacrev, vmap
from torch.nn.utils import parametrizations

from sdewm.divergence import lipschitz
from sdewm.divergence.gru_cell import gru_lipschitz
from sdewm.divergence.interval import interval
from sdewm.divergence.lipschitz import (
    ACTIVATIONS,
    Activation,
    SlopeNetwork,
    curvature,
    spectral_norm,
    spectral_product,
)

FUNCTIONS = {
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "silu": nn.functional.silu,
    "softplus": nn.functional.softplus,
}
X = torch.ones(2, dtype=F64)
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
    apart = math.hypot(
        1.0,
        SlopeNetwork(2).lipschitz(torch.eye(2, dtype=F64))
        * spectral_product([policy[0].weight, policy[2].weight], ["tanh"]),
    )
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
    """With the slopes of SiLU taken to be those of ReLU it would be below a Jacobian that exists, and is not given."""
    layers = network("silu", (1, 1, 1))
    layers[0].weight.fill_(1.0)
    layers[2].weight.fill_(1.0)
    top = largest_jacobian(layers, torch.tensor([[2.3994 - float(layers[0].bias)]], dtype=F64))

    def certified() -> float:
        net = SlopeNetwork(1)
        return net.lipschitz(net.sequential(layers, net.inputs))

    assert top <= certified()
    monkeypatch.setitem(lipschitz.ACTIVATIONS, "silu", Activation(0.0, 1.0, 0.5))
    with refuses(ArithmeticError, "certificate: expected nothing above 1, got 1.0"):
        certified()
    monkeypatch.setattr(lipschitz, "ROUNDING", 1.0)
    assert certified() < top


def test_curvature_bounds_second_derivatives():
    layers = network("tanh", (3, 8, 2))
    bound = curvature(layers[2].weight, "tanh", layers[0].weight)
    g = torch.Generator().manual_seed(0)
    x, u, v = (torch.randn(2000, 3, generator=g, dtype=F64) for _ in range(3))
    pre = layers[0](x)
    bend = -2 * torch.tanh(pre) * (1 - torch.tanh(pre) ** 2)
    second = (bend * (u @ layers[0].weight.T) * (v @ layers[0].weight.T)) @ layers[2].weight.T
    assert float((second.norm(dim=-1) / u.norm(dim=-1) / v.norm(dim=-1)).max()) <= bound


# Where |φ''| is largest.
BENDS_MOST = {"tanh": math.atanh(1 / math.sqrt(3)), "sigmoid": math.log(2 + math.sqrt(3)), "silu": 0.0, "softplus": 0.0}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_curvature_is_attained(name):
    """x ↦ φ(3 x_1), φ(x_2), …: the second derivative along x_1, where φ bends most, is the bound itself.

    A mean over neurons in place of the largest would be half of it.
    """
    inner, outer = torch.diag(torch.tensor([3.0, 1.0, 1.0], dtype=F64)), 2 * torch.eye(3, dtype=F64)
    s = torch.tensor(BENDS_MOST[name], dtype=F64, requires_grad=True)
    [slope] = torch.autograd.grad(FUNCTIONS[name](s), s, create_graph=True)
    [bend] = torch.autograd.grad(slope, s)
    assert curvature(outer, name, inner) == pytest.approx(2 * 3 * 3 * abs(float(bend)), rel=1e-9)


# The input at which a slope is largest, and the slope there.
STEEPEST = {"tanh": (0.0, 1.0), "sigmoid": (0.0, 0.25), "silu": (2.39936, 1.09984), "softplus": (30.0, 1.0)}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_lipschitz_constants_are_attained(name):
    """Two layers of neurons side by side, all at their steepest: the bounds are the Jacobian's own norm, to 1 %."""
    s, slope = STEEPEST[name]
    first, second = nn.Linear(2, 2).double(), nn.Linear(2, 2).double()
    for layer, weight in ((first, [[2.0, 0.0], [0.0, 1.0]]), (second, [[0.0, 1.5], [0.5, 0.0]])):
        layer.weight.data = torch.tensor(weight, dtype=F64)
    first.bias.data = torch.full((2,), s, dtype=F64)
    hidden = FUNCTIONS[name](torch.tensor([s, s], dtype=F64))
    second.bias.data = s - second.weight.data @ hidden
    layers = nn.Sequential(first, MODULES[name](), second, MODULES[name]()).requires_grad_(False)
    attained = largest_jacobian(layers, torch.zeros(1, 2, dtype=F64))
    assert attained == pytest.approx(1.5 * slope**2, rel=1e-5)
    net = SlopeNetwork(2)
    out = net.sequential(layers, net.inputs)
    assert attained <= net.lipschitz(out) * (1 + 1e-6) and net.lipschitz(out) < 1.01 * attained
    loose = spectral_product([first.weight, second.weight], [name] * 2)
    assert loose == pytest.approx(3 * slope**2, rel=1e-5)


def test_a_mean_square_rate_is_attained_with_diffusion_step_and_metric():
    """f = A x and g = B x: 2⟨x, Ax⟩ + |Bx|² + Δt |Ax|² ≤ 2ν |x|² in a weighted norm is one eigenvalue."""
    generator = torch.Generator().manual_seed(2)
    a, b = torch.randn(2, 3, 3, generator=generator, dtype=F64)
    metric, dt = torch.tensor([1.0, 3.0, 0.5], dtype=F64), 0.2
    m = torch.diag(metric)
    form = m @ a + a.T @ m + b.T @ m @ b + dt * a.T @ m @ a
    inverse = torch.diag(metric**-0.5)
    exact = float(torch.linalg.eigvalsh(inverse @ form @ inverse)[-1]) / 2
    net = SlopeNetwork(3)
    rate = net.mean_square_rate(a @ net.inputs, b @ net.inputs, dt=dt, metric=metric)
    assert rate == pytest.approx(exact, rel=1e-10)
    step = net.step_lipschitz(a @ net.inputs, dt)
    assert step == pytest.approx(spectral_norm(torch.eye(3, dtype=F64) + dt * a), rel=1e-10)


class Tenfold(nn.Linear):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 10 * super().forward(x)


class TenfoldSequence(nn.Sequential):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 10 * super().forward(x)


def hooked(module: nn.Module, *, before: bool = False) -> nn.Module:
    if before:
        module.register_forward_pre_hook(lambda _, inputs: tuple(10 * x for x in inputs))
    else:
        module.register_forward_hook(lambda _, inputs, value: 10 * value)
    return module


def stale() -> nn.Module:
    """The weight that is read is that of the last call, not the one of the next."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        layer = nn.utils.weight_norm(nn.Linear(2, 2))
    layer.weight_g.data *= 10
    return layer


def own_forward() -> nn.Module:
    layer = nn.Linear(2, 2)
    layer.forward = lambda x: 10 * x @ layer.weight.T
    return layer


CHANGED = {
    "a subclass": (lambda: Tenfold(2, 2), "modules[1]: expected one of Linear", "Tenfold, a subclass of Linear"),
    "a hook": (lambda: hooked(nn.Linear(2, 2)), "modules[1]: expected Linear without hooks", "<lambda>"),
    "a hook before": (lambda: hooked(nn.Linear(2, 2), before=True), "modules[1]", "without hooks"),
    "a hook on an activation": (lambda: hooked(nn.Tanh()), "modules[1]: expected Tanh without hooks", ""),
    "the old weight_norm": (stale, "modules[1]", "WeightNorm", "parametrizations"),
    "its own forward": (own_forward, "modules[1]", "a forward of its own"),
    "an activation's subclass": (lambda: type("Steep", (nn.Tanh,), {})(), "modules[1]", "Steep, a subclass of Tanh"),
}


@pytest.mark.parametrize("name", CHANGED)
def test_a_layer_that_computes_something_else_is_not_certified(name):
    make, *message = CHANGED[name]
    net, modules = SlopeNetwork(2), [nn.Linear(2, 2), make()]
    for certify in (lambda: net.sequential(modules, net.inputs), lambda: interval(modules, -X, X)):
        with refuses(TypeError, *message):
            certify()


def test_a_sequence_that_computes_something_else_is_not_certified():
    net = SlopeNetwork(2)
    for sequence in (TenfoldSequence(nn.Linear(2, 2)), hooked(nn.Sequential(nn.Linear(2, 2)))):
        with refuses(TypeError, "modules: expected"):
            net.sequential(sequence, net.inputs)
        with refuses(TypeError, "modules: expected"):
            interval(sequence, -X, X)


def test_hooks_on_all_modules_are_seen():
    net = SlopeNetwork(2)
    handle = nn.modules.module.register_module_forward_hook(lambda module, inputs, value: 10 * value)
    try:
        with refuses(TypeError, "modules[0]", "a forward hook on all modules"):
            net.sequential([nn.Linear(2, 2)], net.inputs)
        with refuses(TypeError, "cell", "a forward hook on all modules"):
            gru_lipschitz(nn.GRUCell(1, 1))
    finally:
        handle.remove()


def test_values_are_held_against_the_function_itself(monkeypatch):
    """A class that was changed in place has the exact type, and another function."""
    linear, cell = nn.Linear.forward, nn.GRUCell.forward
    monkeypatch.setattr(nn.Linear, "forward", lambda self, x: linear(self, x) * (1 + 1e-9))
    monkeypatch.setattr(nn.GRUCell, "forward", lambda self, x, h: cell(self, x, h) * (1 + 1e-9))
    with refuses(ValueError, "modules[0]: expected Linear to give what its parameters say"):
        SlopeNetwork(2).sequential([nn.Linear(2, 2)], X.diag())
    with refuses(ValueError, "cell: expected GRUCell to give what its parameters say"):
        gru_lipschitz(nn.GRUCell(1, 1))


def test_parametrized_layers_are_certified():
    torch.manual_seed(0)
    normed = parametrizations.weight_norm(nn.Linear(2, 2))
    normed.parametrizations.weight.original0.data *= 10
    assert type(normed) is not nn.Linear
    net = SlopeNetwork(2)
    certified = net.lipschitz(net.sequential([normed], net.inputs))
    assert certified == pytest.approx(spectral_norm(normed.weight), rel=1e-6)
    assert certified >= largest_jacobian(normed, torch.randn(4, 2)) * (1 - 1e-6)
    changing = parametrizations.spectral_norm(nn.Linear(8, 8))
    vectors = changing.parametrizations.weight[0]._u.clone()
    wide = SlopeNetwork(8)
    with refuses(ValueError, "modules[0]", "evaluation mode"):
        wide.sequential([changing], wide.inputs)
    assert torch.equal(vectors, changing.parametrizations.weight[0]._u)
    wide.sequential([changing.eval()], wide.inputs)


def test_layers_without_bias_and_in_place():
    layer = nn.Linear(2, 3, bias=False).double()
    low, high = interval([layer, nn.SiLU(inplace=True)], -X, X)
    assert all(torch.equal(a, b) for a, b in zip((low, high), interval([layer, nn.SiLU()], -X, X), strict=True))
    low, high = interval([layer], -X, X)
    torch.testing.assert_close(high, layer.weight.detach().abs().sum(1))
    assert torch.equal(low, -high)


def test_softplus_that_jumps_is_refused():
    net = SlopeNetwork(1)
    net.sequential([nn.Softplus(beta=5.0)], net.inputs)
    with refuses(ValueError, "modules[0].threshold", "at least 20", "1"):
        net.sequential([nn.Softplus(threshold=1.0)], net.inputs)
    with refuses(ValueError, "modules[0].beta", "0"):
        net.sequential([nn.Softplus(beta=0.0)], net.inputs)


def test_a_rate_below_what_is_met_is_not_given(monkeypatch):
    """With slopes of tanh that end at ½ every bound is too small."""
    monkeypatch.setitem(lipschitz.ACTIVATIONS, "tanh", Activation(0.0, 0.5, 1.0))
    net = SlopeNetwork(2)
    hidden = net.layer(net.inputs, "tanh")
    for bound in (
        lambda: net.lipschitz(hidden),
        lambda: net.mean_square_rate(hidden),
        lambda: net.mean_square_rate(0 * hidden, hidden),
        lambda: net.mean_square_rate(-4 * hidden, dt=1.0),
        lambda: net.step_lipschitz(hidden, 0.1),
    ):
        with refuses(ArithmeticError, "certificate"):
            bound()


def test_bad_input_is_named():
    net = SlopeNetwork(2)
    with refuses(ValueError, "size", "0"):
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
    with refuses(ValueError, "box", "nan"):
        gru_lipschitz(nn.GRUCell(1, 1), box=math.nan)


def test_bad_forms_and_numbers_are_named():
    net = SlopeNetwork(2)
    form = net.layer(net.inputs, "tanh")
    for wrt in (0, [0], slice(5, 9), slice(0, 5), slice(1, 1), slice("a"), slice(0, 2, 0)):
        with refuses(ValueError, "wrt: expected a slice of the 2 inputs"):
            net.lipschitz(form, wrt=wrt)
    with refuses(ValueError, "dt", "at least 0", "-0.1"):
        net.step_lipschitz(form, -0.1)
    with refuses(ValueError, "dt", "nan"):
        net.mean_square_rate(form, dt=math.nan)
    with refuses(ValueError, "diffusion: expected 2 rows", "1"):
        net.mean_square_rate(form, diffusion=form[:1])
    for metric in ([1.0, math.nan], [1.0], "m"):
        with refuses(ValueError, "metric"):
            net.mean_square_rate(form, metric=metric)
    assert net.mean_square_rate(form, metric=[1.0, 1.0]) == net.mean_square_rate(form)
    assert net.lipschitz(form, slice(-1, None)) == pytest.approx(1.0, rel=1e-3)
    for search in (-1, 2.5):
        with refuses(ValueError, "search"):
            net.lipschitz(form, search=search)
    for bad in (form * math.nan, form[0], form[:0], "form"):
        with refuses(ValueError, "form"):
            net.lipschitz(bad)
    with refuses(ValueError, "forms"):
        net.stack()


def test_bad_layers_are_named():
    net, broken = SlopeNetwork(2), nn.Linear(2, 2)
    broken.weight.data[0, 0] = math.nan
    with refuses(ValueError, "modules[0].weight", "non-finite"):
        net.sequential([broken], net.inputs)
    with refuses(ValueError, "modules[0]: expected 2 inputs, got 3"):
        net.sequential([nn.Linear(3, 2)], net.inputs)
    with refuses(ValueError, "modules[0]: expected 2 inputs, got 3"):
        interval([nn.Linear(3, 2)], -X, X)
    for modules in (nn.Linear(2, 2), 3, "modules", [3]):
        with refuses(TypeError, "modules"):
            net.sequential(modules, net.inputs)
    for low, high in ((X, -X), (X, X[:1]), (X[:0], X[:0]), (X * math.nan, X)):
        with refuses(ValueError, "low"):
            interval([nn.Tanh()], low, high)


def test_bad_matrices_and_activations_are_named():
    eye = torch.eye(2)
    for activation in ("relu", 3, None):
        with refuses(ValueError, "activation: expected one of", "tanh"):
            curvature(eye, activation, eye)
    with refuses(ValueError, "outer: expected 2 columns", "3"):
        curvature(torch.ones(2, 3), "tanh", eye)
    with refuses(ValueError, "inner", "non-finite"):
        curvature(eye, "tanh", eye * math.nan)
    with refuses(ValueError, "matrix", "(2,)"):
        spectral_norm(torch.ones(2))
    with refuses(ValueError, "activations[0]", "relu"):
        spectral_product([eye], ["relu"])
    with refuses(ValueError, "activations", "0"):
        spectral_product([eye, eye], [])
    with refuses(ValueError, "activations", "'tanh'"):
        spectral_product([eye, eye], "tanh")
    with refuses(ValueError, "weights[1]: expected 2 columns", "3"):
        spectral_product([eye, torch.ones(2, 3)], ["tanh"])
    with refuses(ValueError, "weights"):
        spectral_product([], [])
