"""Faults of coefficients, losses and times that do not show at the start."""

import pytest
import torch
from support import F64, refuses

from sdewm import FunctionSDE, PerturbedSDE, SummedLoss, TimeGrid, expand, solve, to_ito

GRID = TimeGrid(0.0, 1.0, 8)
ERROR = FunctionSDE(lambda t, x: torch.ones_like(x))


def diffusion(t, x):
    return 0.1 + 0 * x


def square(x):
    return x.square().sum(-1)


LATER = {
    "mean over paths": (lambda x: x - x.mean(0), "base.f: expected one row per path"),
    "random": (torch.rand_like, "base.f: expected the same value whenever it is asked"),
    "single precision": (lambda x: x.float(), "base.f: expected torch.float64"),
    "one column": (lambda x: x[:, :1], "base.f: expected shape (paths, 2)"),
}


@pytest.mark.parametrize("after", [0.5, 0.8])
@pytest.mark.parametrize("name", LATER)
def test_a_coefficient_that_goes_wrong_later(name, after):
    other, message = LATER[name]
    base = FunctionSDE(lambda t, x: -x if float(t) < after else other(x), diffusion)
    with refuses(ValueError, message):
        expand(PerturbedSDE(base, ERROR), square, [1.0, 2.0], GRID, paths=16)


@pytest.mark.parametrize("calls", [1, 7, 15])
def test_a_count_of_calls_is_said_once_it_tells(calls):
    """Whether it tells at the second call or among the last."""
    asked = 0

    def drift(t, x):
        nonlocal asked
        asked += 1
        return -x if asked <= calls else -2 * x

    with refuses(ValueError, "f: expected the same value whenever it is asked", "as a count of its calls"):
        solve(FunctionSDE(drift, diffusion), [1.0, 2.0], GRID, paths=16)


def test_a_coefficient_that_is_undefined_at_the_start_later_on_is_accepted():
    base = FunctionSDE(lambda t, x: torch.where(t > 0.7, torch.log(1 - x), -x), diffusion)
    noise = torch.zeros(8, 3, 1, dtype=F64)
    assert solve(base, [1.0], GRID, noise=noise).isfinite().all()


@pytest.mark.parametrize(
    "other", [lambda x: x.sum(), lambda x: x.mean(0)[:1], lambda x: x[:, :1], lambda x: x.tolist()]
)
@pytest.mark.parametrize("after", [0.3, 0.9])
def test_a_loss_that_goes_wrong_later(other, after):
    loss = SummedLoss(lambda t, x: square(x) if float(t) < after else other(x), [0.0, 0.25, 0.375, 1.0])
    with refuses(ValueError, "loss: expected"):
        expand(PerturbedSDE(FunctionSDE(lambda t, x: -x, diffusion), ERROR), loss, [1.0, 2.0], GRID, paths=16)


def test_a_loss_of_another_shape_on_the_way():
    loss = SummedLoss(lambda t, x: x.sum() if float(t) == 0.25 else square(x), [0.0, 0.25, 0.5, 1.0])
    with refuses(ValueError, "loss: expected one number per path, shape (16,), at t = 0.25"):
        expand(PerturbedSDE(FunctionSDE(lambda t, x: -x, diffusion), ERROR), loss, [1.0], GRID, paths=16, sampler="mc")


def test_times_that_the_dtype_does_not_tell_apart():
    sde, noise = FunctionSDE(lambda t, x: torch.sin(t) * x, diffusion), torch.zeros(64, 1, 1)
    far = TimeGrid(1.7e9, 1.7e9 + 1, 64)
    with refuses(ValueError, "grid: expected steps that torch.float32 tells apart"):
        solve(sde, torch.ones(1), far, noise=noise)
    assert solve(sde, torch.ones(1, dtype=F64), far, noise=noise).isfinite().all()


@pytest.mark.parametrize("x0", [torch.ones(1, device="meta"), torch.ones(1).to_sparse()])
def test_a_state_without_dense_numbers(x0):
    with refuses(ValueError, "x0: expected a dense tensor"):
        solve(ERROR, x0, GRID, noise=torch.zeros(8, 1, 1))


