"""Jacobian regularization: the estimator against exact norms."""

from __future__ import annotations

import math

import pytest
import torch
from scipy import stats
from support import refuses
from torch import nn

from sdewm.worldmodel.jacobian import FLOOR, as_drift, exact_jacobian, exact_norms, jacobian_penalty, logarithmic_norm

FALSE_FAILURE = 1e-6  # of each statistical assertion here, whatever the seed


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


def cell() -> tuple[nn.GRUCell, tuple[torch.Tensor, ...]]:
    """A recurrent cell as a function of (h, z, a), and one input of each."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        gru = nn.GRUCell(5, 4).double()
    return gru, (normal(1, 4, seed=1), normal(1, 3, seed=2), normal(1, 2, seed=3))


def apply(gru: nn.GRUCell):
    return lambda h, z, a: gru(torch.cat([z, a], -1), h)


def linear(matrix: torch.Tensor):
    return lambda x: x @ matrix.mT


# The estimator.


def projected(matrix: torch.Tensor, samples: int = 20_000) -> tuple[float, float]:
    """Deviation of the estimated from the exact ‖J‖_F², and its exact standard deviation.

    For v uniform on the sphere and M = JJᵀ, E(vᵀMv)² = (2 tr M² + (tr M)²) / (n (n + 2)).
    """
    n, gram = len(matrix), matrix @ matrix.T
    exact, second = float(gram.trace()), float((gram @ gram).trace())
    variance = n * (2 * second + exact**2) / (n + 2) - exact**2
    x = torch.zeros(samples, matrix.shape[1], dtype=torch.float64)
    found = 2 * float(jacobian_penalty(linear(matrix), (x,), (0,), generator(), "square"))
    return found - exact, math.sqrt(variance / samples)


@pytest.mark.parametrize("matrix", [normal(6, 4), normal(6, 1) @ normal(1, 4, seed=1)], ids=["full", "rank one"])
def test_square_is_unbiased(matrix):
    deviation, stderr = projected(matrix)
    assert abs(deviation) < stats.norm.isf(FALSE_FAILURE / 2) * stderr


def test_a_wrong_factor_would_be_seen(monkeypatch):
    """The factor of a standard normal v, 1, in place of the sphere's n."""
    honest = torch.Tensor.norm

    def off_the_sphere(v, **arguments):
        return honest(v, **arguments) * v.shape[-1] ** 0.5

    monkeypatch.setattr(torch.Tensor, "norm", off_the_sphere)
    deviation, stderr = projected(normal(6, 4))
    assert abs(deviation) > 100 * stderr


def test_norm_is_the_root_of_the_batch_mean():
    gru, inputs = cell()
    batch = tuple(x.expand(50, -1) + 0.1 * normal(50, x.shape[-1], seed=9) for x in inputs)
    square = jacobian_penalty(apply(gru), batch, (0, 1), generator(), "square")
    norm = jacobian_penalty(apply(gru), batch, (0, 1), generator())
    assert float(norm.detach()) == pytest.approx(math.sqrt(2 * float(square.detach())), rel=1e-10)


@pytest.mark.parametrize("form", ["norm", "square"])
def test_one_output_needs_no_luck(form):
    """With n = 1 the projection is exact: value and gradient equal those of the exact norm, by double backward."""
    net = nn.Sequential(nn.Linear(5, 7), nn.SiLU(), nn.Linear(7, 1)).double()
    x = normal(11, 5)
    penalty = jacobian_penalty(net, (x,), (0,), generator(), form)
    square = exact_jacobian(net, (x,), (0,), create_graph=True).square().sum((-2, -1)).mean()
    exact = (square + FLOOR).sqrt() if form == "norm" else 0.5 * square
    torch.testing.assert_close(penalty, exact, rtol=1e-10, atol=0)
    parameters = [net[0].weight, net[0].bias, net[2].weight]
    for ours, theirs in zip(
        torch.autograd.grad(penalty, parameters), torch.autograd.grad(exact, parameters), strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)


def test_gradient_is_unbiased():
    """Against the double backward of the exact norm, for every weight of a cell: Student t over 400 projections."""
    gru, inputs = cell()
    weights = list(gru.parameters())
    exact = 0.5 * exact_jacobian(apply(gru), inputs, (0, 1), create_graph=True).square().sum()
    expected = torch.cat([g.flatten() for g in torch.autograd.grad(exact, weights)])
    source = generator(5)

    def once() -> torch.Tensor:
        penalty = jacobian_penalty(apply(gru), inputs, (0, 1), source, "square")
        return torch.cat([g.flatten() for g in torch.autograd.grad(penalty, weights)])

    found = torch.stack([once() for _ in range(400)])
    t = (found.mean(0) - expected) / (found.std(0) / 20)
    t = t[found.std(0) > 1e-12]
    assert len(t) > 100
    assert float(t.abs().max()) < stats.t.isf(FALSE_FAILURE / len(t) / 2, 399)


def test_penalty_trains_the_function_alone():
    gru, (h, z, a) = cell()
    h.requires_grad_(True)
    jacobian_penalty(apply(gru), (h, z, a), (0,), generator()).backward()
    assert h.grad is None
    assert float(gru.weight_hh.grad.abs().max()) > 0


