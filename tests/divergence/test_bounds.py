"""Proven bounds against exact moments and simulated suprema; each is broken on purpose and seen to fail."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats
from support import F64, normal_increments, refuses

from sdewm.divergence.bounds import (
    DOOB,
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
from sdewm.divergence.distances import distances, sensitivity_suprema
from sdewm.noise.grid import TimeGrid
from sdewm.systems.sde import FunctionSDE

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
    squared = distances(linear(a, b), x0, GRID, perturbations=torch.ones(1, 1, dtype=F64), noise=noise)[0]
    suprema = squared.cummax(0).values.mean(-1)
    rate = a + 0.5 * b**2 + 0.5 * GRID.dt * a**2
    bounds = supremum_from_mean_square(mean_square(rate, GRID.dt, GRID.steps), GRID.dt, abs(a), b)
    gronwall = [math.exp(log_gronwall(n * GRID.dt, abs(a), b)) for n in range(GRID.steps + 1)]
    for n in range(GRID.steps + 1):
        assert float(suprema[n]) <= bounds[n] * (1 + 1e-12) and float(suprema[n]) <= gronwall[n]


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
    _, second = sensitivity_suprema(sde, torch.tensor([0.8], dtype=F64), GRID, directions=torch.ones(1, 1), noise=noise)
    bounds = second_derivative_supremum(1 + GRID.dt, 1.0, 0.4, 1.0, 0.4, GRID.dt, GRID.steps)
    measured = second[:, 0, 0].mean(-1)
    assert all(float(m) <= b for m, b in zip(measured, bounds, strict=True))


@pytest.mark.parametrize("steps", [1, 10, 1000, 10**6])
def test_saturation_is_attained_without_noise_and_within_a_factor_of_two_with_it(steps):
    """Corners of the box that are farthest apart; and E max ξ² of N normals, by quadrature."""
    assert saturation(2.0, 3, 0.5, 0.0, steps) == pytest.approx(3 * (2 * 2.0) ** 2 + 0.5**2, rel=1e-12)
    largest = integrate.quad(lambda t: -math.expm1(steps * stats.chi2.logcdf(t, 1)), 0, 100, limit=500)[0]
    assert largest <= saturation(0.0, 3, 0.0, 1.0, steps) <= 2 * largest
    assert saturation(0.0, 3, 0.5, 2.0, steps) == pytest.approx(
        (0.5 + 2 * saturation(0.0, 3, 0.0, 1.0, steps) ** 0.5) ** 2
    )


# -- constants that are attained, or nearly: a smaller one would make the bound false


@pytest.mark.parametrize("theta", [0.52, 0.6, 0.8])
def test_doobs_constant_is_approached_and_not_passed(theta):
    """A game that doubles on its record: E sup |M|² = E|M|²/θ² as θ falls to ½, which is Doob's constant.

    From a record s the next stake takes M to (1 + δ) s, a new record, or to θ s, where it stays. Sums are geometric.
    """
    delta, n = 1e-4, 10**7
    up = (1 - theta) / (1 + delta - theta)  # so that M is a martingale
    growth = up * (1 + delta) ** 2
    still_up = growth**n
    records = (1 - up) * (1 - still_up) / (1 - growth) + still_up  # E of the squared record after n stakes
    ends = theta**2 * (records - still_up) + still_up
    ratio = records / ends
    assert ratio <= DOOB
    assert ratio == pytest.approx(1 / theta**2, rel=1e-2)
    if theta == 0.52:
        assert ratio > 0.9 * DOOB


def supremum_of_geometric_brownian_motion(horizon: float) -> float:
    """E sup x_t² of dx = x dB, x_0 = 1, from the law of a drifting Brownian motion's maximum."""
    root = math.sqrt(horizon)

    def beyond(y: float) -> float:
        up = stats.norm.cdf((-y - horizon / 2) / root)
        return up + math.exp(-y) * stats.norm.cdf((-y + horizon / 2) / root)

    return 1 + integrate.quad(lambda y: 2 * math.exp(2 * y) * beyond(y), 0, 60, limit=500)[0]


def test_the_martingales_part_of_the_supremum_is_within_two_fifths_of_the_truth():
    """dx = x dB over T = 9: the supremum's second moment is known, and half the martingale's part would not hold it."""
    horizon, steps = 9.0, 20_000
    dt = horizon / steps
    squares = mean_square(0.5, dt, steps)
    truth, bound = supremum_of_geometric_brownian_motion(horizon), supremum_from_mean_square(squares, dt, 0.0, 1.0)[-1]
    assert truth < bound < 1.4 * truth
    assert supremum_from_mean_square(squares, dt, 0.0, 0.5)[-1] < 0.5 * truth


