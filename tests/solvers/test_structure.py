"""A declared structure of the noise against the coefficients: right ones pass whatever the draw, wrong ones do not."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from support import F64

from sdewm.exact.strong_problems import STRONG_PROBLEMS
from sdewm.noise.grid import TimeGrid
from sdewm.solvers.schemes.sri2 import PreparedSRI2
from sdewm.solvers.structure import NoiseStructure, departure, noise_structure
from sdewm.systems.sde import FunctionSDE

DRAWS = 60
NAMES = (
    "twisted coordinates, ito",
    "four noises, two areas, ito",
    "three noises, all areas, stratonovich",
    "spiral, ito",
    "change of coordinates, stratonovich",
    "grushin, diagonal, ito",
    "two curves, ito",
    "rotation, ito",
)


def of(name: str) -> tuple[NoiseStructure, object, torch.Tensor]:
    problem = STRONG_PROBLEMS[name]
    states = problem.x0 + 0.3 * torch.randn(6, len(problem.x0), generator=torch.Generator().manual_seed(1), dtype=F64)
    return noise_structure(problem.sde, problem.x0, TimeGrid(0.0, 1.0, 8)), problem.sde, states


def departures(structure: NoiseStructure, sde, states):
    t = torch.tensor(0.4, dtype=F64)
    return [departure(structure, sde, t, states, torch.Generator().manual_seed(seed)) for seed in range(DRAWS)]


@pytest.mark.parametrize("name", NAMES)
def test_the_measured_structure_passes_every_draw(name):
    assert departures(*of(name)) == [None] * DRAWS


@pytest.mark.parametrize("name", NAMES)
def test_a_vector_that_is_said_not_to_act_is_found(name):
    """Whichever one, at every draw: it is seen in any combination."""
    structure, sde, states = of(name)
    for k, other in structure.acts.nonzero().tolist():
        acts = structure.acts.clone()
        acts[k, other] = False
        wrong = replace(structure, acts=acts, kind="general")
        found = departures(wrong, sde, states)
        assert all(one is not None and one.commutes for one in found), (k, other)


@pytest.mark.parametrize("name", [name for name in NAMES if STRONG_PROBLEMS[name].commuting is False])
def test_a_pair_that_is_said_to_commute_is_found(name):
    """One vector is looked at in each draw, so that a draw may miss, and many do not."""
    structure, sde, states = of(name)
    pairs = structure.pairs.triu().nonzero().tolist()
    assert pairs
    for k, other in pairs:
        left = structure.pairs.clone()
        left[k, other] = left[other, k] = False
        found = [one for one in departures(replace(structure, pairs=left), sde, states) if one is not None]
        assert found and {one.column for one in found} <= {k, other} and not any(one.commutes for one in found)


@pytest.mark.parametrize("g", [torch.sqrt, lambda x: x * torch.log(x), lambda x: 1 + torch.sqrt(x)])
def test_derivatives_that_are_no_numbers_count_for_nothing(g):
    """At 0, where there is none: beside it all is as it was."""
    sde = FunctionSDE(lambda t, x: -x, lambda t, x: g(x))
    states = torch.tensor([[0.0, 0.5], [0.7, 0.2]], dtype=F64)
    assert departures(NoiseStructure.assume("diagonal", 2), sde, states) == [None] * DRAWS


@pytest.mark.parametrize("size", [1.0, 1e-8])
def test_a_small_noise_that_changes_with_time_is_looked_at_again(size):
    """Diagonal until half of the time, and with every vector acting on the other from then on."""

    def g(t, x):
        return size * torch.where(t < 0.5, x, x.flip(-1))

    found = noise_structure(FunctionSDE(lambda t, x: -x, g), torch.tensor([0.8, 0.5], dtype=F64), TimeGrid(0.0, 1.0, 8))
    assert bool(found.acts.all())


def test_a_vector_acts_on_another_that_does_not_act_on_it():
    """dx_0 = dB_0, dx_1 = x_0 dB_1: ∂g_1[g_0] ≠ 0 = ∂g_0[g_1], and Rößler's scheme moves the second vector only.

    One step is then exact, x_1 = ∫ B_0 dB_1, of which the area is a part.
    """

    def g(t, x):
        one, zero = torch.ones_like(x[:, 0]), torch.zeros_like(x[:, 0])
        return torch.stack([torch.stack([one, zero], 1), torch.stack([zero, x[:, 0]], 1)], 1)

    sde, start = FunctionSDE(None, g, "general"), torch.zeros(2, dtype=F64)
    structure = noise_structure(sde, start, TimeGrid(0.0, 1.0, 8))
    assert structure.acts.tolist() == [[False, True], [False, False]]
    scheme = PreparedSRI2(structure)
    assert scheme.moved == (1,)
    dB = torch.randn(5, 2, generator=torch.Generator().manual_seed(0), dtype=F64)
    levy = torch.randn(5, generator=torch.Generator().manual_seed(1), dtype=F64)
    area = torch.stack([torch.stack([0 * levy, levy], 1), torch.stack([-levy, 0 * levy], 1)], 1)
    end = scheme.step(sde, torch.tensor(0.0, dtype=F64), 1.0, start.expand(5, -1), dB, area)
    torch.testing.assert_close(end, torch.stack([dB[:, 0], 0.5 * dB[:, 0] * dB[:, 1] + levy], 1))