def test_a_diffusion_without_the_derivatives_that_a_method_takes():
    def transformed(t, x):
        rows = torch.func.vmap(torch.func.jacrev(lambda y: 0.3 * y.sin()))(x)
        return rows.diagonal(dim1=-2, dim2=-1)

    problem = PerturbedSDE(FunctionSDE(lambda t, x: -x, transformed), ERROR), square, [1.0, 0.5], GRID
    assert expand(*problem, paths=16).loss0.mean > 0
    with refuses(ValueError, "sde: expected coefficients that have derivatives at x0"):
        expand(*problem, paths=16, method="milstein")


class Remembering:
    """The sum of squares over all times at which it was asked for so many states: wrong where jets ask twice."""

    def __init__(self) -> None:
        self.seen = {}

    def __call__(self, t, x):
        self.seen = {k: v for k, v in self.seen.items() if len(v) == len(x)}
        self.seen[float(t)] = x[:, 0]
        return torch.stack(list(self.seen.values())).square().sum(0)


def test_a_loss_that_keeps_the_states_that_it_was_shown():
    loss = SummedLoss(Remembering(), [0.0, 0.5, 1.0], [0.0, 0.0, 1.0])
    with refuses(ValueError, "loss: expected the same value whenever it is asked"):
        expand(PerturbedSDE(FunctionSDE(lambda t, x: -x, diffusion), ERROR), loss, [1.0], GRID, paths=16)


def test_a_terminal_loss_that_keeps_the_states_that_it_was_shown():
    shown = []

    def largest_so_far(x):
        shown[:] = [y for y in shown if len(y) == len(x)] + [x[:, 0]]
        return torch.stack(shown).amax(0)

    family = PerturbedSDE(FunctionSDE(lambda t, x: x, diffusion), ERROR)
    with refuses(ValueError, "loss: expected the same value whenever it is asked"):
        expand(family, largest_so_far, [1.0], GRID, paths=16)


def test_a_coefficient_that_keeps_the_states_that_it_was_shown():
    remembering = Remembering()
    base = FunctionSDE(lambda t, x: -remembering(t, x).unsqueeze(-1).expand_as(x), diffusion)
    with refuses(ValueError, "base.f: expected "):
        expand(PerturbedSDE(base, ERROR), square, [1.0], GRID, paths=16)


class Matrix:
    """A diffusion whose off-diagonal entry vanishes at the origin, and whose diagonal grows with time."""

    noise_type, sde_type = "general", "ito"

    def f(self, t, x):
        return -x

    def g(self, t, x):
        one, zero = 0.3 + t + 0 * x[:, 0], 0 * x[:, 0]
        return torch.stack([torch.stack([one, x[:, 1]], 1), torch.stack([zero, one], 1)], 1)


class TransposedProduct(Matrix):
    def g_prod(self, t, x, dB):
        return torch.einsum("pij,pi->pj", self.g(t, x), dB)


class ProductOfTheStart(Matrix):
    def g_prod(self, t, x, dB):
        return torch.einsum("pij,pj->pi", self.g(0 * t, x), dB)


class ChannelsOfTheStart(Matrix):
    def noise_channels(self, t, x):
        return 2 if float(t) < 0.3 else 3


@pytest.mark.parametrize("kind", [TransposedProduct, ProductOfTheStart])
def test_a_product_that_disagrees_with_g_away_from_the_start(kind):
    with refuses(ValueError, "g_prod: expected g applied to the increments, got a difference of"):
        solve(kind(), [0.0, 0.0], GRID, paths=4)


def test_a_number_of_channels_that_changes():
    with refuses(ValueError, "noise_channels: expected 2, as g has at t = 0.5, got 3"):
        solve(ChannelsOfTheStart(), [0.0, 0.0], GRID, paths=4)


@pytest.mark.parametrize("method", ["euler", "milstein"])
@pytest.mark.parametrize("g", [lambda t, x: x[..., None], lambda t, x: torch.where(t > 0.4, x, 1 + 0 * x)[..., None]])
def test_a_diffusion_that_is_declared_additive_and_is_not(g, method):
    declared = FunctionSDE(lambda t, x: 0 * x, g, "additive", "stratonovich")
    with refuses(ValueError, "noise_type: declared 'additive', but g differs by up to"):
        solve(to_ito(declared), [0.8], GRID, paths=4, method=method)
