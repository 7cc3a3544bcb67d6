"""Brownian paths under refinement: the same path each time, the right law, and areas that belong to it.

Statistical tests have the false-failure rate of ``support``, several in one test sharing it.
"""

from __future__ import annotations

import gc
import itertools
import math

import pytest
import torch
from scipy.special import ndtri
from scipy.stats import kstest
from support import F64, FALSE_FAILURE, refuses, sech_law, z_value
from torch import Tensor

from sdewm.estimate.samples import sample
from sdewm.noise.brownian import BLOCK, BrownianPath, BrownianSampler
from sdewm.noise.grid import TimeGrid
from sdewm.noise.increments import Increments
from sdewm.noise.integrals import chen, iterated_integrals
from sdewm.solvers.loop import trajectory
from sdewm.systems.sde import FunctionSDE

PATH = BrownianPath(seed=5, paths=300, channels=3, t0=1.0, t1=3.0)


def whole(path: BrownianPath, level: int) -> Tensor:
    return torch.stack(list(path.increments(level)))


def critical(comparisons: int) -> float:
    return float(ndtri(1 - FALSE_FAILURE / (2 * comparisons)))


# --- one path ---------------------------------------------------------------------------------------------------------


def test_the_same_path_each_time():
    noise = PATH.at(4)
    assert torch.equal(torch.stack(list(noise)), torch.stack(list(noise)))
    assert torch.equal(whole(PATH, 4), whole(BrownianPath(5, 300, 3, 1.0, 3.0), 4))


@pytest.mark.parametrize("coarse, fine", [(0, 1), (0, 7), (3, 4), (2, 6)])
def test_coarse_increments_are_sums_of_fine_ones(coarse, fine):
    summed = whole(PATH, fine).unflatten(0, (2**coarse, -1)).sum(1)
    assert torch.allclose(summed, whole(PATH, coarse), rtol=0, atol=1e-14)


@pytest.mark.parametrize("first, paths", [(0, 1), (0, 299), (7, 20), (250, 30), (BLOCK, 44)])
def test_a_path_does_not_depend_on_the_others(first, paths):
    """Bit for bit, areas included, within blocks and across them."""
    part = BrownianPath(5, paths, 3, 1.0, 3.0, first=first)
    assert torch.equal(whole(part, 4), whole(PATH, 4)[:, first : first + paths])
    for (dB, A), (all_dB, all_A) in zip(part.at(2, finest=3).areas(), PATH.at(2, finest=3).areas(), strict=True):
        assert torch.equal(dB, all_dB[first : first + paths])
        assert torch.allclose(
            A, all_A[first : first + paths], rtol=0, atol=1e-14
        )  # batched products may round otherwise


def test_a_channel_does_not_depend_on_the_others():
    assert torch.equal(whole(BrownianPath(5, 300, 1, 1.0, 3.0), 4), whole(PATH, 4)[..., :1])


def test_seeds_and_nodes_differ():
    increments = torch.cat([whole(PATH, 4), whole(BrownianPath(6, 300, 3, 1.0, 3.0), 4)])
    assert len(increments.flatten().unique()) == increments.numel()


def test_streaming_holds_one_node_per_level():
    """The first of 2^50 steps is had at once, and walking 2^9 steps never holds more than a few tensors per level."""
    assert next(PATH.increments(50)).shape == (300, 3)

    def tensors() -> int:
        return sum(type(thing) is Tensor for thing in gc.get_objects())

    gc.collect()
    before = tensors()
    for i, _ in enumerate(PATH.increments(9)):
        if i % 37 == 0:
            assert tensors() - before <= 9 + 3


