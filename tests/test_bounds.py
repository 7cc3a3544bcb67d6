"""Proven bounds against exact moments and simulated suprema; each is broken on purpose and seen to fail."""

from __future__ import annotations

import math

import pytest
import torch

from sdewm.bounds import (
    StepConstants,
    block_mean_squares,
    block_supremum,
    log_gronwall,
    mean_square,
    pathwise,
    saturation,
    second_derivative_supremum,
    supremum_from_mean_square,
)
from sdewm.divergence import distances, sensitivity_suprema
from sdewm.noise import TimeGrid
from sdewm.sde import FunctionSDE
from tests.support import F64, normal_increments, refuses

GRID = TimeGrid(0.0, 1.0, 50)
PATHS = 20_000


def linear(a: float, b: float) -> FunctionSDE:
    return FunctionSDE(lambda t, x: a * x, lambda t, x: b * x)


@pytest.mark.parametrize(("a", "b"), [(0.8, 0.5), (-1.5, 0.7), (0.5, 0.0)])
def test_mean_square_is_exact_for_a_linear_equation(a, b):
    """E x_N² = ((1 + aΔt)² + b²Δt)^N, and ν = a + ½b² + ½Δt a² attains it."""
    rate = a + 0.5 * b**2 + 0.5 * GRID.dt * a**2
    exact = ((1 + a * GRID.dt) ** 2 + b**2 * GRID.dt) ** GRID.steps
    assert mean_square(rate, GRID.dt, GRID.steps)[-1] == pytest.approx(exact, rel=1e-12)


@pytest.mark.parametrize(("a", "b"), [(0.8, 0.5), (-1.5, 0.7), (-4.0, 1.0)])
def test_suprema_of_a_linear_equation(a, b):
    noise = normal_increments(GRID, PATHS, 1)
    x0 = torch.zeros(1, dtype=F64)
    squared = distances(linear(a, b), x0, torch.ones(1, 1, dtype=F64), GRID, noise=noise)[0]
    suprema = squared.cummax(0).values.mean(-1)
    rate = a + 0.5 * b**2 + 0.5 * GRID.dt * a**2
    bounds = supremum_from_mean_square(mean_square(rate, GRID.dt, GRID.steps), GRID.dt, abs(a), b)
    gronwall = [math.exp(log_gronwall(n * GRID.dt, abs(a), b)) for n in range(GRID.steps + 1)]
    for n in range(GRID.steps + 1):
        assert float(suprema[n]) <= bounds[n] * (1 + 1e-12) and float(suprema[n]) <= gronwall[n]
    # Without the martingale's part the bound would fail.
    if b >= 0.7:
        without = supremum_from_mean_square(mean_square(rate, GRID.dt, GRID.steps), GRID.dt, abs(a), 0.0)
        assert any(float(s) > w for s, w in zip(suprema, without, strict=True)) or a < 0


def test_a_decaying_mean_square_keeps_the_supremum_bounded():
    long = supremum_from_mean_square(mean_square(-1.0, 0.01, 5000), 0.01, 2.0, 0.5)
    assert long[-1] == pytest.approx(long[2500], rel=1e-6)
    assert log_gronwall(50.0, 2.0, 0.5) > 1e4


def test_pathwise_bound_does_not_grow_under_decay():
    assert pathwise(-1.0, 0.01, 100) == 1.0
    assert pathwise(0.5, 0.001, 1000) == pytest.approx(math.exp(0.5), rel=1e-3)


def coupled(sequential: bool, keep: float, n: int, paths: int, seed: int) -> torch.Tensor:
    """|u_n|² + |v_n|² of a scalar linear step that attains every constant; ``(n + 1, paths)``."""
    g = torch.Generator().manual_seed(seed)
    u, v = torch.zeros(paths, dtype=F64), torch.ones(paths, dtype=F64)
    found = [u**2 + v**2]
    for _ in range(n):
        new = STATE * u + FROM * v
        seen = new if sequential else u
        v = keep * v + PREDICT * seen + NOISE * seen * torch.randn(paths, generator=g, dtype=F64)
        u = new
        found.append(u**2 + v**2)
    return torch.stack(found)


STATE, FROM, PREDICT, NOISE = 0.6, 0.3, 0.2, 0.4


@pytest.mark.parametrize("sequential", [False, True])
@pytest.mark.parametrize("keep", [0.0, 0.7, 1.0])
def test_block_bounds_hold_where_every_constant_is_attained(sequential, keep):
    c = StepConstants(STATE, FROM, PREDICT, NOISE, keep, sequential)
    n = 30
    squared = coupled(sequential, keep, n, 40_000, 0)
    u, v = block_mean_squares(c, n, (0.0, 1.0))
    bounds = block_supremum(c, n)
    suprema = squared.cummax(0).values.mean(-1)
    spread = 4 * squared.std(-1) / 200  # four standard errors
    for k in range(n + 1):
        assert float(squared[k].mean() - spread[k]) <= u[k] ** 2 + v[k] ** 2
        assert float(suprema[k]) <= bounds[k] + float(spread[k])
    weaker = block_supremum(StepConstants(STATE, 0.0, PREDICT, NOISE, keep, sequential), n)
    if keep == 1.0:
        assert float(suprema[-1]) > weaker[-1]


def test_a_contraction_is_bounded_for_all_time():
    c = StepConstants(0.6, 0.2, 0.2, 0.1, 0.6)
    bounds = block_supremum(c, 2000)
    assert bounds[-1] == pytest.approx(bounds[1000], rel=1e-6)


def test_further_bounds_on_h_help():
    c = StepConstants(1.05, 0.05, 0.05, 0.05, 1.0)
    plain = block_supremum(c, 50)
    helped = block_supremum(c, 50, state=[0.01] * 51)
    assert helped[-1] < plain[-1]


def test_saturation_counts_the_worst_of_many_draws():
    """A model whose h jumps between the corners of its box, with a mean and deviation that jump with it."""
    steps, nh, nz, paths = 40, 2, 3, 20_000
    g = torch.Generator().manual_seed(0)
    xi = torch.randn(steps, paths, nz, generator=g, dtype=F64)
    v = 0.5 + 1.0 * xi
    measured = float((4 * nh + v.square().sum(-1)).amax(0).mean())
    bound = saturation(1.0, nh, 0.5 * nz**0.5, nz**0.5, steps)
    assert measured <= bound
    assert measured > saturation(1.0, nh, 0.5 * nz**0.5, nz**0.5, 1) / 2


def test_second_derivatives_of_a_nonlinear_equation():
    sde = FunctionSDE(lambda t, x: torch.sin(x), lambda t, x: 0.4 * torch.cos(x))
    noise = normal_increments(GRID, 4000, 1)
    _, second = sensitivity_suprema(sde, torch.tensor([0.8], dtype=F64), torch.ones(1, 1), GRID, noise=noise)
    bounds = second_derivative_supremum(1 + GRID.dt, 1.0, 0.4, 1.0, 0.4, GRID.dt, GRID.steps)
    measured = second[:, 0, 0].mean(-1)
    assert all(float(m) <= b for m, b in zip(measured, bounds, strict=True))
    without = second_derivative_supremum(1 + GRID.dt, 1.0, 0.4, 0.0, 0.0, GRID.dt, GRID.steps)
    assert float(measured[-1]) > without[-1] == 0.0


def test_bad_constants_are_named():
    with refuses(ValueError, "constants", "-1"):
        StepConstants(-1.0, 0.0, 0.0, 0.0, 1.0)
    with refuses(ValueError, "keep", "1.5"):
        StepConstants(1.0, 0.0, 0.0, 0.0, 1.5)
