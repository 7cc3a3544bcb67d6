"""Coefficients that take derivatives by forward mode themselves."""

import pytest
import torch

from sdewm import FunctionSDE, PerturbedSDE, TimeGrid, expand

GRID = TimeGrid(0.0, 1.0, 8)
ERROR = FunctionSDE(lambda t, x: torch.ones_like(x))


def diffusion(t, x):
    return 0.1 + 0 * x


def square(x):
    return x.square().sum(-1)


def test_a_drift_by_forward_mode():
    slope = FunctionSDE(lambda t, x: torch.func.jvp(torch.sin, (x,), (torch.ones_like(x),))[1], diffusion)
    cosine = FunctionSDE(lambda t, x: torch.cos(x), diffusion)
    found, right = (
        expand(PerturbedSDE(base, ERROR), square, [1.0], GRID, paths=16, order=3) for base in (slope, cosine)
    )
    assert [e.mean for e in (found.first, found.second, found.third)] == pytest.approx(
        [e.mean for e in (right.first, right.second, right.third)], rel=1e-12
    )
