"""A run looks at its own states, whether the noise has the structure that was found."""

from __future__ import annotations

import pytest
import torch
from noise_structures import KINDS, SYSTEMS, beyond, start
from scipy.stats import binom
from support import F64, FALSE_FAILURE, refuses

from sdewm.noise.grid import TimeGrid
from sdewm.solvers import held_structure
from sdewm.solvers.held_structure import HeldStructure, OtherStructure
from sdewm.solvers.schemes.milstein import Milstein
from sdewm.solvers.solve import solve
from sdewm.solvers.structure import NoiseStructure


def test_a_run_holds_the_structure():
    """One that was declared, and is too small; on a grid of 128 steps or more some step is held."""
    steps = 256
    grid = TimeGrid(0.0, 1.0, steps)
    for name, taken in (("diagonal", "additive"), ("declared diagonal", "diagonal"), ("general", "commutative")):
        sde, x0 = SYSTEMS[name], start(name)
        needed = KINDS.get(name, name)
        for seed in range(5):
            noise = torch.randn(steps, 7, 2, generator=torch.Generator().manual_seed(seed), dtype=F64) / steps**0.5
            times = []
            for _ in range(2):
                with refuses(
                    OtherStructure, f"took the noise to be {taken}", f'NoiseStructure.assume("{needed}", 2)'
                ) as e:
                    solve(sde, x0, grid, method=Milstein(NoiseStructure.assume(taken, 2)), noise=noise)
                times.append(e.value.time)
            assert times[0] == times[1]


@pytest.mark.filterwarnings("ignore:relu")
def test_a_run_looks_at_its_outermost_paths():
    """Five paths of 4096, or so, end beyond three standard deviations."""
    grid = TimeGrid(0.0, 1.0, 2048)
    noise = torch.randn(2048, 4096, 1, generator=torch.Generator().manual_seed(0), dtype=F64) * grid.dt**0.5
    with refuses(OtherStructure, "component 0 of diffusion vector 0"):
        solve(
            beyond(3.0),
            torch.zeros(1, dtype=F64),
            grid,
            method=Milstein(NoiseStructure.assume("additive", 1)),
            noise=noise,
        )


def test_how_often_a_run_is_held():
    """Once in each 128 steps; a shorter run with a probability of its length over 128; never if all is assumed."""
    additive = NoiseStructure.assume("additive", 2)
    first = torch.randn(400, 3, 2, generator=torch.Generator().manual_seed(0), dtype=F64)
    for steps, expected in ((1024, [i // 128 for i in range(0, 1024, 128)]), (128, [0])):
        for dB in first[:20]:
            assert sorted(i // 128 for i in HeldStructure(additive, TimeGrid(0.0, 1.0, steps), dB).steps) == expected
    looks = [len(HeldStructure(additive, TimeGrid(0.0, 1.0, 64), dB).steps) for dB in first]
    low, high = binom.interval(1 - FALSE_FAILURE, 400, 0.5)
    assert low <= sum(looks) <= high
    assert not HeldStructure(NoiseStructure.assume("general", 2), TimeGrid(0.0, 1.0, 1024), first[0]).steps


HELD = {
    "not held": (HeldStructure, "hold", lambda *_: None, test_a_run_holds_the_structure),
    "any paths": (held_structure, "_outermost", lambda x, _: x[:16], test_a_run_looks_at_its_outermost_paths),
}


@pytest.mark.parametrize("name", HELD)
@pytest.mark.filterwarnings("ignore:relu")
def test_what_holds_the_structure_can_fail(monkeypatch, name):
    owner, attribute, replacement, test = HELD[name]
    monkeypatch.setattr(owner, attribute, replacement)
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        test()
