"""Losses whose mean paths carry that are further out than any that is drawn; and losses that have none of those."""

from __future__ import annotations

import math
import warnings

import pytest
import torch
from scipy.integrate import quad
from support import F64

from sdewm import BrownianSampler, FunctionSDE, PerturbedSDE, SummedLoss, TimeGrid, expand
from sdewm.expansion import unreached
from sdewm.expansion.lines import lines_through
from sdewm.jets import NonSmoothWarning
from sdewm.systems.losses import as_summed

GRID = TimeGrid(0.0, 1.0, 4)


def normal(n: int) -> tuple[PerturbedSDE, torch.Tensor]:
    """x = (1 + ε) B, in n coordinates, from 0."""
    one = FunctionSDE(g=lambda t, x: torch.ones_like(x))
    return PerturbedSDE(one, one), torch.zeros(n, dtype=F64)


def found(loss, n=1, paths=2**12, **how):
    family, x0 = normal(n)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NonSmoothWarning)
        return expand(family, loss, x0, GRID, paths=paths, **how)


# The loss of a number, from which the mean follows by quadrature; and whether it is one of rare paths.
RARE = {
    "a tall step far out": lambda x: x + 1e4 * torch.sigmoid(30 * (x - 4)),
    "a steep bend": lambda x: x + 1e5 * torch.nn.functional.softplus(100 * (x - 4.5)) / 100,
    "an exponential": lambda x: x + torch.exp(9 * x - 36),
    "on the other side": lambda x: x**2 + 1e7 * torch.sigmoid(-30 * (x + 5.3)),
}


@pytest.mark.parametrize("name", RARE)
@pytest.mark.parametrize("sampler", ["rqmc", "mc", "antithetic"])
def test_what_rare_paths_add_is_said_where_none_was_drawn(name, sampler):
    """The truth is dozens of standard errors away, unless by chance such a path was drawn, and then few carry all."""
    loss = RARE[name]
    density = lambda x: math.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)  # noqa: E731
    truth = quad(lambda x: float(loss(torch.tensor(x, dtype=F64))) * density(x), -20, 20, points=[-5, 4, 9])[0]
    e = found(lambda x: loss(x[:, 0]), sampler=sampler)
    if any("carry the spread of loss0" in flag for flag in e.loss0.flags):
        return  # one was drawn
    assert abs(e.loss0.mean - truth) > 3 * e.loss0.stderr
    for estimate in (e.loss0, e.first, e.second, e.predict(1e-9)):
        assert any("standard deviations out add" in flag for flag in estimate.flags)


# Losses whose mean may be known, and whose derivatives are not: they are large where no path was drawn.
STEEP = {
    "a bend far out": lambda x: x + 10 * torch.nn.functional.softplus(100 * (x - 4.5)),
    "a bend beside a square": lambda x: x**2 + 10 * torch.nn.functional.softplus(100 * (x - 4.5)),
    "a step far out": lambda x: x**2 + 1e3 * torch.sigmoid(20 * (x - 4.5)),
    "a bump far out": lambda x: x**2 + 1e3 * torch.exp(-8 * (x - 4.5) ** 2),
    "a step beside a cosine": lambda x: torch.cos(x) + 100 * torch.tanh(4 * (x - 4.6)),
    "a steeper step": lambda x: torch.cos(x) + 100 * torch.tanh(40 * (x - 4.6)),
    "a gentle bend": lambda x: torch.cos(x) + 10 * torch.nn.functional.softplus(10 * (x - 4.6)),
}


@pytest.mark.parametrize("name", STEEP)
def test_what_rare_paths_add_to_derivatives_is_said(name):
    """x is moved by ε: E L(B + ε). Its coefficients follow by quadrature, weighted with Hermite polynomials."""
    loss = STEEP[name]
    one = FunctionSDE(g=lambda t, x: torch.ones_like(x))
    moved = PerturbedSDE(one, FunctionSDE(lambda t, x: torch.ones_like(x), None))
    e = expand(moved, lambda x: loss(x[:, 0]), torch.zeros(1, dtype=F64), GRID, paths=2**12)
    z = torch.linspace(-12, 12, 240_001, dtype=F64)
    weight = torch.exp(-0.5 * z * z) * (24 / 240_000 / math.sqrt(2 * math.pi)) * loss(z)
    truths = {"first": float((weight * z).sum()), "second": 0.5 * float((weight * (z * z - 1)).sum())}
    for term, truth in truths.items():
        estimate = getattr(e, term)
        assert abs(estimate.mean - truth) <= 4 * estimate.stderr or estimate.flags, term
    assert e.second.flags
    assert e.predict(0.1).flags
    assert e.predict(0.0).flags == e.loss0.flags


@pytest.mark.parametrize("name", ["an exponential", "a tall step far out"])
@pytest.mark.parametrize("times", [[1.0], [0.5, 1.0]])
def test_rare_paths_of_a_system_that_forgets_are_seen(name, times):
    """dx = −10 x dt + dB: what is further out than any path is reached by noise of the last moments alone."""
    base = FunctionSDE(lambda t, x: -10 * x, lambda t, x: torch.ones_like(x))
    family = PerturbedSDE(base, FunctionSDE(lambda t, x: torch.ones_like(x), None))
    grid = TimeGrid(0.0, 1.0, 64)
    size = math.sqrt(grid.dt * sum((1 - 10 * grid.dt) ** (2 * i) for i in range(64)))  # the spread of x at the end
    loss = SummedLoss(lambda t, x: RARE[name](x[:, 0] / size), times)
    e = expand(family, loss, torch.zeros(1, dtype=F64), grid, paths=2**10)
    assert any("standard deviations out add" in flag for flag in e.loss0.flags)