def test_it_is_an_increments():
    noise: Increments = PATH.at(5)
    assert (noise.steps, noise.paths, noise.channels, noise.weights) == (32, 300, 3, None)
    coarse = noise.coarsen(8)
    assert coarse.steps == 4
    assert torch.equal(torch.stack(list(coarse)), whole(PATH, 2))
    assert torch.equal(torch.stack(list(noise.coarsen(1))), whole(PATH, 5))
    sde = FunctionSDE(g=lambda t, x: torch.ones_like(x))
    *_, (_, t, x) = trajectory(sde, torch.zeros(3, dtype=F64), PATH.at(5).grid, method="euler", noise=noise)
    assert t == 3.0
    assert torch.allclose(x, whole(PATH, 0)[0])


def test_like():
    noise = PATH.at(2, finest=3, like=torch.zeros(1))
    dB, A = next(iter(noise.areas()))
    assert dB.dtype == A.dtype == next(iter(noise)).dtype == torch.float32
    assert torch.equal(dB, whole(PATH, 2)[0].float())


# --- the law ----------------------------------------------------------------------------------------------------------


def test_law_of_the_increments():
    """Means, variances, correlations in time and between channels at three levels; normality of the finest.

    20,000 paths see a variance 6 % off, or a correlation of 0.05, but for one time in a thousand.
    """
    path = BrownianPath(7, 20_000, 2, -1.0, 2.0)
    levels = (0, 1, 3)
    for level in levels:
        u = whole(path, level) / math.sqrt(3.0 / 2**level)
        columns = u.movedim(1, 0).flatten(1)
        count = columns.shape[1]
        tests = count + count * (count + 1) // 2
        for i in range(count):
            assert abs(z_value(columns[:, i], 0.0)) < critical(len(levels) * tests)
        for i, j in itertools.combinations_with_replacement(range(count), 2):
            assert abs(z_value(columns[:, i] * columns[:, j], float(i == j))) < critical(len(levels) * tests)
    finest = whole(path, 3)[:, :2000].flatten().numpy() / math.sqrt(3.0 / 8)
    assert kstest(finest, "norm").pvalue > FALSE_FAILURE


# --- areas ------------------------------------------------------------------------------------------------------------


def test_areas_are_the_same_each_time():
    noise = PATH.at(2, finest=4)
    for (dB, A), (dB2, A2), plain in zip(noise.areas(), noise.areas(), noise, strict=True):
        assert torch.equal(dB, dB2) and torch.equal(A, A2) and torch.equal(dB, plain)
        assert torch.equal(A, -A.mT)


@pytest.mark.parametrize("level", [0, 2, 4])
def test_chens_relation_between_levels(level):
    """Each area is exactly Chen's of the two below it; the finest level's are drawn."""
    fine = list(PATH.at(level + 1, finest=5).areas())
    for i, (dB, A) in enumerate(PATH.at(level, finest=5).areas()):
        (dB1, A1), (dB2, A2) = fine[2 * i : 2 * i + 2]
        assert torch.allclose(dB, dB1 + dB2, rtol=0, atol=1e-15)
        assert torch.allclose(A, chen(dB1, A1, dB2, A2), rtol=0, atol=1e-15)
    assert torch.equal(next(iter(PATH.at(level, finest=5).coarsen(2**level).areas()))[1], area_at(0))


def area_at(level: int, finest: int = 5) -> Tensor:
    return next(iter(PATH.at(level, finest=finest).areas()))[1]


def test_an_area_belongs_to_its_path():
    """The sum Σ ½(B^k ΔB^l − B^l ΔB^k) over 2^8 steps is short of the area by the fine areas: h²/4 2^−8 on the mean.

    A transposed area, or another seed's, is off by h² and h²/2.
    """
    path = BrownianPath(8, 2000, 2)
    ((_, area),) = path.at(0, finest=8).areas()
    position, summed = torch.zeros(2000, 2, dtype=F64), torch.zeros(2000, dtype=F64)
    for dB in path.increments(8):
        summed += 0.5 * (position[:, 0] * dB[:, 1] - position[:, 1] * dB[:, 0])
        position += dB
    assert abs(z_value((area[:, 0, 1] - summed) ** 2, 0.25 / 2**8)) < critical(1)
    assert ((area[:, 1, 0] - summed) ** 2).mean() > 0.5
    ((_, other),) = BrownianPath(9, 2000, 2).at(0, finest=8).areas()
    assert ((other[:, 0, 1] - summed) ** 2).mean() > 0.25


