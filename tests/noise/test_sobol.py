"""Scrambled Sobol points: nets whose every point is uniform, in integers, and finite normal numbers for all of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from support import F64, FALSE_FAILURE, refuses

from sdewm.noise.grid import TimeGrid
from sdewm.noise.samplers import AntitheticMonteCarlo, CounterMonteCarlo, MonteCarlo, QuasiMonteCarlo, _stream_seed
from sdewm.noise.sobol import BITS, MAX_DIMENSION, ScrambledSobol, _split_mix, normals, pseudo_random_normals

LAST = 2**BITS - 1


@pytest.fixture(params=[torch.float32, torch.float64])
def default_dtype(request):
    before = torch.get_default_dtype()
    torch.set_default_dtype(request.param)
    yield request.param
    torch.set_default_dtype(before)


# -- the numbers are finite


def test_the_outermost_points_have_finite_quantiles(default_dtype):
    """No seed need be met that draws them: the map itself is asked, and it is odd about the middle."""
    points = torch.tensor([0, 1, 2**29 - 1, 2**29, LAST - 1, LAST], dtype=torch.int32)
    found = normals(points)
    assert found.dtype == F64 and bool(torch.isfinite(found).all())
    expected = torch.from_numpy(stats.norm.ppf((points[:3].double().numpy() + 0.5) / 2**30))
    torch.testing.assert_close(found[:3], expected, rtol=1e-13, atol=0)
    torch.testing.assert_close(found[3:], -found[:3].flip(0), rtol=1e-7, atol=0)  # 1 − u has 16 digits, and no more


@pytest.mark.parametrize("seed, replicate", [(20167, 8), (20171, 13)])
def test_points_that_single_precision_rounds_to_one(seed, replicate, default_dtype):
    """Streams of 8 × 512 dimensions in which torch's own first point, in single precision, has a coordinate of 1."""
    stream = _stream_seed(seed, replicate)
    shift = torch.quasirandom.SobolEngine(8 * 512, scramble=True, seed=stream).shift
    assert int(shift.max()) < 2**30 and float((shift.double() / 2**30).float().max()) == 1
    assert bool(torch.isfinite(normals(shift)).all())
    assert bool(torch.isfinite(normals(ScrambledSobol(8 * 512, stream).points(0, 16))).all())


def test_many_seeds_stay_off_the_ends():
    for seed in range(500):
        points = ScrambledSobol(64, seed).points(0, 8)
        assert 0 <= int(points.min()) and int(points.max()) <= LAST
        assert bool(torch.isfinite(normals(points)).all())


@pytest.mark.parametrize(
    "make",
    [
        lambda: QuasiMonteCarlo(64, 3, ordering="bridge"),
        lambda: QuasiMonteCarlo(64, 3, ordering="pca", widen=1.3),
        lambda: MonteCarlo(64, 3),
        lambda: AntitheticMonteCarlo(64, 3),
        lambda: CounterMonteCarlo(64, 3),
    ],
)
def test_increments_do_not_know_the_default_dtype(make):
    like, grid = torch.zeros((), dtype=F64), TimeGrid(0.0, 1.0, 11)
    drawn = []
    for dtype in (torch.float32, torch.float64):
        before = torch.get_default_dtype()
        torch.set_default_dtype(dtype)
        try:
            drawn.append(torch.cat([torch.stack(list(n)) for n in make().draw(range(4), 3, grid, like)], 1))
        finally:
            torch.set_default_dtype(before)
    assert drawn[0].dtype == F64 and torch.equal(*drawn)


# -- they are Sobol's


def test_without_a_scramble_they_are_torchs():
    plain, ours = torch.quasirandom.SobolEngine(40), ScrambledSobol(40, 0)
    ours._directions, ours._shift = plain.sobolstate.int(), torch.zeros(40, dtype=torch.int32)
    found = torch.cat([ours.points(first, 16) for first in range(0, 256, 16)], 1)
    assert torch.equal(found, (plain.draw(256, dtype=F64) * 2**30).int().T)


def test_any_cut_gives_the_same_points():
    whole = ScrambledSobol(7, 1).points(0, 64)
    for count in (1, 2, 8, 32):
        parts = [ScrambledSobol(7, 1).points(first, count) for first in range(0, 64, count)]
        assert torch.equal(torch.cat(parts, 1), whole)


def test_any_dimensions_have_the_points_that_they_have_among_all():
    whole = ScrambledSobol(300, 1).points(64, 64)
    for some in ([0], [299], [5, 7, 8, 200], [7, 5], list(range(300)), []):
        dimensions = torch.tensor(some, dtype=torch.int64)
        assert torch.equal(ScrambledSobol(300, 1).points(64, 64, dimensions), whole[dimensions])


