"""What a step takes beside increments, by any sampler: areas by their moments, and integrals over time."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from support import F64, refuses
from torch import Tensor

from benchmarks import weak_order
from sdewm import BrownianSampler, FunctionSDE, PerturbedSDE, TimeGrid, expand, taylor_test
from sdewm.noise import AntitheticMonteCarlo, MonteCarlo, QuasiMonteCarlo
from sdewm.noise.further_channels import FurtherChannels, MomentAreas, TimeIntegrals
from sdewm.solvers.sampling import sampler_for
from sdewm.solvers.schemes.platen_weak import PlatenWeak2
from sdewm.solvers.structure import NoiseStructure

GRID = TimeGrid(0.0, 1.0, 4)
X0 = torch.tensor([0.3, -0.2], dtype=F64)
CROSSED = FunctionSDE(lambda t, x: -x, lambda t, x: 0.4 * torch.sqrt(1 + x.flip(-1) ** 2))
FAMILY = PerturbedSDE(CROSSED, FunctionSDE(lambda t, x: x, lambda t, x: torch.tanh(x)))
SAMPLERS = [MonteCarlo(2**14, 0), AntitheticMonteCarlo(2**14, 0), QuasiMonteCarlo(2**14, 0)]


def loss(x: Tensor) -> Tensor:
    return torch.tanh(x).sum(-1)


def drawn(sampler, made, channels=2, grid=GRID):
    return list(FurtherChannels(sampler, made).draw(range(sampler.replicates), channels, grid, X0))


@pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda s: type(s).__name__)
def test_areas_have_their_moments(sampler):
    blocks = [list(block.moment_areas()) for block in drawn(sampler, MomentAreas, channels=3)]
    for step in range(GRID.steps):
        dB, A = (torch.cat([block[step][i] for block in blocks]) for i in (0, 1))
        assert torch.equal(A, -A.mT) and dB.shape[1] == 3
        upper = A[:, *torch.triu_indices(3, 3, 1)]
        every = torch.cat([dB / GRID.dt**0.5, upper / (0.5 * GRID.dt)], 1)
        torch.testing.assert_close(every.mT @ every / len(every), torch.eye(6, dtype=F64), rtol=0, atol=0.06)
        assert float(every.mean(0).abs().max()) < 0.04
        # Of third order too: (ΔB_k ΔB_l A_kl has the mean 0).
        assert float((dB[:, 0] * dB[:, 1] * A[:, 0, 1]).mean().abs()) < 0.05 * GRID.dt**2


@pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda s: type(s).__name__)
def test_integrals_over_time_are_of_the_motion_itself(sampler):
    """Variance Δt³/3 and covariance Δt²/2 with the increment, on the grid and on a coarser one of the same path."""
    fine = drawn(sampler, TimeIntegrals)
    for blocks, dt in ((fine, GRID.dt), ([block.coarsen(2) for block in fine], 2 * GRID.dt)):
        walked = [list(block.time_areas()) for block in blocks]
        assert [len(steps) for steps in walked] == [round(1 / dt)] * len(blocks)
        for step in range(len(walked[0])):
            dB, I = (torch.cat([steps[step][i] for steps in walked])[:, 0] for i in (0, 1))  # noqa: E741
            for found, expected in (((dB * dB).mean(), dt), ((dB * I).mean(), dt**2 / 2), ((I * I).mean(), dt**3 / 3)):
                assert float(found) == pytest.approx(expected, rel=0.06)
    one, two = list(fine[0].time_areas())[:2]
    (dB, both), *_ = fine[0].coarsen(2).time_areas()
    torch.testing.assert_close(both, one[1] + two[1] + GRID.dt * one[0])
    torch.testing.assert_close(dB, next(iter(fine[0].coarsen(2))))
    assert torch.equal(next(iter(fine[0])), one[0])


def test_increments_and_weights_are_those_of_the_sampler():
    wide = QuasiMonteCarlo(2**10, 0, widen=1.3)
    [*blocks] = drawn(wide, MomentAreas)
    assert all(block.weights is not None for block in blocks)
    first, *_ = drawn(AntitheticMonteCarlo(32, 0), MomentAreas)
    assert first.mirrored and not drawn(MonteCarlo(32, 0), MomentAreas)[0].mirrored
    coarse = first.coarsen(2)
    assert (coarse.steps, coarse.paths, coarse.channels) == (2, 32, 2)
    two = list(first)
    torch.testing.assert_close(next(iter(coarse)), two[0] + two[1])


def test_what_is_drawn_for_which_method():
    plain = MonteCarlo(64, 0)
    scalar = FunctionSDE(lambda t, x: -x, lambda t, x: x)
    assert sampler_for(plain, CROSSED, X0, GRID, method="euler") is plain
    assert sampler_for(plain, scalar, X0, GRID, method="platen-weak") is plain
    assert sampler_for(plain, CROSSED, X0, GRID, method="milstein") is plain
    assert sampler_for(plain, CROSSED, X0, GRID, method="platen-weak").made is MomentAreas
    assert sampler_for(plain, scalar, X0, GRID, method="sra1").made is TimeIntegrals
    brownian = BrownianSampler(64, 0)
    assert sampler_for(brownian, CROSSED, X0, GRID, method="platen-weak") is brownian


def test_paths_by_moments_are_for_weak_schemes_alone():
    with refuses(ValueError, "noise: 'milstein' needs Lévy areas"):
        expand(FAMILY, loss, X0, GRID, method="milstein", paths=64)


@pytest.mark.parametrize("sampler", ["rqmc", "mc", "antithetic"])
def test_expansions_by_moments_agree_with_those_of_brownian_paths(sampler):
    one = expand(FAMILY, loss, X0, GRID, method="platen-weak", paths=2**12, sampler=sampler)
    other = expand(FAMILY, loss, X0, GRID, method="platen-weak", sampler=BrownianSampler(2**14, seed=1))
    for name in ("loss0", "first", "second"):
        a, b = getattr(one, name), getattr(other, name)
        assert abs(a.mean - b.mean) < 4 * math.hypot(a.stderr, b.stderr) + 2e-3, name  # they are other schemes


@pytest.mark.parametrize("method", ["sra1", "taylor-1.5"])
def test_schemes_that_take_integrals_over_time_expand_by_any_sampler(method):
    family = PerturbedSDE(
        FunctionSDE(lambda t, x: torch.sin(x), lambda t, x: 0.3 + 0 * x),
        FunctionSDE(lambda t, x: x, lambda t, x: 1 + 0 * x),
    )
    quasi = expand(family, loss, X0, GRID, method=method, paths=2**12)
    plain = expand(family, loss, X0, GRID, method=method, sampler=BrownianSampler(2**14, seed=1))
    for name in ("loss0", "first", "second"):
        a, b = getattr(quasi, name), getattr(plain, name)
        assert abs(a.mean - b.mean) < 4 * math.hypot(a.stderr, b.stderr), name
    assert quasi.loss0.stderr < 0.2 * plain.loss0.stderr
    test = taylor_test(family, loss, X0, GRID, method=method, paths=128)
    assert "not as" not in str(test) and str(test).count("as expected") >= 6, str(test)


# -- the weak order, without sampling


def moment_error(steps: int, size: float) -> float:
    """The error of E x_1² that the scheme makes, its mean over increments and areas of this size taken exactly.

    A step of a linear equation is linear in the state, and so is that of the second moments.
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(6)
    z = torch.tensor(list(itertools.product(nodes, nodes)), dtype=F64)
    w = torch.outer(*[torch.from_numpy(weights / weights.sum())] * 2).flatten()
    h, t = 1 / steps, torch.zeros((), dtype=F64)
    scheme = PlatenWeak2(NoiseStructure.assume("general", 2)).prepare(
        weak_order.SDE, weak_order.START, TimeGrid(0.0, 1.0, steps)
    )
    once = torch.zeros(4, 4, dtype=F64)
    for sign in (-1.0, 1.0):
        area = sign * size * h * torch.tensor([[0.0, 1.0], [-1.0, 0.0]], dtype=F64).expand(len(z), 2, 2)
        columns = [
            scheme.step(weak_order.SDE, t, h, unit.expand(len(z), 2), math.sqrt(h) * z, area)
            for unit in torch.eye(2, dtype=F64)
        ]
        matrix = torch.stack(columns, -1)
        once += 0.5 * torch.einsum("p,pij,pkl->ikjl", w, matrix, matrix).reshape(4, 4)
    moments = torch.linalg.matrix_power(once, steps) @ torch.outer(weak_order.START, weak_order.START).flatten()
    return float(moments[0]) - weak_order.truth()


def test_the_order_is_two_with_these_moments_and_no_others():
    """Of the benchmark's problem: areas of variance ¼ Δt² give order 2; others, or none, give 1."""
    for size, low, high in ((0.5, 1.95, 2.05), (0.45, 0.5, 1.6), (0.0, 0.5, 1.6)):
        coarse, fine = moment_error(16, size), moment_error(32, size)
        assert low < math.log2(coarse / fine) < high, size


def test_the_benchmark_measures_that_order():
    found = weak_order.measure("rqmc", QuasiMonteCarlo(weak_order.PATHS, 0))
    for steps, error, stderr in zip(weak_order.STEPS, found["errors"], found["stderrs"], strict=True):
        assert abs(error - moment_error(steps, 0.5)) < 4 * stderr
    assert abs(found["order"] - 2) < 0.1 + 3 * found["order stderr"]
