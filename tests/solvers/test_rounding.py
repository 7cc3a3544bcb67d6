"""States that rounding keeps from moving are told of, and no others."""

from __future__ import annotations

import warnings

import pytest
import torch
from support import F64

from sdewm import FunctionSDE, PerturbedSDE, TimeGrid, expand, solve

ONE = FunctionSDE(lambda t, x: 1 + 0 * x)
FAR = torch.tensor([1e4])


def returning(t, x):
    return -(x - 1e4)


STUCK = {
    "drift": (ONE, FAR, 4096),
    "drift in double precision": (ONE, torch.tensor([1e13], dtype=F64), 4096),
    "noise": (FunctionSDE(None, lambda t, x: 0.01 + 0 * x), FAR, 4096),
    "drift beside noise": (FunctionSDE(returning, lambda t, x: 0.3 + 0 * x), FAR, 4096),
    "general noise": (
        FunctionSDE(lambda t, x: 1 + 0 * x, lambda t, x: 1e-3 * torch.ones_like(x).unsqueeze(-1), "general"),
        FAR,
        4096,
    ),
    "one component of two": (
        FunctionSDE(lambda t, x: torch.stack([-x[:, 0], 1 + 0 * x[:, 1]], 1)),
        torch.tensor([1.0, 1e4]),
        4096,
    ),
}
MOVING = {
    "drift, few steps": (ONE, FAR, 64),
    "drift in double precision": (ONE, FAR.double(), 4096),
    "drift beside noise, few steps": (FunctionSDE(returning, lambda t, x: 0.3 + 0 * x), FAR, 64),
    "contraction": (FunctionSDE(lambda t, x: -x, lambda t, x: 0.3 + 0 * x), torch.ones(1), 4096),
    "growth": (FunctionSDE(lambda t, x: 0.1 * x, lambda t, x: 0.3 * x), torch.ones(1), 4096),
    "at rest": (FunctionSDE(), FAR, 4096),
    "at rest to rounding": (FunctionSDE(lambda t, x: -100 * torch.sin(torch.pi * x)), torch.ones(1), 4096),
    "relaxing fast": (FunctionSDE(lambda t, x: -1000 * (x - 2)), torch.ones(1), 4096),
    "from zero": (ONE, torch.zeros(1), 4096),
}


@pytest.mark.parametrize("name", STUCK)
def test_states_that_hardly_move_are_told_of(name):
    sde, x0, steps = STUCK[name]
    with pytest.warns(UserWarning, match="x: rounding in torch.float.* changes what component . moves by"):
        solve(sde, x0, TimeGrid(0.0, 1.0, steps), paths=2)


@pytest.mark.parametrize("name", MOVING)
def test_states_that_move_are_not(name):
    sde, x0, steps = MOVING[name]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        solve(sde, x0, TimeGrid(0.0, 1.0, steps), paths=2)


def test_an_expansion_says_so_before_it_is_made():
    family = PerturbedSDE(FunctionSDE(lambda t, x: 1 + 0 * x, lambda t, x: 1e-6 + 0 * x), FunctionSDE(lambda t, x: x))
    with pytest.warns(UserWarning, match=r"use .double\(\) on the model and x0"):
        expand(family, lambda x: x[:, 0], FAR, TimeGrid(0.0, 1.0, 4096), paths=64, sampler="mc")
