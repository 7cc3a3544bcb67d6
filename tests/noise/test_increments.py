"""Brownian increments: their law, and that nothing depends on how the work is cut up."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from support import F64, FALSE_FAILURE, agrees, refuses
from torch import Tensor

from sdewm.estimate.samples import Sample, sample
from sdewm.noise.components import ORDERINGS, Stretch, unit_increments
from sdewm.noise.grid import TimeGrid
from sdewm.noise.increments import BridgeIncrements, Increments, StoredIncrements, StreamedIncrements
from sdewm.noise.samplers import AntitheticMonteCarlo, CounterMonteCarlo, MonteCarlo, QuasiMonteCarlo, Sampler

LIKE = torch.zeros((), dtype=F64)
GRID = TimeGrid(0.0, 2.0, 8)


class FewSobolDimensions(QuasiMonteCarlo):
    """Pads soon: only the first five dimensions are Sobol's."""

    largest_dimension = 5


class NeverStored(FewSobolDimensions):
    stored_bytes = 0


SAMPLERS = {
    "mc": lambda seed, block: MonteCarlo(2000, seed, block=block),
    "antithetic": lambda seed, block: AntitheticMonteCarlo(2000, seed, block=block),
    "counter": lambda seed, block: CounterMonteCarlo(2000, seed, block=block),
    "bridge": lambda seed, block: QuasiMonteCarlo(2048, seed, block=block),
    "pca": lambda seed, block: QuasiMonteCarlo(2048, seed, ordering="pca", block=block),
    "widened": lambda seed, block: QuasiMonteCarlo(2048, seed, widen=1.4, block=block),
    "padded": lambda seed, block: FewSobolDimensions(2048, seed, block=block),
    "streamed": lambda seed, block: NeverStored(2048, seed, widen=1.2, block=block),
}


def make(name: str, seed: int = 3, block: int = 2048) -> Sampler:
    return SAMPLERS[name](seed, block)


def increments_of(sampler: Sampler, grid: TimeGrid = GRID, channels: int = 2) -> Iterator[Increments]:
    return sampler.draw(range(sampler.replicates), channels, grid, LIKE)


def whole(noise: Increments) -> Tensor:
    return torch.stack(list(noise))


def functionals(noise: Increments) -> dict[str, Tensor]:
    """Of the end, E exp(B_T) = e^{T/2}, and of every single increment."""
    values = whole(noise)
    return {"exp": values.sum(0)[:, 0].exp(), "every": (values.exp() + values**3).sum((0, 2))}


def run(sampler: Sampler, **options) -> Sample:
    return sample(functionals, sampler, 2, GRID, LIKE, **options)


# -- the grid


def test_grid_times_and_indices():
    grid = TimeGrid(-1.0, 2.0, 30)
    assert grid.dt == pytest.approx(0.1)
    assert grid.time(0) == -1.0 and grid.time(30) == 2.0
    assert [grid.index(grid.time(i)) for i in range(31)] == list(range(31))
    assert grid.coarsen(3) == TimeGrid(-1.0, 2.0, 10)


@pytest.mark.parametrize(
    ("arguments", "fragments"),
    [
        ((1.0, 1.0, 4), ("t0, t1", "t0 < t1", "t0=1.0, t1=1.0")),
        ((0.0, math.inf, 4), ("t1", "finite", "inf")),
        ((math.nan, 1.0, 4), ("t0", "finite", "nan")),
        ((0.0, 1.0, 0), ("steps", "integer of at least 1", "0")),
        ((0.0, 1.0, -3), ("steps", "integer of at least 1", "-3")),
        ((0.0, 1.0, 2.5), ("steps", "integer of at least 1", "2.5")),
        ((1.7e9, 1.7e9 + 1, 2**20), ("steps", "2.4e-07 apart", "1048576 steps of 9.5e-07", "count time from 0")),
    ],
)
def test_grid_errors(arguments, fragments):
    with refuses(ValueError, *fragments):
        TimeGrid(*arguments)


@pytest.mark.parametrize("t", [0.1, -0.25, 2.25])
def test_times_off_the_grid_are_refused(t):
    with refuses(ValueError, "t:", "on the grid from 0 to 2 in steps of 0.25", f"{t:g}"):
        GRID.index(t)


@given(
    t0=st.one_of(st.just(0.0), st.floats(-1e10, 1e10), st.floats(-1e-10, 1e-10)),
    span=st.floats(-12, 12),
    steps=st.integers(1, 4096),
    part=st.floats(0.0, 1.0),
    off=st.floats(1e-4, 0.5),
)
def test_whatever_the_scale_times_on_a_grid_are_found_and_times_beside_them_refused(t0, span, steps, part, off):
    try:
        grid = TimeGrid(t0, t0 + 10.0**span, steps)
    except ValueError:  # no such grid in double precision
        return
    i = round(part * steps)
    assert grid.index(grid.time(i)) == i
    assert grid.index(math.nextafter(grid.time(i), math.inf)) == i
    digit = math.ulp(max(abs(grid.t0), abs(grid.t1)))
    for t in (grid.time(i) + off * grid.dt, grid.time(i) - off * grid.dt):
        if abs(t - grid.time(i)) > 1e-5 * grid.dt + 6 * digit:
            with pytest.raises(ValueError, match="t: expected a time on the grid"):
                grid.index(t)


@pytest.mark.parametrize("factor", [0, 3, -2])
def test_grids_that_do_not_divide_are_refused(factor):
    with refuses(ValueError, "factor", "8 steps", str(factor)):
        GRID.coarsen(factor)