def test_rare_paths_of_a_system_that_forgets_and_an_ordinary_loss():
    base = FunctionSDE(lambda t, x: -10 * x, lambda t, x: torch.ones_like(x))
    family = PerturbedSDE(base, FunctionSDE(lambda t, x: torch.ones_like(x), None))
    for loss in (lambda x: (2 * x).exp().sum(-1), lambda x: x.square().sum(-1), lambda x: torch.tanh(3 * x).sum(-1)):
        e = expand(family, loss, torch.zeros(2, dtype=F64), TimeGrid(0.0, 1.0, 64), paths=2**10)
        assert not any(estimate.flags for estimate in (e.loss0, e.first, e.second))


@pytest.mark.parametrize("steps", [1, 3, 5, 64, 700])
def test_lines_are_as_long_as_rho(steps):
    """All normal numbers of a path together have the length ρ, so that its density is that of ρ."""
    family, x0 = normal(2)
    grid = TimeGrid(0.0, 2.0, steps)
    loss = as_summed(lambda x: x.square().sum(-1), grid)
    lines = lines_through(loss, family.base, x0, grid, channels=2, method="euler", reach=2.0)
    lengths = sum(dw.square().sum(-1) for dw in lines.noise) / grid.dt
    assert torch.allclose(lengths.view(len(lines.rho), -1), lines.rho[:, None] ** 2)
    assert lines.noise.paths == len(lengths)


@pytest.mark.parametrize("n", [2, 12])
def test_the_direction_in_which_rare_paths_lie_is_found(n):
    """Half of the coordinates together make the loss large, beside another that changes it far more often."""
    half = n // 2
    e = found(lambda x: x[:, 0] + torch.exp(9 * x[:, :half].sum(-1) / math.sqrt(half) - 36), n)
    assert any("standard deviations out add" in flag for flag in e.loss0.flags)


ORDINARY = {
    "square": lambda x: x.square().sum(-1),
    "fourth power": lambda x: (x**4).sum(-1),
    "exponential": lambda x: x.sum(-1).div(math.sqrt(x.shape[1])).exp(),
    "saturating": lambda x: torch.tanh(3 * x).sum(-1),
    "bounded bump": lambda x: torch.exp(-x.square().sum(-1)),
    "product": lambda x: (1 + 0.1 * x).prod(-1),
    "pole far out": lambda x: 1 / (400 - x.square().sum(-1)),
    "edge of its domain": lambda x: (9 - x).log().sum(-1),
}


@pytest.mark.parametrize("name", ORDINARY)
@pytest.mark.parametrize("n", [1, 6])
@pytest.mark.parametrize("sampler", ["rqmc", "mc"])
def test_ordinary_losses_lack_nothing(name, n, sampler):
    e = found(ORDINARY[name], n, sampler=sampler)
    for estimate in (e.loss0, e.first, e.second, *e.terms.values()):
        assert not any("standard deviations out add" in flag for flag in estimate.flags)


def test_what_walks_to_rare_paths_meet_is_not_said():
    """A kink that is nine standard deviations out is none of the loss's, for all that anyone will see."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", NonSmoothWarning)
        family, x0 = normal(1)
        e = expand(family, lambda x: torch.sqrt(6.5 - x[:, 0]), x0, GRID, paths=256)
    assert e.kinks == ()


def test_derivatives_that_are_known_where_the_system_has_areas():
    """Lines have no Lévy areas: they are walked by Euler's method."""
    g = torch.tensor([[[0.0, 0.0], [1.0, 0.0]], [[1.0, 0.0], [0.0, 0.0]]], dtype=F64)
    base = FunctionSDE(None, lambda t, x: 0.3 + 0.1 * torch.einsum("imj,pj->pim", g, x), noise_type="general")
    family = PerturbedSDE(base, FunctionSDE(lambda t, x: torch.ones_like(x), None))
    e = expand(
        family,
        lambda x: x.square().sum(-1),
        torch.ones(2, dtype=F64),
        GRID,
        method="milstein",
        sampler=BrownianSampler(256, 0),
    )
    assert not e.second.flags


def test_a_loss_whose_rare_paths_are_drawn_lacks_nothing():
    """More paths, and all is known: a step at 2 standard deviations, which 2 in 100 paths reach."""
    e = found(lambda x: 1e3 * torch.sigmoid(30 * (x[:, 0] - 2)), paths=2**14)
    assert not any("standard deviations out add" in flag for flag in e.loss0.flags)


def test_paths_that_leave_the_numbers_far_out_end_the_search_nearer_by():
    """x³ grows without bounds along coarse steps; what is nearer by is still followed."""
    base = FunctionSDE(lambda t, x: x**5, lambda t, x: 0.5 + 0 * x)
    family = PerturbedSDE(base, FunctionSDE(lambda t, x: 1.0 + 0 * x))
    grid = TimeGrid(0.0, 0.1, 64)
    e = expand(family, lambda x: (x**2).sum(-1), torch.zeros(1, dtype=F64), grid, paths=256)
    assert not e.loss0.flags


def test_without_lines_nothing_is_said(monkeypatch):
    """The check can fail: with a reach of three standard deviations nothing is seen."""
    monkeypatch.setattr(unreached, "REACH", (3.0,))
    assert not found(lambda x: RARE["an exponential"](x[:, 0])).loss0.flags
    assert not found(lambda x: STEEP["a bend beside a square"](x[:, 0])).second.flags
