"""Samplers: the law of their increments, and that nothing depends on how the work is cut up."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from sampled_increments import GRID, LIKE, SAMPLERS, dense_transform, functionals, increments_of, make, run, whole
from scipy import stats
from support import FALSE_FAILURE, agrees, refuses
from torch import Tensor

from sdewm.estimate.samples import sample
from sdewm.noise.grid import TimeGrid
from sdewm.noise.increments import Increments
from sdewm.noise.samplers import AntitheticMonteCarlo, CounterMonteCarlo, MonteCarlo, QuasiMonteCarlo

# -- the law of the increments


@pytest.mark.parametrize("name", SAMPLERS)
def test_means_variances_and_covariances(name):
    """All first and second moments of 3 × 2 increments. False-failure rate: 0.001 for each sampler."""
    grid, channels = TimeGrid(0.0, 1.5, 3), 2
    size = grid.steps * channels
    pairs = [(i, j) for i in range(size) for j in range(i + 1)]

    def moments(noise: Increments) -> dict[str, Tensor]:
        x = torch.cat(list(noise), -1) / math.sqrt(grid.dt)
        means = {f"{i}": x[:, i] for i in range(size)}
        return means | {f"{i},{j}": x[:, i] * x[:, j] for i, j in pairs}

    found = sample(moments, make(name), channels, grid, LIKE)
    for i in range(size):
        assert agrees(found.estimate(f"{i}"), 0.0, comparisons=len(pairs) + size)
    for i, j in pairs:
        estimate = found.estimate(f"{i},{j}")
        assert agrees(estimate, float(i == j), comparisons=len(pairs) + size), (i, j)
        # x² has variance 2, and antithetic pairs halve the number: what plain Monte Carlo can see.
        plain = 2 / math.sqrt(found.paths)
        assert estimate.stderr < 2 * plain, "the test has no power"


@pytest.mark.parametrize("kind", [MonteCarlo, CounterMonteCarlo, AntitheticMonteCarlo])
def test_one_increment_is_normal(kind):
    """Kolmogorov–Smirnov on one half of each replicate, one member of each pair. False-failure rate 0.001."""
    sampler = kind(4096, 5)
    (noise,) = increments_of(sampler, TimeGrid(0.0, 1.0, 4), 1)
    first = next(iter(noise)).view(sampler.replicates, 2, -1)[:, 0].flatten().numpy() * 2
    assert stats.kstest(first, "norm").pvalue > FALSE_FAILURE


@pytest.mark.parametrize("kind", [MonteCarlo, CounterMonteCarlo])
def test_plain_paths_are_all_their_own(kind):
    """No increment is another's, or its mirror image; correlations of neighbours, false-failure rate 0.001."""
    (noise,) = increments_of(kind(1600, 1))
    found = whole(noise)
    assert len(found.abs().flatten().unique()) == found.numel()
    by_replicate = found.view(GRID.steps, 32, -1, 2)
    for one, other in (
        (by_replicate[:, :, :25], by_replicate[:, :, 25:]),
        (found[:, :-1], found[:, 1:]),
        (found[:-1], found[1:]),
    ):
        assert stats.pearsonr(one.flatten().numpy(), other.flatten().numpy()).pvalue > FALSE_FAILURE / 3


@pytest.mark.parametrize("kind", [MonteCarlo, CounterMonteCarlo, AntitheticMonteCarlo, QuasiMonteCarlo])
def test_an_equation_without_noise_has_paths(kind):
    (noise,) = increments_of(kind(64, 0), GRID, 0)
    assert whole(noise).shape == (GRID.steps, 64, 0)


VARIANCE_RATIOS = {
    "odd": (lambda b: b + b**3, 22.0, 0.0),
    "even": (lambda b: b**2, 2.0, 2.0),
    "b + b²": (lambda b: b + b**2, 3.0, 4 / 3),
    "exp b": (torch.exp, math.e**2 - math.e, 1 - 1 / math.e),
}


@pytest.mark.parametrize("name", VARIANCE_RATIOS)
def test_pairs_multiply_the_variance_by_one_plus_their_correlation(name):
    """Of 512 replicate means of 512 paths: σ²/512, in pairs (1 + ρ)σ²/512, by χ² tests. False-failure rate 0.001.

    An odd function has none. A variance that is off by a third is seen with probability 0.999.
    """
    function, variance, ratio = VARIANCE_RATIOS[name]
    for kind, factor in ((MonteCarlo, 1.0), (AntitheticMonteCarlo, ratio)):
        drawn = kind(2**18, 8)
        assert (drawn.replicates, drawn.per_replicate) == (512, 512)
        found = sample(lambda n: {"f": function(next(iter(n))[:, 0])}, drawn, 1, TimeGrid(0.0, 1.0, 1), LIKE)
        spread = float(np.var(found["f"], ddof=1)) * 512 / variance
        assert found.estimate("f").stderr == pytest.approx(math.sqrt(spread * variance / 2**18))
        if factor == 0:
            assert spread < 1e-25
        else:
            low, high = stats.chi2.interval(1 - FALSE_FAILURE / 2, 511)
            assert low < 511 * spread / factor < high, kind


def test_antithetic_pairs_sum_to_zero():
    sampler = AntitheticMonteCarlo(1600, 1)
    (noise,) = increments_of(sampler)
    pairs = whole(noise).view(GRID.steps, sampler.replicates, 2, -1, 2)
    assert bool((pairs[:, :, 0] == -pairs[:, :, 1]).all())
    assert len(pairs[:, :, 0].flatten().unique()) == pairs[:, :, 0].numel(), "replicates repeat one another"


