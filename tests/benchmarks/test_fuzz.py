"""The fuzz reaches every public function, and each of its checks of an answer can fail."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pkgutil
import re
from pathlib import Path
from random import Random

import pytest
import torch

import sdewm
from benchmarks.fuzz import judge, mutable
from benchmarks.fuzz_answers import VALID, verify_case
from benchmarks.fuzz_exact import EXACT
from benchmarks.fuzz_sensitivity import WALKED
from sdewm import FunctionSDE, TimeGrid

PAGES = Path(__file__).parents[2] / "docs" / "api"

PACKAGES = (
    "sdewm", "sdewm.approximation", "sdewm.divergence", "sdewm.estimate", "sdewm.exact", "sdewm.expansion",
    "sdewm.sensitivity", "sdewm.solvers", "sdewm.systems", "sdewm.testing", "sdewm.worldmodel",
)  # fmt: skip
# Those that are left out as a whole: what they are given is looked at elsewhere.
WHOLE = {
    "sdewm.jets": "rules, which torch's own operator database is run through: tests/jets",
    "sdewm.kernels": "compiled steps, for the library itself: tests/kernels",
    "sdewm.noise": "what samplers draw with, beside those that sdewm has: tests/noise",
    "sdewm.adapters": "whole models of other libraries: tests/adapters",
    "sdewm.auditing": "whole models: tests/auditing",
    "sdewm.page": "reports: tests/page",
}
LEFT_OUT = {
    "results, which a function returns": (
        "AdaptiveSolution", "Conformity", "Convergence", "EpisodeError", "ErrorCoefficients", "Evaluation", "Expansion",
        "FilteredStates", "HeldOut", "InitialValueDerivatives", "LossPrediction", "Norms", "PathBounds",
        "PeriodicAnswer", "PredictedIncrease", "Rate", "Report", "RepresentationError", "Sample", "Sequences",
        "TaylorTest", "TimeStep", "WithinTolerance",
    ),
    "errors and warnings, which are raised": (
        "BeyondRadius", "CheckpointError", "DoNotCommute", "EnvironmentFailure", "NonFiniteLoss", "NonFiniteState",
        "OtherStructure", "ShortestStepReached", "ToleranceNotReached",
    ),
    "protocols and what is to be derived from": ("SDE", "Environment", "Perturbation", "Prolongation", "Stepper"),
    "names for numbers and functions, checked by what takes them": (
        "BlockSizes", "Case", "CoefficientOf", "Gaussian", "Manifold", "NoiseStructure", "register",
    ),
    "pieces of a walk or a derivative, within what is checked": (
        "along", "check_coefficients", "check_loss", "first_derivatives", "increments", "step_jacobians", "trajectory",
    ),
    "strategies, of which Hypothesis says what it cannot draw": (
        "cases", "families", "grids", "initial_states", "losses", "systems",
    ),
    "takes a trained model, a folder or an environment: tests/worldmodel": (
        "Actor", "Agent", "Config", "Critic", "DeepMindControl", "Learner", "Replay", "Run", "WorldModel",
        "action_value", "as_drift", "as_sde", "block_sizes", "collect", "consistency_loss", "evaluate", "fit",
        "held_out", "heldout_scores", "imagine", "initial_state", "load_agent", "load_trained", "make_environment",
        "measure_losses", "open_loop", "open_loop_error", "open_loop_loss", "play",
        "predict_losses", "prediction_video", "reconstruction_loss", 
        "recorded_observation", "representation_error", "reward_loss", "seen_through", "to_sequences", "train",
        
    ),
    "types, and the constants of others": ("Array", "Coefficients", "MultiIndex", "Polynomial"),
}  # fmt: skip
FUZZED = {name.partition(".")[0] for name in mutable(Random(0))}
REASONS = {name: reason for reason, names in LEFT_OUT.items() for name in names}


def public(package: str) -> list[str]:
    """What may be called of a package: of one without ``__all__``, the functions and classes on its API page."""
    module = importlib.import_module(package)
    names = getattr(module, "__all__", None)
    if names is not None:
        return [name for name in names if callable(getattr(module, name))]
    page = (PAGES / f"{package.rpartition('.')[-1]}.md").read_text(encoding="utf-8")
    listed = re.findall(rf"^\.\. auto(?:function|class):: {re.escape(package)}\.\w+\.(\w+)", page, re.MULTILINE)
    assert listed
    return [name for name in listed if name not in ("AssumptionReport", "NotEnclosed", "Violation")]  # returned, raised


@pytest.mark.parametrize("package", PACKAGES)
def test_a_public_name_is_fuzzed_or_has_a_reason(package):
    for name in public(package):
        assert (name in FUZZED) != (name in REASONS), name


def test_a_package_is_fuzzed_or_has_a_reason():
    found = {f"sdewm.{module.name}" for module in pkgutil.iter_modules(sdewm.__path__) if module.ispkg}
    named = {name for name in found if hasattr(importlib.import_module(name), "__all__")}
    assert named <= {*PACKAGES, *WHOLE} and not {*PACKAGES} & {*WHOLE}


def test_reasons_are_of_names_that_there_are():
    assert set(REASONS) <= {name for package in PACKAGES for name in public(package)}


def test_every_top_level_function_is_fuzzed():
    assert {name for name in public("sdewm") if inspect.isfunction(getattr(sdewm, name))} <= FUZZED


@pytest.mark.parametrize(
    "make", [m for m in [*VALID, *EXACT, *WALKED] if m(Random(0)).check], ids=lambda make: make.__name__
)
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
