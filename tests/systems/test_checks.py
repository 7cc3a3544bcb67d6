"""Coefficients and losses that are not functions of their own row are refused by name, before any work is done."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from support import F64, normal_increments, refuses
from torch import Tensor

from sdewm import (
    FunctionSDE,
    MonteCarlo,
    PerturbedSDE,
    SummedLoss,
    TimeGrid,
    expand,
    fundamental_matrix,
    solve,
    taylor_test,
)
from sdewm.jets import Jet, NotDifferentiable
from sdewm.systems.sde import diffusion_matrix, diffusion_product, noise_channels
from sdewm.systems.stages import Stage

GRID = TimeGrid(0.2, 1.2, 4)
X0 = torch.tensor([0.5, -1.0], dtype=F64)
COUNTER = itertools.count()


def fine(t: Tensor, x: Tensor) -> Tensor:
    return torch.sin(x) - t * x


def drawn_fresh(t: Tensor, x: Tensor) -> Tensor:
    return x + torch.randn_like(x)


def drawn_once(t: Tensor, x: Tensor) -> Tensor:
    return x + torch.randn(x.shape[-1], generator=torch.Generator().manual_seed(0), dtype=x.dtype)


def seldom(t: Tensor, x: Tensor) -> Tensor:
    return torch.nn.functional.dropout(x, 0.02)


def clamped_in_place(t: Tensor, x: Tensor) -> Tensor:
    return x.clamp_(min=0.0)


def from_a_list(t: Tensor, x: Tensor) -> Tensor:
    return x * [0.1, 0.2][7]


# What a coefficient may do wrong, and what its message says after its name.
WRONG: dict[str, tuple[Callable[[Tensor, Tensor], object], tuple[str, ...]]] = {
    "a float": (lambda t, x: 0.1, ("a tensor", "(paths, 2)", "0.1 (float)", "full_like")),
    "nothing": (lambda t, x: None, ("a tensor", "(paths, 2)", "None")),
    "an array": (lambda t, x: np.zeros(x.shape), ("a tensor", "(paths, 2)", "an array")),
    "a sum over paths": (lambda t, x: 0.5 * x.sum(0) + 0 * x, ("one row per path", "over paths")),
    "a mean over paths": (lambda t, x: x.mean() + 0 * x, ("one row per path", "over paths")),
    "a batch norm": (
        lambda t, x: torch.nn.functional.batch_norm(x, None, None, training=True),
        ("one row per path", ".eval()"),
    ),
    "fresh noise": (drawn_fresh, ("the same value", ".eval()", "fix the noise")),
    "noise seldom": (seldom, ("the same value", "dropout")),
    "a counter": (lambda t, x: x + next(COUNTER), ("the same value", "differ by 1")),
    "one state": (lambda t, x: x[0], ("(paths, 2)", "(2,)")),
    "one row": (lambda t, x: x[:1], ("(paths, 2)", "(1, 2)")),
    "a constant length": (lambda t, x: torch.ones(3, 2, dtype=x.dtype), ("(paths, 2)", "(3, 2)")),
    "single precision": (lambda t, x: x.float(), ("torch.float64", "as x0 has", "torch.float32")),
    "default precision": (lambda t, x: torch.full(x.shape, 0.1), ("torch.float64", "torch.float32", "full_like")),
    "whole numbers": (lambda t, x: torch.ones(x.shape, dtype=torch.int64), ("torch.float64", "torch.int64")),
    "complex numbers": (lambda t, x: x + 0j, ("torch.float64", "torch.complex128")),
    "no number": (lambda t, x: x / 0 * 0, ("finite numbers", "component 0", "t = 0.2")),
    "in place": (clamped_in_place, ("left alone", "in place")),
    "a matrix that does not fit": (lambda t, x: x @ torch.ones(3, 2, dtype=x.dtype), ("RuntimeError", "shapes")),
    "single-precision weights": (lambda t, x: torch.nn.Linear(2, 2)(x), ("(3, 2) of torch.float64", "RuntimeError")),
    "an index": (from_a_list, ("IndexError", "list index out of range")),
    "one argument": (lambda x: x, ("TypeError", "positional argument")),
}


@pytest.mark.parametrize("place", ["f", "g", "base.f", "base.g", "error.f", "error.g"])
@pytest.mark.parametrize("kind", WRONG)
def test_a_wrong_coefficient_is_named(kind, place):
    bad, fragments = WRONG[kind]
    *part, which = place.split(".")
    wrong = FunctionSDE(**{"f": fine, "g": fine, which: bad})
    right = FunctionSDE(fine, fine)
    noise = normal_increments(GRID, 5, 2)
    if not part:
        with refuses(ValueError, f"{place}: ", *fragments):
            solve(wrong, X0, GRID, noise=noise)
        return
    family = PerturbedSDE(**{"base": right, "error": right, part[0]: wrong})
    with refuses(ValueError, f"{place}: ", *fragments):
        solve(family.at(0.0), X0, GRID, noise=noise)
    if place == "error.g":
        for estimate in (expand, taylor_test):
            with refuses(ValueError, f"{place}: ", *fragments):
                estimate(family, lambda x: x.sum(-1), X0, GRID, paths=64)


def test_fixed_noise_and_functions_that_leave_their_domain_near_by_are_fine():
    """A draw that is the same each time is a function; a factor is asked for nothing where the matrix has none."""

    def factor(t: Tensor, x: Tensor) -> Tensor:
        eye = torch.eye(2, dtype=x.dtype)
        return torch.linalg.cholesky(eye * (1e-9 + (0.5 - x[:, :1, None]).clamp_max(0.0) + 0 * x[:, :1, None]))

    noise = torch.zeros(4, 5, 2, dtype=F64)
    assert solve(FunctionSDE(drawn_once), X0, GRID, noise=noise).shape == (5, 2)
    assert solve(FunctionSDE(None, factor, "general"), X0, GRID, noise=noise).shape == (5, 2)


def test_states_that_differ_already_tell_a_mixture_that_one_state_hides():
    """At an equilibrium without noise nothing moves; a mean over different states is still seen."""
    starts = torch.tensor([[0.0, 0.0], [1.0, 2.0], [3.0, -1.0]], dtype=F64)
    mixing = FunctionSDE(lambda t, x: x.mean(0) - x.mean(0) * 0 + 0 * x)
    with refuses(ValueError, "f: ", "one row per path"):
        solve(mixing, starts, GRID, noise=torch.zeros(4, 3, 2, dtype=F64))


# -- optional methods


class Declares(FunctionSDE):
    """A diffusion matrix with optional methods of its own."""

    def __init__(self, **methods) -> None:
        super().__init__(fine, lambda t, x: torch.stack([x, 2 * x, x + t], -1), "general")
        self.__dict__ |= methods


BLOCKS = (Stage(slice(0, 1), "start"), Stage(slice(1, 2), "end"))


@pytest.mark.parametrize(
    ("methods", "fragments"),
    [
        ({"noise_channels": lambda t, x: 2}, ("g: ", "(paths, 2, 2)", "(paths, 2, 3)")),
        ({"noise_channels": lambda t, x: 2.5}, ("noise_channels: ", "integer", "2.5")),
        ({"g_prod": lambda t, x, dB: x}, ("g_prod: ", "g applied to the increments", "difference")),
        ({"g_prod": lambda t, x, dB: dB}, ("g_prod: ", "(paths, 2)", "(paths, 3)")),
        (
            {"stages": BLOCKS, "f_stage": lambda i, t, x: x[:, :1], "g_prod_stage": lambda i, t, x, dB: x[:, :1]},
            ("f_stage, stage 0: ", "f in the block 0:1", "difference"),
        ),
        (
            {
                "stages": BLOCKS,
                "f_stage": lambda i, t, x: fine(t, x)[:, BLOCKS[i].block],
                "g_prod_stage": lambda i, t, x, dB: x[:, :1],
            },
            ("g_prod_stage, stage 0: ", "g applied to the increments in the block 0:1"),
        ),
        ({"stages": BLOCKS[:1]}, ("stages: ", "each of 2 coordinates once", "[1, 0]")),
    ],
)
def test_optional_methods_must_agree_with_the_coefficients(methods, fragments):
    with refuses(ValueError, *fragments):
        solve(Declares(**methods), X0, GRID, noise=normal_increments(GRID, 5, 3))


# -- noise types of base and error

NOISES: dict[str, tuple[str, Callable[[Tensor, Tensor], Tensor] | None]] = {
    "diagonal": ("diagonal", lambda t, x: 0.3 + 0.2 * torch.cos(x + t)),
    "scalar": ("scalar", lambda t, x: (0.4 * torch.cos(t + x)).unsqueeze(-1)),
    "additive 1": ("additive", lambda t, x: ((1 + t) * torch.ones(2, 1, dtype=x.dtype)).expand(len(x), -1, -1)),
    "additive 2": ("additive", lambda t, x: ((1 + t) * torch.ones(2, 2, dtype=x.dtype)).expand(len(x), -1, -1)),
    "general 1": ("general", lambda t, x: x.cos().unsqueeze(-1)),
    "general 2": ("general", lambda t, x: torch.stack([x.cos(), x.sin()], -1)),
    "general 3": ("general", lambda t, x: torch.stack([x.cos(), x.sin(), t * x], -1)),
    "none": ("diagonal", None),
}


def of(name: str) -> FunctionSDE:
    noise_type, g = NOISES[name]
    return FunctionSDE(fine, g, noise_type)


@pytest.mark.parametrize(("base", "error"), list(itertools.product(NOISES, NOISES)))
def test_no_error_at_all_is_the_base_whatever_the_noise_types(base, error):
    """Channels that agree work, whatever the types; others are refused. A part without noise takes the other's."""
    family = PerturbedSDE(of(base), of(error))
    x = torch.tensor([[0.5, -1.0], [0.2, 0.3], [2.0, 1.0]], dtype=F64)
    t = torch.tensor(0.7, dtype=F64)
    width = {name: None if name == "none" else noise_channels(of(name), t, x) for name in (base, error)}
    sde = family.at(0.0)
    if None not in width.values() and width[base] != width[error]:
        for run in (
            lambda: solve(sde, X0, GRID, noise=normal_increments(GRID, 3, width[base])),
            lambda: expand(family, lambda x: x.sum(-1), X0, GRID, paths=64),
            lambda: taylor_test(family, lambda x: x.sum(-1), X0, GRID, paths=64),
        ):
            with refuses(ValueError, "error.g: ", f"{width[base]} channels", "as base.g has", f"got {width[error]}"):
                run()
        with refuses(ValueError, "expected"):
            sde.g_prod(t, x, normal_increments(GRID, 3, width[base])[0])
        return
    channels = width[base] or width[error] or 2
    dB = normal_increments(GRID, 3, channels)[0]
    expected = torch.zeros(3, 2, channels, dtype=F64) if base == "none" else diffusion_matrix(of(base), t, x)
    assert noise_channels(sde, t, x) == channels
    assert torch.equal(sde.f(t, x), of(base).f(t, x))
    assert torch.equal(diffusion_matrix(sde, t, x), expected)
    torch.testing.assert_close(diffusion_product(sde, t, x, dB), (expected @ dB[..., None])[..., 0])
    noise = normal_increments(GRID, 5, channels)
    torch.testing.assert_close(
        solve(sde, X0, GRID, noise=noise), solve(family.base, X0, GRID, noise=noise), rtol=0, atol=1e-14
    )