# -- components into increments


def dense_transform(steps: int, ordering: str) -> Tensor:
    """Unit increments of each component as a column, by the definitions: eigenvectors, and midpoints one by one."""
    if ordering == "pca":
        times = np.arange(1, steps + 1) / steps
        eigenvalues, vectors = np.linalg.eigh(np.minimum.outer(times, times))
        paths = vectors[:, ::-1] * np.sqrt(np.maximum(eigenvalues[::-1], 0.0) * steps)
        # Rounding in the smallest eigenvalues is amplified by the difference; the nearest orthogonal matrix mends it.
        left, _, right = np.linalg.svd(np.diff(paths, axis=0, prepend=0.0))
        dense = left @ right
        return torch.from_numpy(dense * np.sign(dense[0]))  # an eigenvector's sign is anyone's
    columns, level = [np.full(steps, 1 / math.sqrt(steps))], [(0, steps)]
    while level:
        deeper = []
        for start, stop in level:
            if stop - start < 2:
                continue
            middle = (start + stop) // 2
            a, b = middle - start, stop - middle
            column = np.zeros(steps)
            column[start:middle], column[middle:stop] = math.sqrt(b / (a * (a + b))), -math.sqrt(a / (b * (a + b)))
            columns.append(column)
            deeper += [(start, middle), (middle, stop)]
        level = deeper
    return torch.from_numpy(np.stack(columns, 1))


@pytest.mark.parametrize("steps", [1, 2, 3, 5, 7, 16, 33, 100, 128, 511])
@pytest.mark.parametrize("ordering", ORDERINGS)
def test_the_fast_transforms_are_the_dense_ones(steps, ordering):
    fast = unit_increments(torch.eye(steps, dtype=F64), ordering)
    if ordering == "bridge" or steps <= 16:  # an eigenvector is as wrong as its eigenvalue's neighbours are close
        torch.testing.assert_close(fast, dense_transform(steps, ordering), rtol=0, atol=1e-12)
    torch.testing.assert_close(fast.T @ fast, torch.eye(steps, dtype=F64), rtol=0, atol=1e-13)
    # Whatever axes follow the first.
    z = torch.randn(steps, 3, 2, generator=torch.Generator().manual_seed(steps), dtype=F64)
    expected = torch.einsum("sc,ckp->skp", fast, z)
    torch.testing.assert_close(unit_increments(z, ordering), expected, rtol=0, atol=1e-13 * steps**0.5)


@pytest.mark.parametrize("steps", [7, 16])
def test_bridge_starts_with_the_end_point(steps):
    """The end of the path is the first component, and no other component moves it."""
    ends = unit_increments(torch.eye(steps, dtype=F64), "bridge").sum(0)
    expected = torch.zeros(steps, dtype=F64)
    expected[0] = math.sqrt(steps)
    torch.testing.assert_close(ends, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("steps", [1, 12, 100, 511])
def test_principal_components_diagonalize_the_paths_covariance_in_descending_order(steps):
    """With orthogonality and distinct eigenvalues this leaves nothing but signs open."""
    paths = unit_increments(torch.eye(steps, dtype=F64), "pca").cumsum(0)
    covariance = paths.T @ paths
    torch.testing.assert_close(covariance, covariance.diagonal().diag(), rtol=0, atol=1e-14 * steps**2)
    assert bool((covariance.diagonal().diff() < 0).all())


@pytest.mark.parametrize("ordering", ORDERINGS)
def test_a_million_steps_are_transformed_in_seconds(ordering):
    """A dense transform would need 8 terabytes. Orthogonal, so the sum of squares stays: to rounding."""
    z = torch.randn(10**6, 1, generator=torch.Generator().manual_seed(0), dtype=F64)
    unit = unit_increments(z, ordering)
    assert float((unit**2).sum()) == pytest.approx(float((z**2).sum()), rel=1e-12)


@pytest.mark.parametrize("steps", [1, 2, 3, 5, 16, 17, 100, 511, 513])
@pytest.mark.parametrize("at_once", [2, 3, 8, 64, 1000])
def test_a_bridge_made_in_stretches_is_the_whole_one(steps, at_once):
    """To the last bit; each component is asked for once, and no more is held than was asked for."""
    z = torch.randn(steps, 3, 5, generator=torch.Generator().manual_seed(steps), dtype=F64)
    asked: list[Tensor] = []

    def components(numbers: Tensor) -> Tensor:
        assert len(numbers) <= at_once and bool((numbers.diff() > 0).all())
        asked.append(numbers)
        return z[numbers]

    parts = list(Stretch(steps, steps).increments(components, at_once))
    assert torch.equal(torch.cat(parts), unit_increments(z, "bridge"))
    assert max(map(len, parts)) <= at_once
    assert torch.cat(asked).sort().values.tolist() == list(range(steps))


def test_a_bridge_asks_for_components_when_their_time_comes():
    """Of 10^6 steps the first hundred need five goes: the end, and four divisions into 100 stretches or fewer."""
    asked: list[int] = []

    def components(numbers: Tensor) -> Tensor:
        asked.append(len(numbers))
        return torch.ones(len(numbers), 1, dtype=F64)

    steps = Stretch(10**6, 10**6).increments(components, 100)
    assert 50 <= len(next(steps)) <= 100
    assert asked[0] == 1 and len(asked) == 5 and sum(asked) < 300


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
def test_errors(make_it, fragments):
    with refuses(ValueError, *fragments):
        make_it()
