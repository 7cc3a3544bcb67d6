"""Derivatives along a direction, of tensors and of jets."""

from __future__ import annotations

import pytest
import torch
from noise_structures import SYSTEMS, start
from support import F64
from torch import Tensor

from sdewm.jets import JetSpace, Parameter
from sdewm.jets.directional import directional


@pytest.mark.parametrize("name", ["general", "latent"])
def test_directional_derivatives(name):
    """Of tensors against autograd; of a jet, the jet of the derivative, against a difference in its parameter."""
    sde, x0 = SYSTEMS[name], start(name)
    t = torch.tensor(0.3, dtype=F64)
    x, v, y, w = 0.3 * torch.randn(4, 6, len(x0), generator=torch.Generator().manual_seed(2), dtype=F64)
    expected = torch.func.jvp(lambda u: sde.f(t, u), (x,), (v,))[1]
    torch.testing.assert_close(directional(lambda u: sde.f(t, u), x, v), expected)
    p = Parameter(JetSpace(1, 2), 0)
    jet = directional(lambda u: sde.f(t, u), x + p * y, v + p * w)

    def at(e: float) -> Tensor:
        return directional(lambda u: sde.f(t, u), x + e * y, v + e * w)

    h = 1e-3
    torch.testing.assert_close(jet.coefficients[0], expected)
    torch.testing.assert_close(jet.coefficients[1], (at(h) - at(-h)) / (2 * h), rtol=0, atol=1e-6)
    torch.testing.assert_close(jet.coefficients[2], (at(h) + at(-h) - 2 * at(0)) / (2 * h * h), rtol=0, atol=1e-6)