@pytest.mark.parametrize(("base", "error"), [("diagonal", "general 2"), ("scalar", "general 1"), ("general 3", "none")])
def test_the_expansion_of_mixed_noise_types_is_that_of_the_solutions(base, error):
    """The derivative of plain solutions in ε, by central differences on the expansion's own paths."""
    family, sampler, h = PerturbedSDE(of(base), of(error)), MonteCarlo(64, 3), 1e-4
    found = expand(family, lambda x: x.sin().sum(-1), X0, GRID, sampler=sampler)
    channels = noise_channels(family.base, torch.tensor(0.2, dtype=F64), X0[None])
    (noise,) = sampler.draw(range(sampler.replicates), channels, GRID, X0)
    up, down = (float(solve(family.at(e), X0, GRID, noise=noise).sin().sum(-1).mean()) for e in (h, -h))
    assert (up - down) / (2 * h) == pytest.approx(found.first.mean, rel=1e-7)


# -- losses

LOSSES = {
    "a float": (lambda x: 1.0, ("one number per path", "1.0 (float)")),
    "an array": (lambda x: x.numpy().sum(-1), ("one number per path", "an array")),
    "a mean": (lambda x: x.square().mean(), ("one number per path", "()", "last axis")),
    "a constant length": (lambda x: torch.ones(3, dtype=x.dtype), ("one number per path", "(paths,)", "(3,)")),
    "states": (lambda x: x, ("one number per path", "(paths, 2)")),
    "a mixture": (lambda x: x.sum(-1) - x.mean(), ("one row per path",)),
    "complex": (lambda x: x.sum(-1) + 0j, ("torch.float64", "torch.complex128")),
    "single precision": (lambda x: x.sum(-1).float(), ("torch.float64", "torch.float32")),
    "random": (lambda x: x.sum(-1) + torch.randn(len(x), dtype=x.dtype), ("the same value",)),
    "not a number": (lambda x: (x - x).log().sum(-1), ("finite", "-inf", "initial state")),
    "an index": (lambda x: x[:, 5], ("IndexError",)),
}


