"""Methods by name: what they declare is all that the loop, the messages and the documentation go by."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from support import F64, library_with, normal_increments, refuses

import sdewm
from sdewm.noise.grid import TimeGrid
from sdewm.solvers.base import Stepper
from sdewm.solvers.registry import METHODS, names, register
from sdewm.solvers.solve import solve
from sdewm.systems.sde import FunctionSDE

GRID = TimeGrid(0.0, 1.0, 8)
NOISE = normal_increments(GRID, 3, 2)
X0 = torch.ones(2, dtype=F64)
SDE = FunctionSDE(lambda t, x: -x, lambda t, x: 0.3 * x)

SCHEME = '''
"""A scheme that nothing else in the library knows of."""

from sdewm.solvers.base import Stepper
from sdewm.solvers.registry import register


class Backwards(Stepper):
    strong_order, weak_order, sde_types = 0.25, 0.75, ("ito",)
    summary = "a scheme that goes backwards"

    def step(self, sde, t, dt, x, dB, area=None):
        return x - sde.f(t, x) * dt


register("backwards", Backwards())
'''
USE = """
import torch
import sdewm
from sdewm.solvers import convergence

grid = sdewm.TimeGrid(0.0, 1.0, 2)
sde = sdewm.FunctionSDE(lambda t, x: x, lambda t, x: 0 * x)
print(sdewm.__file__)
print(sdewm.solve(sde, torch.ones(1), grid, method="backwards", noise=torch.zeros(2, 1, 1)).item())
try:
    sdewm.solve(sde, torch.ones(1), grid, method="sideways", noise=torch.zeros(2, 1, 1))
except ValueError as error:
    print("backwards" in str(error))
line, = [line for line in sdewm.solve.__doc__.splitlines() if "backwards" in line]
print(line.strip())
"""


def test_a_scheme_is_added_by_one_file(tmp_path):
    where, value, named, line = library_with(tmp_path, "solvers/schemes/backwards.py", SCHEME, USE)
    assert Path(where) == tmp_path / "sdewm" / "__init__.py"
    assert float(value) == 0.25  # 1 · (1 − ½)²
    assert named == "True"
    assert line == '- "backwards" : a scheme that goes backwards. Itô, strong order 0.25, weak order 0.75.'


def test_every_method_is_in_the_documentation_and_in_the_message():
    for name in METHODS:
        assert f'- "{name}" : ' in solve.__doc__
    with refuses(ValueError, "method: expected one of", *map(repr, sorted(METHODS)), "got 'magic'"):
        solve(SDE, X0, GRID, method="magic", noise=NOISE)


def test_every_scheme_declares_what_it_is():
    for name, stepper in METHODS.items():
        assert isinstance(stepper, Stepper) and stepper.summary, name
        assert set(stepper.sde_types) <= {"ito", "stratonovich"} and stepper.sde_types
        assert 0.5 <= stepper.strong_order <= stepper.weak_order


@pytest.fixture
def own():
    """A user's scheme, with a name for as long as a test runs."""

    class Own(Stepper):
        strong_order, weak_order, sde_types = 1.0, 1.0, ("ito",)
        noise_types = ("diagonal",)

        def step(self, sde, t, dt, x, dB, area=None):
            return x + sde.f(t, x) * dt

    register("own", Own())
    yield METHODS["own"]
    del METHODS["own"]


def test_a_name_of_ones_own(own):
    by_name = solve(SDE, X0, GRID, method="own", noise=NOISE)
    assert torch.equal(by_name, solve(SDE, X0, GRID, method=own, noise=NOISE))
    assert "own" in names() and "own" in names(lambda s: "ito" in s.sde_types)
    with refuses(ValueError, "name", "no method has yet", "'own'"):
        register("own", own)


def test_what_a_method_is_not_for_is_refused_by_its_declarations(own):
    def other(noise_type: str, sde_type: str) -> FunctionSDE:
        return FunctionSDE(SDE.f, lambda t, x: torch.diag_embed(0.3 * x), noise_type, sde_type)

    with refuses(ValueError, "method: 'own' is for Itô SDEs", "'stratonovich'", "['heun', 'milstein'", "sdewm.to_ito"):
        solve(other("general", "stratonovich"), X0, GRID, method="own", noise=NOISE)
    with refuses(ValueError, "method: 'own' is for noise of type 'diagonal'", "'general'", "'euler'"):
        solve(other("general", "ito"), X0, GRID, method="own", noise=NOISE)


def test_what_is_no_stepper_is_refused():
    class Duck:
        strong_order, weak_order, sde_types = 1.0, 1.0, ("ito",)

        def step(self, *arguments):
            raise AssertionError

    class Silent(Stepper):
        def step(self, sde, t, dt, x, dB, area=None):
            raise AssertionError

    with refuses(TypeError, "method: expected one of", "'euler'", "sdewm.solvers.Stepper", "Duck"):
        solve(SDE, X0, GRID, method=Duck(), noise=NOISE)
    with refuses(TypeError, "method", "Silent", "lacks strong_order, weak_order, sde_types"):
        solve(SDE, X0, GRID, method=Silent(), noise=NOISE)


class Plain(Stepper):
    strong_order, weak_order, sde_types = 0.5, 1.0, ("ito",)

    def step(self, sde, t, dt, x, dB, area=None):
        return METHODS["euler"].step(sde, t, dt, x, dB)


class Differentiating(Plain):
    differentiates = True


@pytest.mark.parametrize(
    "method, compiled",
    [("euler", True), (Plain(), True), (Differentiating(), False), ("milstein", False)],
    ids=["euler", "plain", "differentiating", "milstein"],
)
def test_compiled_modules_run_compiled_unless_a_method_differentiates(method, compiled):
    """What runs compiled says so: the compiler's backend is replaced by one that counts."""
    seen = []

    def backend(module, inputs):
        def run(*tensors):
            seen.append(len(tensors))
            return module(*tensors)

        return run

    torch.compiler.reset()
    linear = torch.nn.Linear(2, 2).double().requires_grad_(False)
    module = torch.compile(linear, backend=backend)
    sde = FunctionSDE(lambda t, x: module(x), lambda t, x: 0.3 * torch.ones_like(x))
    found = solve(sde, X0, GRID, method=method, noise=NOISE)
    assert bool(seen) == compiled
    eager = FunctionSDE(lambda t, x: linear(x), sde.g)
    torch.testing.assert_close(found, solve(eager, X0, GRID, method=method, noise=NOISE))


def test_a_method_that_carries_no_jets_is_refused_by_name():
    class NoJets(Plain):
        carries_jets = False

    family = sdewm.PerturbedSDE(SDE, SDE)
    refusal = ("method:", "does not carry jets", "'euler'", "'milstein'")
    with refuses(ValueError, *refusal):
        sdewm.fundamental_matrix(SDE, X0, GRID, method=NoJets(), noise=NOISE)
    with refuses(ValueError, *refusal):
        sdewm.expand(family, lambda x: x.sum(-1), X0, GRID, method=NoJets(), paths=32)
    with refuses(ValueError, *refusal):
        sdewm.taylor_test(family, lambda x: x.sum(-1), X0, GRID, method=NoJets(), paths=32)
    assert torch.equal(
        solve(SDE, X0, GRID, method=NoJets(), noise=NOISE), solve(SDE, X0, GRID, method="euler", noise=NOISE)
    )