def test_the_drifts_part_of_the_supremum_is_exact_without_noise():
    """x' = (1 + aΔt) x grows for ever, so that its supremum is its last value; each bound is that."""
    a, dt, steps = 0.7, 0.1, 30
    exact = [(1 + a * dt) ** (2 * n) for n in range(steps + 1)]
    rate = a + 0.5 * dt * a**2
    assert supremum_from_mean_square(mean_square(rate, dt, steps), dt, a, 0.0) == pytest.approx(exact, rel=1e-12)
    assert pathwise(rate, dt, steps) == pytest.approx(exact[-1] ** 0.5, rel=1e-12)


def test_gronwalls_bound_is_the_limit_of_the_inequality_that_it_solves():
    """s_n = 3 + 3 (T a² + C b²) Σ_{k<n} s_k Δt: three terms, the second by Cauchy–Schwarz, C Doob's constant."""
    horizon, a, b, steps = 0.8, 1.3, 0.6, 100_000
    dt, s = horizon / steps, 3.0
    for _ in range(steps):
        s *= 1 + 3 * (horizon * a**2 + DOOB * b**2) * dt
    assert log_gronwall(horizon, a, b) == pytest.approx(math.log(s), abs=1e-3)


@pytest.mark.parametrize("sequential", [False, True])
def test_block_bounds_are_exact_where_inequalities_are_equalities(sequential):
    """Without noise all is deterministic; and where h drives nothing but the noise of z̃, the mean squares are exact."""
    n = 12
    u, v = [0.7], [1.0]
    for _ in range(n):
        u.append(STATE * u[-1] + FROM * v[-1])
        v.append(0.8 * v[-1] + PREDICT * (u[-1] if sequential else u[-2]))
    c = StepConstants(STATE, FROM, PREDICT, 0.0, 0.8, sequential)
    found = block_mean_squares(c, n, (0.7, 1.0))
    assert found[0] == pytest.approx(u, rel=1e-12) and found[1] == pytest.approx(v, rel=1e-12)
    suprema = [max(u[k] ** 2 + v[k] ** 2 for k in range(m + 1)) for m in range(n + 1)]
    assert block_supremum(c, n, (0.7, 1.0)) == pytest.approx(suprema, rel=1e-12)

    c = StepConstants(STATE, 0.0, 0.0, NOISE, 0.8, sequential)
    exact = [1.0]
    for k in range(n):
        seen = STATE ** (k + 1 if sequential else k) * 0.7
        exact.append(0.8**2 * exact[-1] + (NOISE * seen) ** 2)
    found = block_mean_squares(c, n, (0.7, 1.0))
    assert [square**2 for square in found[1]] == pytest.approx(exact, rel=1e-12)


@pytest.mark.parametrize("keep", [1.0, 0.99999])
def test_block_suprema_are_within_a_factor_of_two_and_a_half_on_a_random_walk(keep):
    """u stays at 1 and v is a random walk, of which E sup v² is 1.83 times E v² (twice Catalan's constant), not 4.

    4,000 steps on 1,000 paths; the mean of sup v² has a relative standard error of 0.03.
    """
    steps, paths = 4000, 1000
    c = StepConstants(1.0, 0.0, 0.0, 1.0, keep)
    xi = torch.randn(paths, steps, generator=torch.Generator().manual_seed(0), dtype=F64)
    truth = 1 + float(xi.cumsum(1).square().amax(1).mean())
    bound = block_supremum(c, steps, (1.0, 0.0))[-1]
    assert truth < bound < 2.5 * truth


@pytest.mark.parametrize(("keep", "factor"), [(1.0, DOOB), (0.5, 4 / 3)])
def test_block_suprema_in_closed_form(keep, factor):
    """u stays at 1, so that N's martingale has variance n; or else the sum of mean squares will do."""
    n = 40
    bounds = block_supremum(StepConstants(1.0, 0.0, 0.0, 1.0, keep), n, (1.0, 0.0))
    walks = [(1 + math.sqrt(factor * k)) ** 2 for k in range(n + 1)]
    squares = [sum(keep ** (2 * j) for j in range(k)) for k in range(n + 1)]
    sums = [sum(1 + square for square in squares[: k + 1]) for k in range(n + 1)]
    assert bounds == pytest.approx([min(pair) for pair in zip(walks, sums, strict=True)], rel=1e-12)
    assert bounds[2] < walks[2] and (keep < 1 or bounds[-1] < sums[-1])