def test_law_of_the_areas_at_a_coarser_level():
    """Drawn at level 2 and combined: density sech, and variance ¼h² at every level."""
    path = BrownianPath(10, 25_000, 2, 0.0, 0.5)
    for level in (0, 1, 2):
        h = 0.5 / 2**level
        A = torch.cat([A[:, 0, 1] for _, A in itertools.islice(path.at(level, finest=2, tolerance=0.002).areas(), 1)])
        assert abs(z_value(A**2, h**2 / 4)) < critical(6)
        assert kstest(A.numpy() / h, sech_law).pvalue > FALSE_FAILURE / 6


def heisenberg(increments: list[tuple[Tensor, Tensor]], h: float) -> Tensor:
    """Milstein for dX = dB^0, dY = X dB^1, which it solves exactly where the area is the path's."""
    x = y = torch.zeros(300, dtype=F64)
    for dB, A in increments:
        y = y + x * dB[:, 1] + iterated_integrals(dB, h, A)[:, 0, 1]
        x = x + dB[:, 0]
    return y


@pytest.mark.parametrize("algorithm", ["milstein", "mrongowius-roessler"])
@pytest.mark.parametrize("level, finest", [(1, 1), (1, 3)])
def test_law_of_areas_and_integrals_together(algorithm, level, finest):
    """E A_kl J_k ΔB_l = h³/12, where J = ∫(B − B(t)) ds, and 0 where the two are drawn by themselves at this level."""
    given = BrownianPath(seed=9, paths=2**15, channels=3, t0=1.0, t1=3.0).at(level, finest=finest, algorithm=algorithm)
    (dB, area, J), (_, alone) = next(given.both_areas()), next(given.time_areas())
    A = area[:, 0, 1]
    truths = {
        "variance": (J[:, 0] ** 2, 1 / 3), "with the increment": (J[:, 0] * dB[:, 0], 1 / 2),
        "of two": (J[:, 0] * J[:, 1], 0.0), "with an area": (A * J[:, 0], 0.0),
        "with area and increment": (A * J[:, 0] * dB[:, 1], 1 / 12),
        "the other way round": (A * J[:, 1] * dB[:, 0], -1 / 12), "a third": (A * J[:, 2] * dB[:, 1], 0.0),
        "its own increment": (A * J[:, 0] * dB[:, 0], 0.0),
    }  # fmt: skip
    for what, (values, truth) in truths.items():
        assert abs(z_value(values, truth)) < critical(4 * len(truths)), what
    if level == finest:
        assert abs(z_value(A * alone[:, 0] * dB[:, 1], 1 / 12)) > 10


def test_areas_with_integrals_are_the_same_ones():
    given = PATH.at(2, finest=4, algorithm="mrongowius-roessler")
    for (dB, area), (same, again, _) in zip(given.areas(), given.both_areas(), strict=True):
        assert torch.equal(dB, same) and torch.equal(area, again)
    coarse, fine = (list(PATH.at(level, finest=4, algorithm="milstein").both_areas()) for level in (1, 2))
    for (_, _, J), (first, _, left), (_, _, right) in zip(coarse, fine[::2], fine[1::2], strict=True):
        torch.testing.assert_close(J, left + right + 0.5 * first, rtol=0, atol=1e-14)
    apart = torch.zeros(3, 3, dtype=torch.bool)
    given = PATH.at(2, finest=3, algorithm="milstein", pairs=apart)  # no areas: integrals are those by themselves
    for (_, area, J), (_, alone) in zip(given.both_areas(), given.time_areas(), strict=True):
        assert not area.any() and torch.equal(J, alone)


