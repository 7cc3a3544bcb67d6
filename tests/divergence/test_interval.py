"""Bounds on a box: they contain every value, and of one layer are the range itself."""

from __future__ import annotations

import pytest
import torch
from support import F64
from torch import nn

from sdewm.divergence.interval import interval

FUNCTIONS = {
    nn.Tanh: torch.tanh,
    nn.Sigmoid: torch.sigmoid,
    nn.SiLU: nn.functional.silu,
    nn.Softplus: nn.functional.softplus,
}


def test_interval_contains_every_value():
    torch.manual_seed(0)
    for activation in FUNCTIONS:
        layers = nn.Sequential(nn.Linear(3, 6), activation(), nn.Linear(6, 2)).double().requires_grad_(False)
        low, high = interval(layers, -torch.ones(3), torch.ones(3))
        y = layers(2 * torch.rand(5000, 3, generator=torch.Generator().manual_seed(0), dtype=F64) - 1)
        assert bool((y >= low).all()) and bool((y <= high).all())


def test_intervals_of_one_layer_are_the_range_itself():
    """Each neuron sees all corners of the box; SiLU's minimum is inside."""
    layer = nn.Linear(2, 3).double().requires_grad_(False)
    layer.weight.copy_(torch.tensor([[1.0, -2.0], [0.5, 0.5], [-3.0, 0.1]], dtype=F64))
    layer.bias.copy_(torch.tensor([0.1, -0.2, 0.3], dtype=F64))
    low, high = torch.tensor([-1.0, -0.5], dtype=F64), torch.tensor([0.5, 1.0], dtype=F64)
    axes = [torch.linspace(float(a), float(b), 1001, dtype=F64) for a, b in zip(low, high, strict=True)]
    box = torch.cartesian_prod(*axes)
    for module, function in FUNCTIONS.items():
        y = function(layer(box))
        found = interval([layer, module()], low, high)
        torch.testing.assert_close(found[0], y.amin(0), rtol=0, atol=2e-5)
        torch.testing.assert_close(found[1], y.amax(0), rtol=0, atol=2e-5)
        assert bool((found[0] <= y.amin(0) + 1e-12).all()) and bool((found[1] >= y.amax(0) - 1e-12).all())


@pytest.mark.parametrize(("low", "high"), [(-2.0, 0.0), (-1.3, 3.0), (-30.0, -1.2)])
def test_the_minimum_of_silu_is_inside_its_interval(low, high):
    layer = nn.Linear(1, 1).double().requires_grad_(False)
    layer.weight.fill_(1.0)
    layer.bias.fill_(0.0)
    ends = [torch.tensor([end], dtype=F64) for end in (low, high)]
    assert float(interval([layer, nn.SiLU()], *ends)[0]) == pytest.approx(-0.27846, abs=2e-5)