def test_gradient_is_finite_where_the_jacobian_vanishes():
    weight = torch.zeros(3, 2, dtype=torch.float64, requires_grad=True)
    jacobian_penalty(linear(weight), (normal(4, 2),), (0,), generator()).backward()
    assert bool(torch.isfinite(weight.grad).all())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"form": "cube"}, "form: expected 'norm' or 'square', got 'cube'"),
        ({"wrt": ()}, r"wrt: expected places among 1 inputs, got \(\)"),
        ({"wrt": (1,)}, "wrt: expected places among 1 inputs"),
        ({"function": lambda x: x.sum(-1)}, r"function: expected a value of shape \(B, n\), B = 4, got \(4,\)"),
    ],
)
def test_bad_input_is_one_clear_error(arguments, message):
    given = {"function": lambda x: x, "inputs": (normal(4, 2),), "wrt": (0,), "generator": generator()} | arguments
    with pytest.raises(ValueError, match=message):
        jacobian_penalty(**given)


# Exact norms.


def test_exact_norms_of_a_linear_function():
    matrix = torch.tensor([[0.0, 3.0], [0.0, 0.0]], dtype=torch.float64)
    norms = exact_norms(linear(matrix), (normal(5, 2),), (0,))
    expected = [3.0, 3.0, 1.5]  # μ₂ is that of the symmetric part; both eigenvalues are 0
    for norm, value in zip(norms, expected, strict=True):
        torch.testing.assert_close(norm, torch.full((5,), value, dtype=torch.float64), rtol=1e-12, atol=1e-12)
    assert bool(exact_norms(linear(normal(3, 2)), (normal(5, 2),), (0,)).logarithmic.isnan().all())


def test_logarithmic_norm_is_the_slope_of_the_norm_at_the_identity():
    matrix = normal(7, 4, 4)
    dt = 1e-6
    slope = (torch.linalg.matrix_norm(torch.eye(4, dtype=torch.float64) + dt * matrix, 2) - 1) / dt
    torch.testing.assert_close(logarithmic_norm(matrix), slope, rtol=0, atol=1e-4)


def test_drift_is_the_map_less_the_identity():
    gru, inputs = cell()
    in_map, in_drift = (exact_jacobian(f, inputs, (0,)) for f in (apply(gru), as_drift(apply(gru))))
    torch.testing.assert_close(in_drift, in_map - torch.eye(4, dtype=torch.float64), rtol=0, atol=1e-14)


def test_inputs_together_are_columns_side_by_side():
    gru, inputs = cell()
    together = exact_jacobian(apply(gru), inputs, (0, 1))
    torch.testing.assert_close(together, torch.cat([exact_jacobian(apply(gru), inputs, (i,)) for i in (0, 1)], -1))


@pytest.mark.parametrize("rows", [2, 8])
def test_a_function_whose_rows_are_not_by_themselves_has_no_jacobian(rows):
    """Batch normalization in training gives norms of about 0; dropout, some random number."""
    torch.manual_seed(0)
    x = torch.randn(rows, 3)
    normed, dropped = nn.BatchNorm1d(3), nn.Dropout(0.5)
    for function, message in (
        (normed, "each row by itself"),
        (lambda h: h - h.mean(0), "each row by itself"),
        (lambda h: h.cumsum(0).flip(0), "each row by itself"),
        (dropped, "the same values when it is called again"),
        (lambda h: h + torch.rand_like(h), "the same values when it is called again"),
    ):
        with refuses(ValueError, "function: expected", message):
            exact_norms(function, (x,), (0,))
    for module in (normed.eval(), dropped.eval()):
        assert exact_norms(module, (x,), (0,)).frobenius.shape == (rows,)


def test_bad_inputs_of_jacobians_are_named():
    x = torch.randn(4, 3)
    for wrt in ((-1,), (2,), (0, 0), (), (0.5,), 0, "0"):
        with refuses(ValueError, "wrt"):
            exact_norms(lambda h, z: h + z, (x, x), wrt)
    for inputs in ((), x, (x, x[:2]), (x.long(),), ("x",), (torch.tensor(1.0),)):
        with refuses(ValueError, "inputs"):
            exact_norms(lambda *h: h[0], inputs, (0,))
    with refuses(ValueError, "function", "a constant"):
        exact_norms(lambda h: torch.ones_like(h), (x,), (0,))
    with refuses(TypeError, "function", "3"):
        exact_norms(3, (x,), (0,))
    with refuses(TypeError, "function", "None"):
        exact_norms(lambda h: None, (x,), (0,))
    with refuses(TypeError, "generator"):
        jacobian_penalty(lambda h: h, (x,), (0,), 3)
    with refuses(ValueError, "function", "depends on the inputs (1,), got a constant"):
        exact_norms(lambda h, z: h, (x, x), (1,))
    assert float(exact_jacobian(lambda h, z: h, (x, x), (0, 1))[..., 3:].abs().max()) == 0.0
    for matrix in (x, torch.ones(2), torch.eye(2) * torch.nan, torch.zeros(3, 0, 0)):
        with refuses(ValueError, "matrix"):
            logarithmic_norm(matrix)