def test_the_first_points_do_not_depend_on_how_many_there_are():
    few = ScrambledSobol(40, 1, bits=5)
    assert torch.equal(few.points(0, 32), ScrambledSobol(40, 1).points(0, 32))
    assert torch.equal(few.points(24, 8), ScrambledSobol(40, 1).points(24, 8))
    for first, count in ((32, 1), (0, 64), (-8, 8)):
        with refuses(ValueError, "expected points below 32", str(first), str(count)):
            few.points(first, count)


@pytest.mark.parametrize("seed", range(3))
def test_scrambled_points_are_a_net(seed):
    """2^8 points: one in each interval of length 2^-8 of every dimension, and, of the first two dimensions, which are
    the best, one in each of the 2^8 rectangles of every shape. No scramble may spoil that."""
    points = ScrambledSobol(300, seed).points(256, 256)
    cells = torch.arange(256, dtype=torch.int32)
    assert bool(((points >> 22).sort(1).values == cells).all())
    for wide in range(9):
        rectangle = (points[0] >> (BITS - wide)) * 2 ** (8 - wide) + (points[1] >> (22 + wide))
        assert bool((rectangle.sort().values == cells).all())


def test_a_scramble_is_uniform():
    """Each point is uniform, and beyond the first digit two neighbours are independent. False-failure rate 0.001."""
    first, second = (
        torch.stack([ScrambledSobol(16, seed).points(0, 2)[:, i] for seed in range(400)]) for i in range(2)
    )
    for point in (first, second):
        uniform = ((point.double() + 0.5) / 2**30).flatten().numpy()
        assert stats.kstest(uniform, "uniform").pvalue > FALSE_FAILURE / 33
    between = first ^ second
    assert bool((between >> 29 == 1).all())
    n = between.numel()
    low, high = stats.binom.interval(1 - FALSE_FAILURE * 31 / 33 / 29, n, 0.5)
    for bit in range(29):
        assert low <= int((between >> bit & 1).sum()) <= high, bit


@pytest.mark.parametrize("first, count", [(0, 3), (4, 8), (0, 0), (2, -2)])
def test_blocks_that_are_not_aligned_are_refused(first, count):
    with refuses(ValueError, "count: expected a power of two that divides first", str(count)):
        ScrambledSobol(2, 0).points(first, count)


def test_the_last_dimension_is_there():
    points = ScrambledSobol(MAX_DIMENSION, 0).points(0, 4)
    assert points.shape == (MAX_DIMENSION, 4)
    assert bool(((points >> 28).sort(1).values == torch.arange(4, dtype=torch.int32)).all())


# -- beyond Sobol's dimensions


def test_the_pseudo_random_numbers_are_split_mix():
    """The known answers of Vigna's reference implementation for the seed 1234567."""
    found = _split_mix(np.uint64(1234567), np.arange(5, dtype=np.uint64))
    expected = [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]
    assert found.tolist() == expected


def test_pseudo_random_numbers_depend_on_key_dimension_and_point_alone():
    dimensions = torch.tensor([3, 30_000, 10**9])
    whole = pseudo_random_normals(2**64 - 1, 0, 64, dimensions)
    parts = torch.cat(
        [pseudo_random_normals(2**64 - 1, first, 16, dimensions.flip(0)) for first in range(0, 64, 16)], 1
    )
    assert torch.equal(parts.flip(0), whole)
    other = pseudo_random_normals(2**63, 0, 64, dimensions)
    assert len(torch.cat([whole, other]).unique()) == 2 * whole.numel()


def test_pseudo_random_numbers_are_independent_normals():
    """Kolmogorov-Smirnov of all; correlations and those of squares, of each dimension, each point and each key with
    the next. False-failure rate 0.001."""
    z = torch.stack([pseudo_random_normals(key, 512, 256, torch.arange(21_201, 21_457)) for key in (4, 5)])
    assert stats.kstest(z.flatten().numpy(), "norm").pvalue > FALSE_FAILURE / 7
    for values in (z, z**2):
        for axis in range(3):
            n = values.shape[axis] - 1
            one, other = (values.narrow(axis, start, n).flatten().numpy() for start in (0, 1))
            assert stats.pearsonr(one, other).pvalue > FALSE_FAILURE / 7, axis


@pytest.mark.parametrize("mixed", [0, 2**64 - 1])
def test_the_outermost_pseudo_random_numbers_are_finite(mixed, monkeypatch):
    monkeypatch.setattr("sdewm.noise.sobol._split_mix", lambda key, place: np.full_like(place, mixed))
    assert bool(torch.isfinite(pseudo_random_normals(0, 0, 1, torch.tensor([0]))).all())
