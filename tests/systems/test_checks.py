"""Coefficients and losses that are not what they should be are refused by name, before any work is done."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
import torch
from support import F64, normal_increments, refuses
from torch import Tensor

from sdewm import (
    FunctionSDE,
    PerturbedSDE,
    SummedLoss,
    TimeGrid,
    expand,
    solve,
    taylor_test,
)
from sdewm.jets import Jet, NotDifferentiable
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


# -- losses


NOISY = FunctionSDE(fine, lambda t, x: 0.3 + 0.2 * torch.cos(x + t))
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
    family = PerturbedSDE(NOISY, NOISY)
    for loss in (bad, SummedLoss(lambda t, x: bad(x), [0.7, 1.2])):
        for estimate in (expand, taylor_test):
            with refuses(ValueError, "loss: ", *fragments):
                estimate(family, loss, X0, GRID, paths=64)


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