def test_what_the_noise_moves_moves_h_too():
    """Where z̃ drives h and h does not drive z̃'s mean: a unit of noise takes h to f (1 − sⁿ)/(1 − s), and is held."""
    s, f, noise, n = 0.5, 0.4, 0.1, 200
    c = StepConstants(s, f, 0.0, noise, 1.0)
    start = (1.0, 0.0)
    u, v = block_mean_squares(c, n, start)
    moved = math.hypot(f * (1 - s**n) / (1 - s), 1.0)
    together = (1 + moved * noise * math.sqrt(DOOB * sum(square**2 for square in u[:n]))) ** 2
    total = sum(a * a + b * b for a, b in zip(u, v, strict=True))
    assert together < total
    assert block_supremum(c, n, start)[-1] == pytest.approx(together, rel=1e-12)


def test_suprema_start_at_the_error_itself():
    assert supremum_from_mean_square([1.0, 1.0], 0.1, 1.0, 1.0)[0] == 1.0
    assert second_derivative_supremum(1.1, 1.0, 1.0, 1.0, 1.0, 0.1, 1)[0] == 0.0
    assert block_supremum(StepConstants(0.5, 0.5, 0.5, 0.5, 0.5), 1, (3.0, 4.0))[0] == 25.0


def moments_of_a_geometric_walk(a: float, b: float, dt: float, steps: int) -> tuple[list[float], list[float]]:
    """E(Σ_{k<n} y_k²)² and Σ_{k<n} E y_k⁴ of y' = (1 + aΔt + b ΔB) y, y_0 = 1, n = 0..steps."""
    second = (1 + a * dt) ** 2 + b**2 * dt
    # E of a fourth power, by Gauss–Hermite quadrature, which is exact.
    nodes, weights = np.polynomial.hermite_e.hermegauss(5)
    fourth = float(weights @ (1 + a * dt + b * math.sqrt(dt) * nodes) ** 4 / weights.sum())
    sums, martingale, cross, power = [0.0], [0.0], 0.0, 1.0
    for _ in range(steps):
        sums.append(sums[-1] + 2 * cross + power)
        martingale.append(martingale[-1] + power)
        cross, power = second * (cross + power), fourth * power
    return sums, martingale


@pytest.mark.parametrize(("a", "b", "dt", "steps"), [(0.0, 1.0, 0.01, 800), (0.0, 2.0, 1.0, 40), (0.4, 0.8, 0.1, 200)])
def test_second_derivatives_grow_as_fast_as_their_bound(a, b, dt, steps):
    """y = ∂x_1 is geometric, and x_2 has x_1²/2 in its drift, so that ∂²x_2 = Δt Σ y_k², whose moments are known.

    The bound is within a factor of 20 however long it runs: with a smaller fourth moment it would soon be too low.
    """
    exact, _ = moments_of_a_geometric_walk(a, b, dt, steps)
    bounds = second_derivative_supremum(1 + a * dt, a, b, 1.0, 0.0, dt, steps)
    ratios = [bound / (dt**2 * truth) for bound, truth in zip(bounds[1:], exact[1:], strict=True)]
    assert min(ratios) >= 1 - 1e-12 and max(ratios) < 20
    # The same with x_1²/2 in a diffusion of its own: ∂²x_2 = Σ y_k² ΔB.
    _, exact = moments_of_a_geometric_walk(a, b, dt, steps)
    bounds = second_derivative_supremum(1 + a * dt, a, b, 0.0, 1.0, dt, steps)
    ratios = [bound / (dt * truth) for bound, truth in zip(bounds[1:], exact[1:], strict=True)]
    assert min(ratios) >= 1 - 1e-12 and max(ratios) < 80


@pytest.mark.parametrize(("a", "b", "dt"), [(0.0, 1.0, 0.5), (0.7, 1.3, 0.5), (-3.0, 0.4, 0.2)])
def test_the_fourth_moment_of_one_step_is_exact(a, b, dt):
    """It is read off the bound after two and three steps of a curved diffusion, whose square adds up by steps."""
    _, sums = moments_of_a_geometric_walk(a, b, dt, 2)
    fourth = sums[2] - sums[1]
    root = math.sqrt(dt)
    w_1 = root
    w_2 = math.hypot((1 + a * dt) * w_1, root * (b * w_1 + math.sqrt(fourth)))
    drift = [dt * abs(a) * w_1, dt * abs(a) * (w_1 + w_2)]
    noise = [dt * (1 + (b * w_1 + math.sqrt(fourth)) ** 2)]
    noise.append(noise[0] + dt * (b * w_2 + fourth) ** 2)
    bounds = second_derivative_supremum(1 + a * dt, abs(a), b, 0.0, 1.0, dt, 3)
    for bound, d, n in zip(bounds[2:], drift, noise, strict=True):
        assert bound == pytest.approx((d + 2 * math.sqrt(n)) ** 2, rel=1e-12)