def test_beyond_sobols_dimensions():
    """22,000 dimensions, 799 of them padded. χ² and correlation tests, false-failure rate 0.001 each."""
    grid, channels = TimeGrid(0.0, 1.0, 1000), 22
    sampler = QuasiMonteCarlo(16, seed=2, replicates=4)
    (noise,) = increments_of(sampler, grid, channels)
    assert whole(noise).shape == (1000, 16, 22)
    components = torch.einsum("sc,spk->pck", dense_transform(1000, "bridge"), whole(noise)) / math.sqrt(grid.dt)
    flat = components.reshape(16, -1)
    assert bool(torch.isfinite(flat).all())
    for part in (flat[:, QuasiMonteCarlo.largest_dimension :], flat[:, : QuasiMonteCarlo.largest_dimension]):
        low, high = stats.chi2.interval(1 - FALSE_FAILURE, part.numel())
        assert low < float((part**2).sum()) < high
    padded = flat[:, QuasiMonteCarlo.largest_dimension :]
    assert len(padded.flatten().unique()) == padded.numel()
    pairs = [float(stats.pearsonr(padded[i], padded[j]).pvalue) for i in range(16) for j in range(i)]
    assert min(pairs) > FALSE_FAILURE / len(pairs), "paths share their padding"


# -- nothing depends on how the work is cut up


@pytest.mark.parametrize("name", SAMPLERS)
def test_blocks_do_not_matter(name):
    reference = run(make(name, block=512))
    for block in (1, 7, 64, 4096):
        found = run(make(name, block=block))
        for key in reference.values:
            np.testing.assert_allclose(found[key], reference[key], rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", SAMPLERS)
def test_an_executor_changes_nothing(name):
    serial = run(make(name, block=128))
    with ThreadPoolExecutor(3) as executor:
        parallel = run(make(name, block=128), executor=executor)
    for key in serial.values:
        np.testing.assert_array_equal(parallel[key], serial[key])


@pytest.mark.parametrize("name", SAMPLERS)
def test_the_seed_is_all(name):
    first, again, other = run(make(name)), run(make(name)), run(make(name, seed=4))
    for key in first.values:
        np.testing.assert_array_equal(first[key], again[key])
        assert not np.intersect1d(first[key], other[key]).size
        assert len(np.unique(first[key])) == first.values[key].size, "replicates repeat one another"
    assert first.seed == 3 and other.seed == 4


@pytest.mark.parametrize("name", SAMPLERS)
def test_drawing_leaves_the_global_generator_alone(name):
    before = torch.get_rng_state()
    run(make(name))
    assert torch.equal(torch.get_rng_state(), before)


# -- importance weights


def test_widened_weights_have_mean_one_and_keep_the_answer():
    """E w = 1, E w exp(B_T) = e^{T/2}. False-failure rate 0.001."""

    def evaluate(noise: Increments) -> dict[str, Tensor]:
        assert noise.weights is not None
        return functionals(noise) | {"one": torch.ones_like(noise.weights)}

    found = sample(evaluate, QuasiMonteCarlo(2**14, 7, widen=1.4), 2, GRID, LIKE)
    assert found.estimate("one").stderr > 0
    assert agrees(found.estimate("one"), 1.0, comparisons=2)
    assert agrees(found.estimate("exp"), math.exp(1.0), comparisons=2)


def test_widening_scales_the_first_component_alone():
    plain = torch.cat([whole(n) for n in increments_of(QuasiMonteCarlo(256, 1))], 1)
    wide = torch.cat([whole(n) for n in increments_of(QuasiMonteCarlo(256, 1, widen=1.5))], 1)
    basis = dense_transform(GRID.steps, "bridge")
    plain, wide = (torch.einsum("sc,spk->cpk", basis, x) for x in (plain, wide))
    torch.testing.assert_close(wide[0], 1.5 * plain[0])
    torch.testing.assert_close(wide[1:], plain[1:])


# -- sizes and errors


@pytest.mark.parametrize("paths", [16, 17, 500, 5000])
def test_no_fewer_paths_than_asked_for(paths):
    for kind in (MonteCarlo, CounterMonteCarlo, AntitheticMonteCarlo, QuasiMonteCarlo):
        sampler = kind(paths, 0)
        assert sampler.paths >= paths
        assert sampler.paths == sampler.replicates * sampler.per_replicate
        assert sum(n.paths for n in increments_of(sampler)) == sampler.paths


@pytest.mark.parametrize(
    ("make_it", "fragments"),
    [
        (lambda: MonteCarlo(15, 0), ("paths", "at least 16", "15")),
        (lambda: CounterMonteCarlo(15, 0), ("paths", "at least 16", "15")),
        (lambda: CounterMonteCarlo(16, 2**64), ("seed", "below 2^64", "18446744073709551616")),
        (lambda: AntitheticMonteCarlo(15, 0), ("paths", "at least 16", "15")),
        (lambda: QuasiMonteCarlo(15, 0), ("paths", "at least 16", "15")),
        (lambda: QuasiMonteCarlo(64, 0, replicates=3), ("replicates", "at least 4", "3")),
        (lambda: QuasiMonteCarlo(64, 0, ordering="plain"), ("ordering", "pca", "bridge", "plain")),
        (lambda: QuasiMonteCarlo(64, 0, widen=0.9), ("widen", "from 1 to 4", "0.9")),
        (lambda: QuasiMonteCarlo(64, 0, widen=4.0), ("widen", "from 1 to 4", "4.0")),
    ],
)
def test_errors(make_it, fragments):
    with refuses(ValueError, *fragments):
        make_it()
