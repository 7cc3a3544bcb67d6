"""Certified constants of a gated recurrent cell: they hold, and are nearly attained."""

from __future__ import annotations

import itertools

import pytest
import torch
from support import F64, refuses
from torch import nn
from torch.func import jacrev, vmap

from sdewm.divergence import gru_cell
from sdewm.divergence.gru_cell import gru_lipschitz
from sdewm.divergence.lipschitz import spectral_norm


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


def test_gru_constants_are_nearly_attained():
    """A cell that forgets at once, h' = tanh(W x + 3 h): |W| is attained, and 3 to a tenth.

    With u near 0 nothing is remembered; the bound, which holds for all u, reckons with a cell that remembers.
    """
    cell = nn.GRUCell(2, 1).double().requires_grad_(False)
    for p in cell.parameters():
        p.zero_()
    cell.weight_ih[2] = torch.tensor([1.2, -0.5], dtype=F64)
    cell.weight_hh[2] = 3.0
    cell.bias_ih[0], cell.bias_ih[1] = 40.0, -40.0  # r = 1, u = 0
    zero = torch.zeros(1, dtype=F64)
    state = jacrev(lambda h: cell(torch.zeros(1, 2, dtype=F64), h[None])[0])(zero)
    inputs = jacrev(lambda x: cell(x[None], zero[None])[0])(torch.zeros(2, dtype=F64))
    c = gru_lipschitz(cell)
    assert spectral_norm(state) == pytest.approx(3.0) and 3.0 <= c.state < 3.3
    assert spectral_norm(inputs) == pytest.approx(1.3) and c.input == pytest.approx(1.3, rel=1e-6)


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_gru_constants_of_one_neuron_are_within_a_factor_of_four(seed):
    """All of h and x are looked at, so that the largest slopes are known; the bounds exceed them by 1.1 to 3.1."""
    torch.manual_seed(seed)
    cell = nn.GRUCell(1, 1).double().requires_grad_(False)
    for p in cell.parameters():
        p.mul_(3)
    axes = torch.linspace(-1, 1, 101, dtype=F64), torch.linspace(-30, 30, 2001, dtype=F64)
    h, x = (part.reshape(-1, 1).requires_grad_(True) for part in torch.meshgrid(*axes, indexing="ij"))
    slopes = torch.autograd.grad(cell(x, h).sum(), (h, x))
    c = gru_lipschitz(cell)
    for certified, slope in zip((c.state, c.input), slopes, strict=True):
        largest = float(slope.abs().max())
        assert largest <= certified <= 4 * largest


def test_the_update_gates_part_of_a_gru_constant_is_attained():
    """h − n = 2 and u = ½, so that ∂h'/∂x = 2 · ¼ · 3."""
    cell = nn.GRUCell(1, 1).double().requires_grad_(False)
    for p in cell.parameters():
        p.zero_()
    cell.weight_ih[1], cell.bias_ih[2] = 3.0, -40.0
    one = torch.ones(1, dtype=F64)
    slope = jacrev(lambda x: cell(x[None], one[None])[0])(0 * one)
    assert float(slope) == pytest.approx(1.5) and gru_lipschitz(cell).input == pytest.approx(1.5, rel=1e-6)


class TenfoldCell(nn.GRUCell):
    def forward(self, x: torch.Tensor, h: torch.Tensor | None = None) -> torch.Tensor:
        return 10 * super().forward(x, h)


def hooked(cell: nn.GRUCell) -> nn.GRUCell:
    cell.register_forward_hook(lambda _, inputs, value: 10 * value)
    return cell


@pytest.mark.parametrize("made", [TenfoldCell(2, 3), hooked(nn.GRUCell(2, 3)), nn.Linear(2, 2), "cell"])
def test_a_cell_that_computes_something_else_is_not_certified(made):
    with refuses(TypeError, "cell: expected"):
        gru_lipschitz(made)


def test_a_cells_constants_below_what_is_met_are_not_given(monkeypatch):
    whole = gru_cell._row_weighted
    for which in (0, 1):
        calls = itertools.count()
        monkeypatch.setattr(
            gru_cell, "_row_weighted", lambda *a, w=which, c=calls: whole(*a) * (0.1 if next(c) == w else 1.0)
        )
        with refuses(ArithmeticError, "certificate"):
            gru_lipschitz(nn.GRUCell(2, 3), search=5)
