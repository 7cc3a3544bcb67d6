"""Random numbers of the process are its own: no public call draws from them or seeds them."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from support import F64

import sdewm
from sdewm import FunctionSDE, PerturbedSDE, TimeGrid

GRID = TimeGrid(0.0, 1.0, 8)
X0 = torch.ones(2, dtype=F64)
BASE = FunctionSDE(
    lambda t, x: torch.sin(x), lambda t, x: torch.stack([0.3 * x, 0.1 * x.flip(-1)], -1), noise_type="general"
)
FAMILY = PerturbedSDE(
    BASE, FunctionSDE(lambda t, x: torch.sin(x), lambda t, x: torch.stack([x, x], -1), noise_type="general")
)


def loss(x: torch.Tensor) -> torch.Tensor:
    return (x**2).sum(-1)


def load_trained() -> object:
    from sdewm.worldmodel import load_trained

    return load_trained()


def noise() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(GRID.steps, 4, 2, generator=generator, dtype=F64) * GRID.dt**0.5


CALLS = {
    "solve": lambda: sdewm.solve(BASE, X0, GRID, noise=noise()),
    "solve with areas": lambda: sdewm.solve(
        BASE, X0, GRID, method="milstein", noise=sdewm.BrownianPath(1, 4, 2, 0.0, 1.0).at(3, finest=3)
    ),
    "expand": lambda: sdewm.expand(FAMILY, loss, X0, GRID, paths=64),
    "expand by pairs": lambda: sdewm.expand(FAMILY, loss, X0, GRID, paths=64, sampler="antithetic"),
    "taylor_test": lambda: sdewm.taylor_test(FAMILY, loss, X0, GRID, paths=64),
    "convergence": lambda: sdewm.convergence(BASE, X0, (0.0, 1.0), paths=256),
    "fundamental_matrix": lambda: sdewm.fundamental_matrix(BASE, X0, GRID, noise=noise()),
    "initial_value_derivatives": lambda: sdewm.initial_value_derivatives(BASE, X0, GRID, noise=noise()),
    "load_trained": load_trained,
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.filterwarnings("ignore")
def test_no_random_number_of_the_process_is_used(name):
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002 (the state that others share)
    random.seed(5)
    before = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()  # noqa: NPY002
    CALLS[name]()
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1:] == (np.random.get_state()[1].tolist(), random.getstate())  # noqa: NPY002
