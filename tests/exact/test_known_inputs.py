"""Known inputs: the law on the grid, what is refused, and conditional variances with a closed form."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats
from support import F64, refuses

from sdewm.estimate.goodness_of_fit import distance, paths_for
from sdewm.exact import reference
from sdewm.exact.known_inputs import KnownInputs, conditional_variance, record_inputs
from sdewm.noise.grid import TimeGrid
from sdewm.solvers.solve import solve
from sdewm.systems.latent import LatentSDE

GRID = TimeGrid(0.0, 1.0, 8)


def inputs(seed: int = 0) -> KnownInputs:
    generator = torch.Generator().manual_seed(seed)
    return KnownInputs(
        torch.randn(8, 2, generator=generator, dtype=F64), torch.randn(8, 2, 3, generator=generator, dtype=F64), GRID
    )


def test_mean_and_covariance_are_those_of_the_solvers_own_linear_map():
    """The solution is affine in the increments; its matrix, column by column, gives both exactly."""
    known, start = inputs(), torch.zeros(2, dtype=F64)
    noise = torch.eye(24, dtype=F64).view(24, 8, 3).movedim(0, 1)
    path = solve(known, start, GRID, noise=noise, save="path")
    still = solve(known, start, GRID, noise=torch.zeros(8, 1, 3, dtype=F64), save="path")
    columns = path - still
    for i, j in ((3, 3), (8, 8), (2, 5)):
        torch.testing.assert_close(known.mean(i), still[i, 0])
        torch.testing.assert_close(known.covariance(i, j), GRID.dt * columns[i].T @ columns[j])


def test_recorded_inputs_rebuild_the_run_they_come_from():
    model, x0, grid = reference.latent_model(), reference.initial_state(), TimeGrid(0.0, 1.0, 16)
    channels = model.noise_channels(torch.zeros((), dtype=F64), x0[None])
    noise = 0.25 * torch.randn(16, 1, channels, generator=torch.Generator().manual_seed(1), dtype=F64)
    known = record_inputs(model, x0, grid, noise=noise)
    z = model.block_slices.z
    encoder = model.channel_slices(torch.zeros((), dtype=F64), x0[None])[0]
    whole = solve(model, x0, grid, noise=noise)[:, z]
    torch.testing.assert_close(solve(known, x0[z], grid, noise=noise[..., encoder]), whole)


def test_what_is_not_an_integral_of_inputs_is_refused(monkeypatch):
    model = reference.latent_model()
    monkeypatch.setattr(model, "leak", 1.0)
    assert isinstance(model, LatentSDE)
    with refuses(ValueError, "model.leak", "expected 0", "got 1"):
        record_inputs(model, reference.initial_state(), GRID, noise=torch.zeros(8, 1, 6, dtype=F64))


@pytest.mark.parametrize("c", [0.25, 0.5, 2.0])
def test_conditional_variance_is_the_filters(c):
    """dz = dB, dh = z dt + c dW: P = c tanh(T/c), at first order in Δt."""
    drift, diffusion = np.array([[0.0, 0.0], [1.0, 0.0]]), np.array([[1.0, 0.0], [0.0, c]])
    errors = [conditional_variance(drift, diffusion, 1.0, n) - c * math.tanh(1 / c) for n in (32, 64)]
    assert errors[0] / errors[1] == pytest.approx(2, abs=0.15)


def test_on_the_grid_only_the_last_increment_is_unknown():
    """dh = z dt gives away every z but the last."""
    drift, diffusion = np.array([[0.0, 0.0], [1.0, 0.0]]), np.array([[0.7], [0.0]])
    assert conditional_variance(drift, diffusion, 1.0, 20) == pytest.approx(0.49 / 20, rel=1e-9)


@pytest.mark.parametrize("significance", [0.05, 0.01, 1e-4, 1e-8])
def test_the_distances_threshold_is_above_massarts(significance):
    n = 1000
    stderr = distance(np.linspace(0, 1, n)).stderr
    massart = math.sqrt(0.5 * math.log(2 / significance) / n)
    assert massart <= stats.norm.isf(significance / 2) * stderr <= 1.7 * massart


def test_the_sample_size_shows_the_deviation_it_is_made_for():
    """A normal whose mean is off so that the distance is 0.05; at 95 % power 40 runs show it but for a few."""
    deviation, significance = 0.05, 1e-3
    n = paths_for(deviation, significance)
    shift = 2 * float(stats.norm.isf(0.5 - deviation / 2))  # sup |Φ(x) − Φ(x − s)| = 2Φ(s/2) − 1
    rng = np.random.default_rng(0)
    seen = 0
    for _ in range(40):
        found = distance(stats.norm.cdf(rng.standard_normal(n) + shift))
        seen += found.mean > stats.norm.isf(significance / 2) * found.stderr
    assert seen >= 34  # P(Binomial(40, 0.95) < 34) is below 1e-3
