"""Increments that are made as they are walked are the stored ones, and take little memory."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from sampled_increments import GRID, LIKE, SAMPLERS, FewSobolDimensions, increments_of, make, whole
from support import F64, refuses

from sdewm.noise.grid import TimeGrid
from sdewm.noise.increments import BridgeIncrements, StoredIncrements, StreamedIncrements
from sdewm.noise.samplers import MonteCarlo, QuasiMonteCarlo

# -- nothing depends on how the work is cut up


@pytest.mark.parametrize("name", SAMPLERS)
def test_coarse_paths_are_the_fine_ones(name):
    for noise in increments_of(make(name, block=256)):
        fine = whole(noise)
        assert torch.equal(whole(noise), fine), "a second pass draws other increments"
        for factor in (2, 4, 8):
            coarse = noise.coarsen(factor)
            assert coarse.steps == GRID.steps // factor and coarse.paths == noise.paths
            expected = fine.unflatten(0, (-1, factor)).sum(1)
            torch.testing.assert_close(whole(coarse), expected, rtol=0, atol=1e-14)
            torch.testing.assert_close(whole(noise.coarsen(2).coarsen(factor // 2)), expected, rtol=0, atol=1e-14)
            if noise.weights is not None:
                assert torch.equal(coarse.weights, noise.weights)


def test_float32_increments_are_the_rounded_ones():
    for sampler in (MonteCarlo(64, 1), QuasiMonteCarlo(64, 1)):
        double = whole(next(increments_of(sampler)))
        single = whole(next(sampler.draw(range(sampler.replicates), 2, GRID, torch.zeros(()))))
        assert single.dtype == torch.float32
        assert torch.equal(single, double.float())


# -- what does not fit is made as it is walked


@pytest.mark.parametrize("steps, channels", [(1, 1), (2, 2), (7, 3), (100, 2), (333, 2)])
@pytest.mark.parametrize("options", [{}, {"widen": 1.4}, {"block": 64}, {"paths": 16, "replicates": 5}])
@pytest.mark.parametrize("dtype", [F64, torch.float32])
def test_streamed_increments_are_the_stored_ones(steps, channels, options, dtype, monkeypatch):
    """To the last bit, those of padded dimensions and weights too, and in each pass; coarser ones to rounding."""
    grid, like = TimeGrid(0.0, 1.7, steps), torch.zeros((), dtype=dtype)
    monkeypatch.setattr("sdewm.noise.increments.WORKING_BYTES", 2**17)  # 64 steps or fewer at a time
    for largest in (5, QuasiMonteCarlo.largest_dimension):
        drawn = []
        for budget in (2**27, 0):
            monkeypatch.setattr(FewSobolDimensions, "largest_dimension", largest)
            monkeypatch.setattr(FewSobolDimensions, "stored_bytes", budget)
            sampler = FewSobolDimensions(**{"paths": 128, "seed": 5} | options)
            drawn.append(list(sampler.draw(range(sampler.replicates), channels, grid, like)))
        assert len(drawn[0]) == len(drawn[1])
        for stored, streamed in zip(*drawn, strict=True):
            assert isinstance(stored, StoredIncrements) and isinstance(streamed, BridgeIncrements)
            assert (stored.steps, stored.paths, stored.channels) == (streamed.steps, streamed.paths, streamed.channels)
            for _ in range(2):
                assert torch.equal(whole(streamed), whole(stored)) and whole(streamed).dtype == dtype
            coarse, expected = (whole(n.coarsen(steps)) for n in (streamed, stored))
            torch.testing.assert_close(coarse, expected, rtol=0, atol=1e-13 if dtype == F64 else 1e-5)
            assert (streamed.weights is None) == (stored.weights is None) == ("widen" not in options)
            if streamed.weights is not None:
                assert torch.equal(streamed.weights, stored.weights)


def test_what_fits_is_stored_and_principal_components_are_cut():
    """5,000 steps of 4,096 paths are 164 MB."""
    grid = TimeGrid(0.0, 1.0, 5_000)
    kinds = {}
    for ordering, paths in (("bridge", 2048), ("bridge", 4096), ("pca", 4096)):
        sampler = QuasiMonteCarlo(paths, 0, ordering=ordering)
        noise = next(sampler.draw(range(32), 1, grid, LIKE))
        kinds[ordering, paths] = type(noise), noise.paths
    assert kinds == {
        ("bridge", 2048): (StoredIncrements, 2048),
        ("bridge", 4096): (BridgeIncrements, 4096),
        ("pca", 4096): (StoredIncrements, 2048),
    }


LONG = """
import torch
from sdewm.noise import QuasiMonteCarlo, TimeGrid
from benchmarks.samplers import peak
like = torch.zeros((), dtype=torch.float64)
for steps in (1000, 2**19):
    (noise,) = QuasiMonteCarlo(64, 0).draw(range(32), 1, TimeGrid(0.0, 1.0, steps), like)
    assert sum(noise).shape == (64, 1) and noise.steps == steps
    print(peak())
"""


def test_half_a_million_steps_take_little_memory():
    """Stored, 64 paths of them take 256 MiB; found are 69 more than 1,000 steps take."""
    done = subprocess.run([sys.executable, "-c", LONG], capture_output=True, text=True, check=True)
    few, many = map(float, done.stdout.split())
    assert many - few < 128


# -- sizes and errors


@pytest.mark.parametrize(
    ("make_it", "fragments"),
    [
        (lambda: StoredIncrements(torch.zeros(3, 4)), ("values", "(steps, paths, channels)", "(3, 4)")),
        (lambda: StoredIncrements(torch.zeros(6, 4, 1)).coarsen(4), ("factor", "divisor of 6 steps", "4")),
        (
            lambda: StreamedIncrements((1,), 2, 1, GRID, LIKE).coarsen(3),
            ("factor", "divisor of 8 steps", "3"),
        ),
        (
            lambda: StreamedIncrements((1,), 2, 1, GRID, LIKE).coarsen(0),
            ("factor", "divisor of 8 steps", "0"),
        ),
    ],
)
def test_errors_of_increments(make_it, fragments):
    with refuses(ValueError, *fragments):
        make_it()
