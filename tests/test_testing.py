"""Random smooth systems: known by their numbers, of the structure that they declare."""

from __future__ import annotations

import importlib
import sys

import pytest
import torch
from support import F64, refuses

from sdewm import TimeGrid
from sdewm.solvers.structure import noise_structure
from sdewm.testing import SmoothSDE


def test_without_hypothesis_the_strategies_say_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "hypothesis", None)
    monkeypatch.delitem(sys.modules, "sdewm.testing")
    with pytest.raises(ImportError, match=r"sdewm\.testing: needs Hypothesis; pip install 'sdewm\[testing\]'"):
        importlib.import_module("sdewm.testing")


def test_a_system_is_known_by_its_numbers():
    """What a failing test prints makes the system again; shapes that do not fit a noise type are refused."""
    system = SmoothSDE("general", 2, 3, 7)
    again = eval(repr(system), {"SmoothSDE": SmoothSDE})
    x, t = torch.ones(4, 2, dtype=F64), torch.tensor(0.3)
    assert torch.equal(system.f(t, x), again.f(t, x)) and torch.equal(system.g(t, x), again.g(t, x))
    assert system.g(t, x).shape == (4, 2, 3)
    assert not torch.equal(system.f(t, x), SmoothSDE("general", 2, 3, 8).f(t, x))
    with refuses(ValueError, "channels", "2 for diagonal", "got 3"):
        SmoothSDE("diagonal", 2, 3, 0)
    with refuses(ValueError, "noise_type", "'diagonl'"):
        SmoothSDE("diagonl", 2, 2, 0)


@pytest.mark.parametrize("noise_type", ["diagonal", "additive", "scalar", "general"])
def test_a_system_has_the_structure_that_it_declares(noise_type):
    size = 3
    system = SmoothSDE(noise_type, size, {"scalar": 1, "general": 2}.get(noise_type, size), 5)
    found = noise_structure(system, torch.zeros(size, dtype=F64), TimeGrid(0.0, 1.0, 4))
    assert found.kind == noise_type
