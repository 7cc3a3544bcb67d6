"""Norms and lengths, at every size."""

from __future__ import annotations

import pytest
import torch
from jet_oracle import random_jet

from sdewm.jets import Jet, JetSpace


@pytest.mark.parametrize("size", [1e-200, 1e-100, 1e-40, 1.0, 1e40, 1e100, 1e154, 1e200, 1e300])
@pytest.mark.parametrize(
    "length",
    [
        lambda x: torch.hypot(x[:, 0], x[:, 1]),
        lambda x: torch.complex(x[:, 0], x[:, 1]).abs(),
        lambda x: x.norm(dim=-1),
        lambda x: torch.linalg.vector_norm(x, dim=-1, keepdim=True)[:, 0],
        lambda x: torch.linalg.matrix_norm(x.unsqueeze(-1)),
        lambda x: x.norm(3, dim=-1),
        lambda x: torch.cdist(x.unsqueeze(1), torch.zeros_like(x).unsqueeze(1)).flatten(),
        lambda x: torch.stack([torch.dist(row, -row) for row in x]),
        lambda x: torch.std(x, 1),
        lambda x: torch.std_mean(x, 1, correction=0)[0],
    ],
)
def test_lengths_are_right_at_every_size(length, size):
    """All coefficients grow with the argument's, and none leaves the range of numbers before it."""
    x = random_jet(JetSpace(2, 3), (5, 2))
    x.coefficients[0] += 0.5 * x.coefficients[0].sign()
    expected = length(x).coefficients
    found = length(Jet(size / 4 * x.coefficients, x.space)).coefficients
    torch.testing.assert_close(found / size, expected / 4, rtol=1e-9, atol=1e-9)
