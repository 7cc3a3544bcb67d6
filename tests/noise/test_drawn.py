"""Noise from a number of paths and a seed, for solves; and arguments that are alike across functions."""

from __future__ import annotations

import inspect

import pytest
import torch
from support import F64, normal_increments, refuses

import sdewm
from sdewm import BrownianPath, FunctionSDE, TimeGrid, fundamental_matrix, initial_value_derivatives, solve
from sdewm.solvers.registry import METHODS

SDE = FunctionSDE(lambda t, x: -x, lambda t, x: 0.3 + 0.1 * torch.sin(x))
CROSSED = FunctionSDE(SDE.f, lambda t, x: torch.diag_embed(0.8 * torch.sqrt(1 + x.flip(-1) ** 2)), "general")
X0 = torch.tensor([0.5, -1.0], dtype=F64)
GRID, OTHER = TimeGrid(0.0, 2.0, 8), TimeGrid(0.0, 2.0, 12)


def test_the_noise_is_that_of_the_brownian_path():
    noise = BrownianPath(3, 50, 2, 0.0, 2.0).at(3, finest=3)
    for sde, method in ((SDE, "euler"), (CROSSED, "milstein"), (SDE, "torchsde:srk")):
        drawn = solve(sde, X0, GRID, method=method, paths=50, seed=3)
        assert torch.equal(drawn, solve(sde, X0, GRID, method=method, noise=noise))


def test_grids_of_a_power_of_two_see_the_same_paths():
    """With dx = dB the end of a path is the end of the Brownian path."""
    brownian = FunctionSDE(None, lambda t, x: torch.ones_like(x))
    ends = [solve(brownian, X0, TimeGrid(0.0, 2.0, 2**k), paths=20) for k in (0, 3, 6)]
    torch.testing.assert_close(ends[0], ends[1], rtol=0, atol=1e-12)
    torch.testing.assert_close(ends[0], ends[2], rtol=0, atol=1e-12)
    few = solve(brownian, X0, TimeGrid(0.0, 2.0, 8), paths=7)
    torch.testing.assert_close(ends[1][:7], few, rtol=0, atol=0)


@pytest.mark.parametrize("grid", [GRID, OTHER], ids=["2^k steps", "another number"])
def test_the_seed_determines_every_path(grid):
    state = torch.get_rng_state()
    one, again, other = (solve(SDE, X0, grid, paths=40, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(one, again) and not (one == other).any()
    assert torch.equal(one, solve(SDE, X0, grid, paths=40))
    brownian = FunctionSDE(None, lambda t, x: torch.ones_like(x))
    ends = solve(brownian, X0 * 0, grid, paths=4000, seed=2)
    assert abs(float(ends.var()) / 2 - 1) < 4 * (2 / 8000) ** 0.5
    assert abs(float(ends.mean())) < 4 * (2 / 8000) ** 0.5


def test_dtype_is_that_of_the_initial_value():
    for grid in (GRID, OTHER):
        found = solve(SDE, X0.float(), grid, paths=4)
        assert found.dtype == torch.float32 and found.shape == (4, 2)
        assert solve(SDE, X0.expand(4, -1), grid, paths=4).dtype == F64


@pytest.mark.parametrize("function", [solve, fundamental_matrix, initial_value_derivatives], ids=lambda f: f.__name__)
def test_exactly_one_of_noise_and_paths(function):
    noise = normal_increments(GRID, 4, 2)
    with refuses(ValueError, "noise, paths: expected one of them", "got neither", "paths=1000, seed=0"):
        function(SDE, X0, GRID)
    with refuses(ValueError, "noise, paths: expected one of them", "got both"):
        function(SDE, X0, GRID, noise=noise, paths=4)
    with refuses(ValueError, "seed: expected none where the noise is given, got 3"):
        function(SDE, X0, GRID, noise=noise, seed=3)
    for paths in (0, -1, 2.0, True, "4"):
        with refuses(ValueError, "paths: expected an integer"):
            function(SDE, X0, GRID, paths=paths)
    for seed in (-1, 0.5, None):
        with refuses(ValueError, "seed: expected an integer"):
            function(SDE, X0, GRID, paths=4, seed=seed)
    with refuses(ValueError, "x0: expected 4 states, as the noise has paths, got 3"):
        function(SDE, X0.expand(3, -1), GRID, paths=4)


def test_areas_are_there_on_a_power_of_two_alone():
    with refuses(ValueError, "noise: 'milstein' needs Lévy areas", "On a grid of 2^level steps paths and seed draw"):
        solve(CROSSED, X0, OTHER, method="milstein", paths=4)
    assert torch.isfinite(solve(CROSSED, X0, GRID, method="milstein", paths=4)).all()


def test_derivatives_are_those_on_the_same_paths():
    noise = BrownianPath(5, 6, 2, 0.0, 2.0).at(3)
    assert torch.equal(
        fundamental_matrix(SDE, X0, GRID, paths=6, seed=5), fundamental_matrix(SDE, X0, GRID, noise=noise)
    )
    drawn, given = (
        initial_value_derivatives(SDE, X0, GRID, directions=X0[None], **arguments)
        for arguments in ({"paths": 6, "seed": 5}, {"noise": noise})
    )
    assert torch.equal(drawn.second, given.second) and drawn.second.shape == (6, 2, 1, 1)


def test_arguments_come_in_one_order():
    """The system and its data by position; method, paths and seed first among the rest, which go by name."""
    functions = {
        "solve": ("sde", "x0", "grid"),
        "fundamental_matrix": ("sde", "x0", "grid"),
        "initial_value_derivatives": ("sde", "x0", "grid"),
        "convergence": ("sde", "x0", "grid"),
        "expand": ("family", "loss", "x0", "grid"),
        "taylor_test": ("family", "loss", "x0", "grid"),
    }
    for name, positional in functions.items():
        parameters = inspect.signature(getattr(sdewm, name)).parameters.values()
        assert tuple(p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD) == positional, name
        by_name = [p for p in parameters if p.kind is p.KEYWORD_ONLY]
        assert [p.name for p in by_name[:3]] == ["method", "paths", "seed"], name
        assert by_name[3].name in ("noise", "sampler", "levels"), name
        assert by_name[0].default in METHODS and by_name[2].default == 0, name