@pytest.mark.parametrize("kind", LOSSES)
def test_wrong_losses_are_named(kind):
    bad, fragments = LOSSES[kind]
    family = PerturbedSDE(of("diagonal"), of("diagonal"))
    for loss in (bad, SummedLoss(lambda t, x: bad(x), [0.7, 1.2])):
        for estimate in (expand, taylor_test):
            with refuses(ValueError, "loss: ", *fragments):
                estimate(family, loss, X0, GRID, paths=64)


# -- what x0 may be


@pytest.mark.parametrize(
    ("x0", "dtype"),
    [
        ([1, 2], F64),
        ((0.5, -1.0), F64),
        (np.array([0.5, -1.0]), F64),
        (np.array([1, 2]), F64),
        (np.array([0.5, -1.0], dtype=np.float32), torch.float32),
        (torch.tensor([1, 2]), F64),
        (torch.tensor([0.5, -1.0]), torch.float32),
        (torch.tensor([0.5, -1.0], dtype=F64, requires_grad=True), F64),
        ([np.float32(0.5), -1.0], F64),
    ],
)
def test_an_initial_state_may_be_what_numpy_and_torch_users_write(x0, dtype):
    """Floating-point arrays and tensors keep their dtype, everything else is float64; so is everything computed."""
    sde, noise = of("diagonal"), normal_increments(GRID, 5, 2)
    found = solve(sde, x0, GRID, noise=noise)
    plain = torch.as_tensor(x0).detach().to(dtype)
    assert found.dtype == dtype
    assert torch.equal(found.detach(), solve(sde, plain, GRID, noise=noise.to(dtype)))
    assert torch.equal(solve(sde, x0, GRID, noise=noise.numpy()).detach(), found.detach())
    assert fundamental_matrix(sde, x0, GRID, noise=noise).dtype == dtype
    family = PerturbedSDE(sde, sde)
    one, other = (expand(family, lambda x: x.sum(-1), x, GRID, paths=64) for x in (x0, plain))
    assert one.second == other.second and math.isfinite(one.second.mean)