def test_milstein_sees_one_path_at_every_level():
    """Y(T) is the same at all levels; with no area, a transposed one or a fresh one per level it is not."""
    levels = range(6)

    def final(level: int, mutate) -> Tensor:
        return heisenberg([(dB, mutate(level, A)) for dB, A in PATH.at(level, finest=5).areas()], 2.0 / 2**level)

    exact = final(5, lambda level, A: A)
    for level in levels:
        assert torch.allclose(final(level, lambda level, A: A), exact, rtol=0, atol=1e-13)
    generator = torch.Generator().manual_seed(0)
    mutants = {
        "none": lambda level, A: 0 * A,
        "transposed": lambda level, A: A.mT,
        "fresh": lambda level, A: A[torch.randperm(len(A), generator=generator)],
    }
    for mutate in mutants.values():
        for level in levels:
            h = 2.0 / 2**level
            # The mistakes have mean squares of at least T h/4; 300 paths find more than a tenth of that.
            assert ((final(level, mutate) - exact) ** 2).mean() > 0.1 * 2.0 * h / 4


def test_strong_order_one_for_noise_that_does_not_commute():
    """Milstein on dX^k = 0.8 √(1 + (X^{3−k})²) dB^k, against the same paths at level 9: order 1, told from ½.

    At eight other seeds the slope over these large steps, with 1,024 paths, was 0.95 with a standard deviation of 0.04:
    the bounds are five of them away. The mistakes' slopes were 0.41 to 0.54.
    """
    paths, finest, levels = 1024, 9, range(2, 6)
    path = BrownianPath(12, paths, 2)
    walks = {level: list(path.at(level, finest=finest).areas()) for level in (*levels, finest)}
    start = torch.full((paths, 2), 0.5, dtype=F64)

    def diffusion(x: Tensor) -> Tensor:
        return 0.8 * (1 + x.flip(1) ** 2).sqrt()

    def along(x: Tensor) -> Tensor:
        """Of each component's diffusion, its derivative along the other channel's: the commutator, up to a sign."""
        return 0.64 * x.flip(1) / diffusion(x) * diffusion(x).flip(1)

    def final(level: int, mutate) -> Tensor:
        x = start
        for dB, A in walks[level]:
            I = iterated_integrals(dB, 2.0**-level, mutate(A))  # noqa: E741
            x = x + diffusion(x) * dB + along(x) * torch.stack([I[:, 1, 0], I[:, 0, 1]], 1)
        return x

    assert along(start).abs().min() > 0.3
    reference = final(finest, lambda A: A)
    generator = torch.Generator().manual_seed(0)

    def slope(mutate) -> float:
        squares = torch.stack([(final(level, mutate) - reference).square().sum(1).mean() for level in levels])
        centred = torch.arange(len(levels), dtype=F64) - (len(levels) - 1) / 2
        return -float(centred @ (0.5 * squares.log2()) / (centred @ centred))

    assert 0.75 < slope(lambda A: A) < 1.15
    for mutate in (lambda A: 0 * A, lambda A: A.mT, lambda A: A[torch.randperm(len(A), generator=generator)]):
        assert slope(mutate) < 0.7


def test_pairs():
    pairs = torch.zeros(3, 3, dtype=torch.bool)
    pairs[0, 2] = True
    unwanted = ~(pairs | pairs.mT)
    for level in (1, 3):
        for dB, A in PATH.at(level, finest=3, pairs=pairs).areas():
            assert torch.equal(A[:, unwanted], torch.zeros(len(A), 7, dtype=F64))
            assert A[:, 0, 2].abs().min() > 0
            assert dB.shape == (300, 3)


# --- a sampler --------------------------------------------------------------------------------------------------------


