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


def test_what_save_writes_into_its_states_stays_out_of_the_walk():
    sde, x0 = FunctionSDE(lambda t, x: -x, diffusion), torch.ones(3, 1, dtype=F64)
    noise = torch.zeros(8, 3, 1, dtype=F64)
    doubled = solve(sde, x0, GRID, noise=noise, save=lambda t, x: x.mul_(2))
    torch.testing.assert_close(doubled, 2 * solve(sde, x0, GRID, noise=noise, save="path"))
    assert torch.equal(x0, torch.ones_like(x0))


def test_what_save_returns_has_one_shape():
    with refuses(ValueError, "save: expected a tensor of one shape at every time, got (3, 1) and (1,)"):
        solve(
            FunctionSDE(lambda t, x: -x, diffusion),
            [1.0],
            GRID,
            noise=torch.zeros(8, 3, 1),
            save=lambda t, x: x if float(t) < 0.5 else x[0],
        )


def test_a_drift_by_forward_mode():
    slope = FunctionSDE(lambda t, x: torch.func.jvp(torch.sin, (x,), (torch.ones_like(x),))[1], diffusion)
    cosine = FunctionSDE(lambda t, x: torch.cos(x), diffusion)
    found, right = (
        expand(PerturbedSDE(base, ERROR), square, [1.0], GRID, paths=16, order=3) for base in (slope, cosine)
    )
    assert [e.mean for e in (found.first, found.second, found.third)] == pytest.approx(
        [e.mean for e in (right.first, right.second, right.third)], rel=1e-12
    )


def test_a_diffusion_without_the_derivatives_that_a_method_takes():
    def transformed(t, x):
        rows = torch.func.vmap(torch.func.jacrev(lambda y: 0.3 * y.sin()))(x)
        return rows.diagonal(dim1=-2, dim2=-1)

    problem = PerturbedSDE(FunctionSDE(lambda t, x: -x, transformed), ERROR), square, [1.0, 0.5], GRID
    assert expand(*problem, paths=16).loss0.mean > 0
    with refuses(ValueError, "sde: expected coefficients that have the derivatives that 'milstein' takes"):
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


WINDOW = TimeGrid(0.0, 1.0, 32)


def within(inside, outside=lambda x: -x):
    """A drift that is another one for a while, at none of the times that are looked at first."""
    return FunctionSDE(lambda t, x: inside(x) if 0.2 < float(t) < 0.4 else outside(x), diffusion)


FOR_A_WHILE = {
    "a mean over paths": (lambda x: -x + x.mean(0), "f: expected one row per path"),
    "random": (lambda x: -x + 10 * torch.randn_like(x), "f: expected the same value whenever it is asked"),
    "written into": (lambda x: -x.mul_(1.05), "sde: expected the states that coefficients are given to be left alone"),
    "the first row": (lambda x: -x[:1], "f: expected ("),
    "no axes": (lambda x: x.new_tensor(5.0), "f: expected ("),
    "one number per path": (lambda x: x.sum(-1), "f: expected ("),
    "single precision": (lambda x: -x.float(), "f: expected ("),
    "no tensor": (lambda x: 5.0, "f: expected ("),
}


@pytest.mark.parametrize("name", FOR_A_WHILE)
def test_a_drift_that_goes_wrong_for_a_while(name):
    inside, message = FOR_A_WHILE[name]
    with refuses(ValueError, message):
        solve(within(inside), [1.0, 2.0], WINDOW, paths=2)


@pytest.mark.parametrize("name", FOR_A_WHILE)
def test_a_family_whose_error_goes_wrong_for_a_while(name):
    family = PerturbedSDE(FunctionSDE(lambda t, x: -x, diffusion), within(FOR_A_WHILE[name][0]))
    with pytest.raises(ValueError, match="expected"):
        expand(family, square, [1.0, 2.0], WINDOW, paths=64, sampler="mc")