def test_the_librarys_own_errors_pass_as_they_are():
    """Those of a class of its own, and those that name an argument; a raw one is said to be the coefficient's."""
    family = PerturbedSDE(FunctionSDE(lambda t, x: torch.dropout(x, 0.5, isinstance(x, Jet))), FunctionSDE())
    with pytest.raises(NotDifferentiable, match=r"^dropout in training mode"):
        expand(family, lambda x: x.sum(-1), torch.tensor([0.5], dtype=F64), GRID, paths=16)

    def grid_inside(t, x):
        return TimeGrid(1.0, 0.0, 4)

    with pytest.raises(ValueError) as said:
        solve(FunctionSDE(grid_inside), X0, GRID, noise=normal_increments(GRID, 2, 1))
    assert str(said.value).startswith("t0, t1: expected")


@pytest.mark.parametrize("drift", [lambda t, x: torch.sin(x[0]) * x, lambda t, x: x - x[0], lambda t, x: x.cumsum(0)])
def test_what_looks_at_the_first_row_or_at_rows_before_mixes_paths(drift):
    sde = FunctionSDE(drift, lambda t, x: 0.1 * x)
    with pytest.raises(ValueError, match="one row per path"):
        solve(sde, torch.tensor([0.5, 0.3], dtype=F64), TimeGrid(0.0, 1.0, 4), paths=8, seed=0)


