"""Functions whose rows look at each other, or that write into their states, are refused, wherever paths go."""

from __future__ import annotations

import pytest
import torch
from support import F64, refuses
from torch import Tensor

from sdewm import (
    FunctionSDE,
    PerturbedSDE,
    TimeGrid,
    expand,
    solve,
    taylor_test,
)

GRID = TimeGrid(0.2, 1.2, 4)


def test_states_that_differ_already_tell_a_mixture_that_one_state_hides():
    """At an equilibrium without noise nothing moves; a mean over different states is still seen."""
    starts = torch.tensor([[0.0, 0.0], [1.0, 2.0], [3.0, -1.0]], dtype=F64)
    mixing = FunctionSDE(lambda t, x: x.mean(0) - x.mean(0) * 0 + 0 * x)
    with refuses(ValueError, "f: ", "one row per path"):
        solve(mixing, starts, GRID, noise=torch.zeros(4, 3, 2, dtype=F64))


# -- losses


@pytest.mark.parametrize("drift", [lambda t, x: torch.sin(x[0]) * x, lambda t, x: x - x[0], lambda t, x: x.cumsum(0)])
def test_what_looks_at_the_first_row_or_at_rows_before_mixes_paths(drift):
    sde = FunctionSDE(drift, lambda t, x: 0.1 * x)
    with pytest.raises(ValueError, match="one row per path"):
        solve(sde, torch.tensor([0.5, 0.3], dtype=F64), TimeGrid(0.0, 1.0, 4), paths=8, seed=0)


def test_a_write_that_changes_nothing_at_the_start_is_a_write():
    def clamped(t, x):
        x.clamp_(max=1.0)
        return 2 * x

    with pytest.raises(ValueError, match="left alone"):
        sde = FunctionSDE(clamped, lambda t, x: 0.1 * x)
        solve(sde, torch.tensor([0.5], dtype=F64), TimeGrid(0.0, 1.0, 4), paths=8, seed=0)


def scaled_far_out(x: Tensor) -> Tensor:
    """Mixes paths where one of them is further than 1.5 from 0, which none is near the start."""
    return x / x.abs().max().clamp(min=1.5)


def test_what_mixes_paths_only_far_from_the_start_is_refused():
    grid, x0 = TimeGrid(0.0, 1.0, 32), torch.tensor([0.3], dtype=F64)
    brownian = FunctionSDE(g=lambda t, x: torch.ones_like(x))
    with refuses(ValueError, "f: expected one row per path", "beside it"):
        solve(FunctionSDE(lambda t, x: scaled_far_out(x), brownian.g), x0, grid, paths=8)
    with refuses(ValueError, "g: expected one row per path"):
        solve(FunctionSDE(g=lambda t, x: 1 + scaled_far_out(x) ** 2), x0, grid, paths=8)
    family = PerturbedSDE(brownian, FunctionSDE(lambda t, x: torch.ones_like(x), lambda t, x: torch.ones_like(x)))
    for estimate in (expand, taylor_test):
        with refuses(ValueError, "loss: expected one row per path"):
            estimate(family, lambda x: scaled_far_out(x).square().sum(-1), x0, grid, paths=64)
