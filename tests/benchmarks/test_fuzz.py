"""The fuzz reaches every public function, and each of its checks of an answer can fail."""

from __future__ import annotations

import dataclasses
import inspect
from random import Random

import pytest
import torch

import sdewm
from benchmarks.fuzz import judge, mutable
from benchmarks.fuzz_answers import VALID, verify_case
from sdewm import FunctionSDE, TimeGrid

# What nobody calls with arguments of their own.
NOT_CALLED = {
    "results, which a function returns": (
        "AdaptiveSolution", "Conformity", "Convergence", "Expansion", "PathBounds", "Rate", "Report", "TaylorTest",
        "WithinTolerance",
    ),
    "errors and warnings, which are raised": (
        "BeyondRadius", "NonFiniteLoss", "NonFiniteState", "ShortestStepReached", "ToleranceNotReached",
    ),
    "a protocol, which has no values of its own": ("SDE",),
    "names for four numbers, checked by what takes them": ("BlockSizes",),
}  # fmt: skip
FUZZED = {name.partition(".")[0] for name in mutable(Random(0))}
LEFT_OUT = {name for names in NOT_CALLED.values() for name in names}


@pytest.mark.parametrize("name", [n for n in sdewm.__all__ if callable(getattr(sdewm, n))])
def test_a_public_name_is_fuzzed_or_has_a_reason(name):
    assert (name in FUZZED) != (name in LEFT_OUT)
    assert not (inspect.isfunction(getattr(sdewm, name)) and name in LEFT_OUT), "a function is there to be called"


@pytest.mark.parametrize("make", [m for m in VALID if m(Random(0)).check], ids=lambda make: make.__name__)
def test_a_check_passes_its_own_answer_and_no_other(make):
    """None of other inputs; where the answers to all inputs are alike, none of another kind."""
    one = make(Random(1))
    assert judge(one) == ("right", "")
    wrong = [OTHER[make.__name__]()] if make.__name__ in OTHER else [make(Random(i)).call() for i in range(2, 8)]
    judged = {judge(dataclasses.replace(one, call=lambda found=found: found))[0] for found in wrong if fits(one, found)}
    assert judged == {"wrong"}


def fits(case, found):
    """Whether an answer has the shapes that a check compares."""
    try:
        case.check(found)
    except ValueError:
        return False
    return True


def refuted():
    report = verify_case(Random(1)).call()
    row = dataclasses.replace(report.verdicts[0], form="corrected", status="refuted")
    return dataclasses.replace(report, rows=(row,))


# Of those checks that any right answer passes.
OTHER = {
    "brownian": lambda: (torch.ones(2), torch.zeros(2)),
    "check_sde_case": lambda: sdewm.check_sde(FunctionSDE(lambda t, x: x.relu()), [0.0], TimeGrid(0.0, 1.0, 2)),
    "verify_case": refuted,
}