@pytest.mark.parametrize(
    "noise_type, g",
    [
        ("diagonal", lambda x: x[:1]),
        ("diagonal", lambda x: x.sum(-1)),
        ("general", lambda x: torch.ones(1, 2, 1, dtype=x.dtype)),
        ("scalar", lambda x: 0.1 * torch.ones(2, 1, dtype=x.dtype)),
    ],
)
def test_a_diffusion_of_another_shape_for_a_while(noise_type, g):
    def usual(x):
        return 0.1 + 0 * x if noise_type == "diagonal" else 0.1 + 0 * x[..., None]

    sde = FunctionSDE(lambda t, x: -x, lambda t, x: g(x) if 0.2 < float(t) < 0.4 else usual(x), noise_type)
    with refuses(ValueError, "g: expected (", "of torch.float64"):
        solve(sde, [1.0, 2.0], WINDOW, paths=2)


def test_random_numbers_in_one_step_are_found_where_the_process_has_drawn_some():
    sde = FunctionSDE(lambda t, x: torch.randn_like(x) if 0.26 < float(t) < 0.29 else -x, diffusion)
    with refuses(ValueError, "sde: expected the same value whenever it is asked"):
        solve(sde, [1.0, 2.0], WINDOW, paths=2)


def test_random_numbers_that_others_draw_are_no_fault_of_the_coefficients():
    sde = FunctionSDE(lambda t, x: -x, diffusion)
    noisy = solve(sde, [1.0], WINDOW, paths=4, save=lambda t, x: torch.randn_like(x))
    assert noisy.shape == (33, 4, 1)
    last = {}

    def drawing(t, x):
        last["unused"] = torch.rand(1)
        return -x

    drawn = solve(FunctionSDE(drawing, diffusion), [1.0], WINDOW, paths=4)
    assert torch.equal(drawn, solve(sde, [1.0], WINDOW, paths=4))


MANY_ROWS = {
    "clipped by the batch's norm": lambda x: -x * torch.clamp(50 / x.norm(), max=1.0),
    "another one for large batches": lambda x: -x if len(x) <= 512 else -0.5 * x,
    "minus the row before": lambda x: -x if len(x) < 100 else -x + 0.1 * x.roll(1, 0),
}


@pytest.mark.parametrize("name", MANY_ROWS)
@pytest.mark.parametrize("compile", [False, True])
def test_paths_that_mix_only_where_there_are_many(name, compile):
    # Paths that start apart, as they are all one otherwise at the first step.
    base = FunctionSDE(lambda t, x: MANY_ROWS[name](x), diffusion)
    start = torch.linspace(3.0, 5.0, 2048, dtype=F64).unsqueeze(-1)
    with refuses(ValueError, "sde: expected one row per path"):
        solve(base, start, GRID, paths=2048, compile=compile)


def test_an_expansion_of_paths_that_mix_only_where_there_are_many():
    base = FunctionSDE(lambda t, x: MANY_ROWS["clipped by the batch's norm"](x), diffusion)
    with refuses(ValueError, "sde: expected one row per path"):
        expand(PerturbedSDE(base, ERROR), square, [4.0], GRID, paths=4096)


@pytest.mark.parametrize("name", ["the first row", "no axes", "one number per path", "single precision", "no tensor"])
@pytest.mark.parametrize("method", ["euler", "milstein", "platen-weak", "sri2"])
def test_a_step_holds_what_coefficients_return(name, method):
    """For one step, at none of the times that are looked at before."""
    drift = FunctionSDE(
        lambda t, x: FOR_A_WHILE[name][0](x) if 0.28 < float(t) < 0.285 else -x, lambda t, x: 0.1 + 0.1 * x
    )
    with refuses(ValueError, "f: expected (2, 2) of torch.float64, as the states have, got", "at t = 0.28125"):
        solve(drift, [1.0, 2.0], WINDOW, paths=2, method=method)


def test_a_step_sees_what_is_written_into_its_states():
    def drift(t, x):
        return -(x.clamp_(max=5.0) if 0.28 < float(t) < 0.285 else x)

    with refuses(ValueError, "sde: expected the states that coefficients are given to be left alone, but at t = 0.28"):
        solve(FunctionSDE(drift, diffusion), [1.0, 2.0], WINDOW, paths=2)