def test_second_derivatives_are_proportional_to_the_curvatures():
    once = second_derivative_supremum(1.1, 1.0, 0.6, 0.5, 0.2, 0.1, 20)
    thrice = second_derivative_supremum(1.1, 1.0, 0.6, 1.5, 0.6, 0.1, 20)
    assert thrice == pytest.approx([9 * bound for bound in once], rel=1e-12)


def test_the_second_derivatives_martingale_part_is_within_a_factor_of_two_and_a_half():
    """Where y = 1 and the diffusion is curved, ∂²x is a random walk, and E sup is 1.83 times E of the last."""
    dt, steps, paths = 1.0, 4000, 1000
    xi = torch.randn(paths, steps, generator=torch.Generator().manual_seed(0), dtype=F64)
    truth = float(xi.cumsum(1).square().amax(1).mean())
    bound = second_derivative_supremum(1.0, 0.0, 0.0, 0.0, 1.0, dt, steps)[-1]
    assert truth < bound < 2.5 * truth


STEP = StepConstants(0.9, 0.1, 0.1, 0.1, 0.5)
CALLS = {
    log_gronwall: {"horizon": 1.0, "a": 1.0, "b": 1.0},
    mean_square: {"rate": -1.0, "dt": 0.1, "steps": 3},
    supremum_from_mean_square: {"squares": [1.0, 1.0], "dt": 0.1, "a": 1.0, "b": 1.0},
    pathwise: {"rate": -1.0, "dt": 0.1, "steps": 3},
    StepConstants: {"state": 0.9, "from_latent": 0.1, "predict": 0.1, "noise": 0.1, "keep": 0.5},
    block_mean_squares: {"c": STEP, "steps": 3, "start": (0.0, 1.0)},
    block_supremum: {"c": STEP, "steps": 3, "start": (0.0, 1.0), "state": [1.0] * 4},
    second_derivative_supremum: {
        "step": 1.0,
        "a": 1.0,
        "b": 1.0,
        "drift_curvature": 1.0,
        "diffusion_curvature": 1.0,
        "dt": 0.1,
        "steps": 3,
    },
    saturation: {"box": 1.0, "hidden": 3, "mean": 0.1, "deviations": 0.1, "steps": 4},
}


@pytest.mark.parametrize(
    ("call", "name"),
    [(call, name) for call, given in CALLS.items() for name in given],
    ids=lambda v: getattr(v, "__name__", v),
)
def test_a_number_that_says_nothing_is_named(call, name):
    valid = CALLS[call]
    call(**valid)
    bad = [
        math.nan,
        math.inf,
        "a",
        None,
        True,
        *([-1.0] if name != "rate" else []),
        *([2.5] if name == "steps" else []),
    ]
    if name in ("squares", "state", "start") and isinstance(valid[name], list | tuple):
        rest = list(valid[name])[1:]
        bad = [[value, *rest] for value in bad] + [3.0, *([rest] if name != "squares" else [])]
    for value in bad:
        with pytest.raises((ValueError, TypeError), match=rf"^{name}(\[0\])?: expected"):
            call(**valid | {name: value})


@pytest.mark.parametrize(
    ("call", "given"),
    [
        (log_gronwall, {"a": 1e200}),
        (mean_square, {"rate": 1e4, "steps": 1000}),
        (supremum_from_mean_square, {"squares": [1e300] * 2, "a": 1e300}),
        (pathwise, {"rate": 1e308, "dt": 1.0}),
        (block_mean_squares, {"c": dataclasses.replace(STEP, state=1e200)}),
        (block_supremum, {"c": dataclasses.replace(STEP, state=1e200)}),
        (second_derivative_supremum, {"step": 1e200}),
        (saturation, {"box": 1e200}),
    ],
    ids=lambda v: getattr(v, "__name__", ""),
)
def test_a_bound_too_large_for_a_number_is_none(call, given):
    with refuses(ArithmeticError, "bound: expected a floating-point number, got one too large"):
        call(**CALLS[call] | given)


def test_there_is_no_supremum_over_no_step():
    with refuses(ValueError, "steps", "at least 1", "0"):
        saturation(1.0, 3, 0.1, 0.1, 0)


def test_bad_constants_are_named():
    with refuses(ValueError, "state", "-1"):
        StepConstants(-1.0, 0.0, 0.0, 0.0, 1.0)
    with refuses(ValueError, "sequential", "'yes'"):
        StepConstants(1.0, 0.0, 0.0, 0.0, 0.5, "yes")
    with refuses(ValueError, "keep", "1.5"):
        StepConstants(1.0, 0.0, 0.0, 0.0, 1.5)
