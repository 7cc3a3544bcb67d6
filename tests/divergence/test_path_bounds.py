"""Bounds along sampled paths: they hold, they are sharp for small errors, and what cannot be certified is refused."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
import torch
from support import F64, normal_increments, refuses
from torch import nn

from sdewm import FunctionSDE, TimeGrid, certify
from sdewm.divergence import enclosure_rules
from sdewm.divergence.distances import distances
from sdewm.divergence.enclosure import NotEnclosed
from sdewm.divergence.smooth_functions import SMOOTH
from sdewm.exact import reference
from sdewm.systems.rollout import LatentRollout

GRID = TimeGrid(0.0, 1.0, 20)


def rollout() -> tuple[LatentRollout, torch.Tensor, torch.Tensor]:
    model = LatentRollout(reference.latent_model())
    return model, model.state(reference.initial_state()), model.perturbation(torch.eye(2, dtype=F64))


@pytest.mark.parametrize("tubes", [1, 3])
@pytest.mark.parametrize("size", [1e-3, 0.1, 0.5])
def test_bounds_hold_on_every_path_for_all_of_the_segment(size, tubes):
    sde, x0, directions = rollout()
    noise = normal_increments(GRID, 40, 2)
    found = certify(sde, x0, GRID, perturbations=size * directions, noise=noise, tubes=tubes)
    ends = distances(sde, x0, GRID, perturbations=size * directions, noise=noise).sqrt()
    assert found.upper.shape == ends.shape
    assert bool((ends <= found.upper).all()) and bool((found.lower <= ends * (1 + 1e-9)).all())
    for part in (0.05, 0.4, 0.7, 0.95):
        within = distances(sde, x0, GRID, perturbations=part * size * directions, noise=noise).sqrt()
        assert bool((within <= found.upper).all())
    assert torch.equal(found.divergence[:, -1], found.upper.square().amax(1))


def test_the_ratio_tends_to_one_like_the_square_of_the_error():
    """Over and under by third-order terms alone: a part ε² of ε, until rounding."""
    sde, x0, directions = rollout()
    noise = normal_increments(GRID, 8, 2)
    sizes = [0.2 / 2**k for k in range(7)]
    excess = []
    for size in sizes:
        found = certify(sde, x0, GRID, perturbations=size * directions, noise=noise)
        excess.append(float((found.upper[:, -1] / found.lower[:, -1] - 1).max()))
    rates = [a / b for a, b in itertools.pairwise(excess)]
    assert excess[-1] < 1e-4 and all(3.6 < rate < 4.6 for rate in rates[1:]), (excess, rates)
    tiny = certify(sde, x0, GRID, perturbations=1e-6 * directions, noise=noise)
    # Rounding is 1e-12 in the state, and here a part of 1e-6.
    assert float((tiny.upper / tiny.lower - 1).max()) < 1e-5


def one_step(function) -> FunctionSDE:
    """x ↦ function(x) in one step of length 1."""
    return FunctionSDE(lambda t, x: function(x) - x, lambda t, x: torch.zeros_like(x))


def test_a_halved_third_derivative_is_refuted(monkeypatch):
    """tanh from 0: its remainder is all there is beyond the linear response, and it is attained."""
    grid, noise, move = TimeGrid(0.0, 1.0, 1), torch.zeros(1, 1, 1, dtype=F64), 0.05
    problem = (one_step(torch.tanh), torch.zeros(1, dtype=F64), grid)
    perturbations = torch.full((1, 1), move, dtype=F64)
    measured = float(distances(*problem, perturbations=perturbations, noise=noise)[0, 1, 0]) ** 0.5
    honest = certify(*problem, perturbations=perturbations, noise=noise)
    assert float(honest.lower[0, 1, 0]) <= measured <= float(honest.upper[0, 1, 0])
    assert (move - measured) >= 0.9 * (move - float(honest.lower[0, 1, 0]))
    curve = SMOOTH["tanh"]
    halved = dataclasses.replace(curve, third=lambda low, high: 0.5 * curve.third(low, high))
    monkeypatch.setitem(enclosure_rules.SMOOTH, "tanh", halved)
    broken = certify(*problem, perturbations=perturbations, noise=noise)
    assert float(broken.lower[0, 1, 0]) > measured


def test_more_tubes_reach_further():
    sde, x0, directions = rollout()
    noise = normal_increments(GRID, 4, 2)
    one, five = (certify(sde, x0, GRID, perturbations=3.0 * directions, noise=noise, tubes=tubes) for tubes in (1, 5))
    assert float((five.upper / five.lower)[:, -1].max()) < 0.5 * float((one.upper / one.lower)[:, -1].max())


class Cell(nn.Module):
    """A network of one's own: a layer norm before a recurrent cell."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Sequential(nn.Linear(5, 6), nn.LayerNorm(6), nn.SiLU())
        self.cell = nn.GRUCell(6, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.cell(self.mix(x), x)


@pytest.mark.parametrize("seed", range(3))
def test_a_network_of_ones_own(seed):
    torch.manual_seed(seed)
    net, grid = Cell().double(), TimeGrid(0.0, 8.0, 8)
    sde = FunctionSDE(lambda t, x: net(x) - x, lambda t, x: 0.1 * torch.sigmoid(x))
    x0, noise = torch.randn(5, dtype=F64), normal_increments(grid, 10, 5)
    perturbations = 0.02 * torch.eye(5, dtype=F64)
    found = certify(sde, x0, grid, perturbations=perturbations, noise=noise)
    with torch.no_grad():
        ends = distances(sde, x0, grid, perturbations=perturbations, noise=noise).sqrt()
    assert bool((ends <= found.upper).all()) and bool((found.lower <= ends).all())
    assert float((found.upper / found.lower)[:, 0].max()) < 1 + 1e-9 and float((found.upper / ends).max()) < 1.1


def test_refusals():
    noise = normal_increments(GRID, 3, 4)
    x0, perturbations = torch.zeros(4, dtype=F64), torch.ones(1, 4, dtype=F64)
    net = nn.Sequential(nn.Linear(4, 4), nn.Sequential(nn.Tanh(), nn.ReLU())).double()
    sde = FunctionSDE(lambda t, x: net(x), lambda t, x: torch.ones_like(x))
    with refuses(
        NotEnclosed, "sde: relu has no enclosure", "ReLU", "1.1 of Sequential", "Known are linear maps", "tanh"
    ):
        certify(sde, x0, GRID, perturbations=perturbations, noise=noise)
    smooth = FunctionSDE(lambda t, x: torch.tanh(x), lambda t, x: torch.ones_like(x))
    with refuses(ValueError, "x0: expected float64"):
        certify(smooth, x0.float(), GRID, perturbations=perturbations, noise=noise)
    with refuses(ValueError, "perturbations: expected shape (perturbations, 4)", "(1, 3)"):
        certify(smooth, x0, GRID, perturbations=torch.ones(1, 3), noise=noise)
    with refuses(ValueError, "method: expected 'euler' or 'euler-sequential'", "an array of shape (2,)"):
        certify(smooth, x0, GRID, perturbations=perturbations, noise=noise, method=np.zeros(2))
    with refuses(ValueError, "method: expected 'euler' or 'euler-sequential'", "milstein"):
        certify(smooth, x0, GRID, perturbations=perturbations, noise=noise, method="milstein")
    with refuses(ValueError, "tubes"):
        certify(smooth, x0, GRID, perturbations=perturbations, noise=noise, tubes=0)
