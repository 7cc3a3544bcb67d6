"""A declared structure of the noise against the coefficients: right ones pass whatever the draw, wrong ones do not."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from support import F64

from sdewm.exact.strong_problems import STRONG_PROBLEMS
from sdewm.noise.grid import TimeGrid
from sdewm.solvers.structure import NoiseStructure, departure, noise_structure

DRAWS = 60
NAMES = (
    "twisted coordinates, ito", "four noises, two areas, ito", "three noises, all areas, stratonovich", "spiral, ito",
    "change of coordinates, stratonovich", "grushin, diagonal, ito", "two curves, ito", "rotation, ito",
)  # fmt: skip


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