def test_a_sampler_draws_the_seeds_own_paths():
    """Replicate by replicate the paths and areas of one BrownianPath, whatever their number, and coarsened by Chen."""
    sampler, grid, like = BrownianSampler(2100, seed=5), TimeGrid(1.0, 3.0, 4), torch.zeros(3, dtype=torch.float32)
    assert (sampler.replicates, sampler.per_replicate, sampler.paths) == (32, 66, 2112)
    (noise,) = sampler.draw([2, 3], 3, grid, like)
    path = BrownianPath(5, 132, 3, 1.0, 3.0, first=132)
    for factor in (1, 2):
        pairs = zip(noise.coarsen(factor).areas(), path.at(2, finest=2).coarsen(factor).areas(), strict=True)
        for (dB, area), (dB2, area2) in pairs:
            assert dB.dtype == area.dtype == torch.float32
            assert torch.equal(dB, dB2.float()) and torch.equal(area, area2.float())
    pairs_wanted = torch.zeros(3, 3, dtype=torch.bool)
    pairs_wanted[0, 2] = True
    (some,) = BrownianSampler(16, 5, pairs=pairs_wanted).draw(range(8), 3, grid, like)
    for _, area in some.areas():
        assert (area[:, 0, 1] == 0).all() and (area[:, 0, 2] != 0).all()


def test_blocks_of_a_sampler_do_not_matter():
    def moments(noise: Increments) -> dict[str, Tensor]:
        return {"area": sum(area[:, 0, 1] * dB[:, 0] ** 2 for dB, area in noise.areas())}

    one, other = (
        sample(moments, BrownianSampler(600, 1, block=block), 2, TimeGrid(0.0, 1.0, 8), torch.zeros(2, dtype=F64))
        for block in (10, 10_000)
    )
    assert abs(one["area"] - other["area"]).max() < 1e-15 and one["area"].shape == (32,)


# --- refusals ---------------------------------------------------------------------------------------------------------


def drawn(replicates, grid: TimeGrid):
    return next(BrownianSampler(64, 0).draw(replicates, 2, grid, torch.zeros(2)))


@pytest.mark.parametrize(
    "call, fragments",
    [
        (lambda: BrownianPath(-1, 2, 2), ["seed: expected an integer of at least 0, got -1"]),
        (lambda: BrownianPath(1, 0, 2), ["paths: expected an integer of at least 1, got 0"]),
        (lambda: BrownianPath(1, 2, 1.5), ["channels: expected an integer of at least 1, got 1.5"]),
        (lambda: BrownianPath(1, 2, 2, first=-3), ["first: expected an integer of at least 0, got -3"]),
        (lambda: BrownianPath(1, 2, 2, 1.0, 1.0), ["t0, t1: expected finite times", "got t0=1.0, t1=1.0"]),
        (lambda: PATH.at(51), ["level: expected an integer from 0 to 50, got 51"]),
        (lambda: PATH.at(3, finest=2), ["finest: expected an integer from 3 to 50, got 2"]),
        (lambda: next(PATH.at(3).areas()), ["finest: expected a level of at least 3", "got None"]),
        (lambda: next(PATH.at(3).both_areas()), ["finest: expected a level of at least 3", "got None"]),
        (
            lambda: next(PATH.at(3, finest=3, algorithm="wiktorsson").both_areas()),
            ['algorithm: expected "milstein" or "mrongowius-roessler"', "got 'wiktorsson'"],
        ),
        (lambda: PATH.at(3).coarsen(3), ["factor: expected a divisor of 8 steps, got 3"]),
        (lambda: BrownianSampler(8, 0), ["paths: expected an integer of at least 16, got 8"]),
        (lambda: drawn(range(8), TimeGrid(0.0, 1.0, 6)), ["grid: expected a power of two of steps", "got 6"]),
        (lambda: drawn([0, 2], TimeGrid(0.0, 1.0, 8)), ["chosen: expected consecutive numbers, got [0, 2]"]),
    ],
)
def test_errors(call, fragments):
    with refuses(ValueError, *fragments):
        call()