def test_a_write_that_changes_nothing_at_the_start_is_a_write():
    def clamped(t, x):
        x.clamp_(max=1.0)
        return 2 * x

    with pytest.raises(ValueError, match="left alone"):
        sde = FunctionSDE(clamped, lambda t, x: 0.1 * x)
        solve(sde, torch.tensor([0.5], dtype=F64), TimeGrid(0.0, 1.0, 4), paths=8, seed=0)


def scaled_far_out(x: Tensor) -> Tensor:
    """Mixes paths where one of them is further than 1.5 from 0, which none is near the start."""
    return x / x.abs().max().clamp(min=1.5)


def test_what_mixes_paths_only_far_from_the_start_is_refused():
    grid, x0 = TimeGrid(0.0, 1.0, 32), torch.tensor([0.3], dtype=F64)
    brownian = FunctionSDE(g=lambda t, x: torch.ones_like(x))
    with refuses(ValueError, "f: expected one row per path", "beside it"):
        solve(FunctionSDE(lambda t, x: scaled_far_out(x), brownian.g), x0, grid, paths=8)
    with refuses(ValueError, "g: expected one row per path"):
        solve(FunctionSDE(g=lambda t, x: 1 + scaled_far_out(x) ** 2), x0, grid, paths=8)
    family = PerturbedSDE(brownian, FunctionSDE(lambda t, x: torch.ones_like(x), lambda t, x: torch.ones_like(x)))
    for estimate in (expand, taylor_test):
        with refuses(ValueError, "loss: expected one row per path"):
            estimate(family, lambda x: scaled_far_out(x).square().sum(-1), x0, grid, paths=64)


class OutOfDomain(Exception):
    pass


def test_what_a_coefficient_says_of_states_that_no_path_meets_is_not_listened_to():
    """The pilot's paths go further out than a run's, and a user's own error there ends nothing."""
    asked = []

    def guarded(t: Tensor, x: Tensor) -> Tensor:
        asked.append(float(x.abs().max()))
        if asked[-1] > 1.0:
            raise OutOfDomain
        return -x

    sde = FunctionSDE(guarded, lambda t, x: torch.full_like(x, 0.1))
    found = solve(sde, torch.zeros(2, dtype=F64), GRID, noise=0.1 * normal_increments(GRID, 3, 2))
    assert bool(torch.isfinite(found).all())
    asked.clear()
    wide = FunctionSDE(guarded, lambda t, x: torch.full_like(x, 0.4))
    assert bool(
        torch.isfinite(solve(wide, torch.zeros(2, dtype=F64), GRID, noise=normal_increments(GRID, 3, 2) / 9)).all()
    )
    assert max(asked) > 1.0
