"""Remainders: their rounding is measured, whatever the scale of state and loss."""

from __future__ import annotations

import math

import pytest
import torch
from taylor_tests import CIRCLE, CONFIDENCE, GRID, constant, float32_case, outcomes, run_float32

from sdewm.exact import reference
from sdewm.expansion import taylor
from sdewm.expansion.rates import KINDS
from sdewm.expansion.taylor import taylor_test
from sdewm.systems.perturbed import PerturbedSDE
from sdewm.systems.sde import FunctionSDE


@pytest.mark.parametrize("name", ["circle", "reference"])
def test_rounding_is_measured(name):
    """In the middle of what float32 is off by, path by path, against the same solutions in float64."""
    single = run_float32(name, paths=256)
    family, loss, x0, grid, _ = float32_case(name)
    if name == "reference":
        family = reference.latent_family()
    double = taylor_test(family, loss, x0.double(), grid, eps=single.eps, paths=256, confidence=CONFIDENCE)
    for kind in ("strong", "loss"):
        off = math.sqrt(single.sample[f"{kind}/2/5"].mean())  # all but rounding
        assert double.remainders[kind, 2][5] < 0.5 * off
        measured = math.sqrt(single.sample[f"{kind}/1/6"].mean())
        assert 1 / 3 < measured / off < 3, (kind, measured, off)


def test_a_loss_that_cancels_is_rounded_by_more_than_its_own_last_digit():
    """x² by way of numbers as large as 10⁴: its size says nothing of its rounding, the rung far below does."""
    loss = lambda x: ((x + 100) ** 2 - 10_000 - 200 * x).sum(-1)  # noqa: E731
    single = taylor_test(CIRCLE.family, loss, CIRCLE.x0.float(), GRID, paths=256, confidence=CONFIDENCE)
    for kind in ("loss", "weak"):
        assert outcomes(single, kind)[1:] == ["below roundoff"] * 2, str(single)
    assert set(single.reasons.values()) == {"below roundoff"}
    assert taylor_test(CIRCLE.family, loss, CIRCLE.x0, GRID, paths=256, confidence=CONFIDENCE).passed


def test_without_the_measured_rounding_float32_gets_wrong_verdicts(monkeypatch):
    """What the rules above are for."""
    monkeypatch.setattr(taylor, "rounding_of", lambda *arguments: 0.0)
    result = run_float32("circle")
    assert "ε too large" in result.reasons.values() or "derivative wrong" in result.reasons.values()


def test_solutions_that_are_rounded_to_nothing_have_the_rounding_of_their_last_digit():
    """One path without noise: the rung far below is the unperturbed solution itself, and shows no rounding at all."""
    family = PerturbedSDE(FunctionSDE(lambda t, x: -x), FunctionSDE(constant(1e-3)))
    result = taylor_test(family, lambda x: x.exp().sum(-1), torch.tensor([1.0]), GRID, paths=64, confidence=CONFIDENCE)
    for kind in KINDS:
        assert set(outcomes(result, kind)) <= {"as expected", "exact", "below roundoff"}, str(result)
