"""Compiled walks give what plain ones give, say so where they cannot be made, and are held against plain ones."""

from __future__ import annotations

import importlib
import itertools
import math
import multiprocessing
import re
import warnings
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pytest
import torch
from support import F64, refuses

from sdewm import FunctionSDE, NonFiniteState, PerturbedSDE, SummedLoss, TimeGrid, expand, solve
from sdewm.exact import reference
from sdewm.kernels import CompiledStep, compiler, lowering, machine
from sdewm.solvers import compiled
from sdewm.solvers.compiled import NotCompiled, pays

solve_module = importlib.import_module("sdewm.solvers.solve")
GRID = TimeGrid(0.0, 1.0, 8)
ONES = torch.ones(2, dtype=F64)
torch.manual_seed(0)
NETWORK = torch.nn.Sequential(torch.nn.Linear(2, 8), torch.nn.Tanh(), torch.nn.Linear(8, 2)).double()
FAMILIES = {
    "network": (
        PerturbedSDE(
            FunctionSDE(lambda t, x: NETWORK(x) - x, lambda t, x: 0.3 * x),
            FunctionSDE(lambda t, x: torch.sin(x + t), lambda t, x: torch.cos(x)),
        ),
        ONES,
        "euler",
    ),
    "latent": (reference.latent_family(), reference.initial_state(), "euler"),
    "latent, sequential": (reference.latent_family(), reference.initial_state(), "euler-sequential"),
    "kinks": (
        PerturbedSDE(
            FunctionSDE(lambda t, x: torch.relu(x) - x, lambda t, x: 0.3 * x),
            FunctionSDE(lambda t, x: torch.where(x > 1, x, 2 * x), lambda t, x: x.clamp(max=1.5)),
        ),
        ONES,
        "euler",
    ),
}


def expanded(name: str, compile, **options):
    family, x0, method = FAMILIES[name]
    usual = {"loss": lambda x: (x * x).sum(-1), "paths": 4096, "order": 3}
    return expand(family, x0=x0, grid=GRID, method=method, compile=compile, **(usual | options))


def close(one, other):
    assert one.sample.values.keys() == other.sample.values.keys()
    for name, values in one.sample.values.items():
        scale = np.abs(values).max()
        np.testing.assert_allclose(other.sample[name], values, rtol=0, atol=1e-13 * scale, err_msg=name)


@pytest.mark.filterwarnings("ignore::sdewm.jets.NonSmoothWarning")
@pytest.mark.parametrize("name", FAMILIES)
def test_expansions_are_the_same_to_rounding(name, monkeypatch):
    walked = []
    walk = CompiledStep.walk
    monkeypatch.setattr(CompiledStep, "walk", lambda self, *rest: walked.append(self) or walk(self, *rest))
    with warnings.catch_warnings():
        warnings.simplefilter("error", NotCompiled)
        plain, made = expanded(name, False), expanded(name, True)
    close(plain, made)
    assert plain.kinks == made.kinks
    assert len(set(walked)) == 2  # two parameters to second order, one to third


def test_sums_over_times_two_grids_and_other_samplers():
    loss = SummedLoss(lambda t, x: (x * x).sum(-1), [0.0, 0.5, 1.0])
    for options in ({"grids": 2}, {"sampler": "mc"}, {"sampler": "antithetic", "order": 2}):
        close(expanded("network", False, loss=loss, **options), expanded("network", True, loss=loss, **options))


def test_noise_in_stretches_of_time(monkeypatch):
    whole = expanded("network", True)
    monkeypatch.setattr(compiled, "STRETCH", 3 * 1024 * 2 * 8)
    close(whole, expanded("network", True))


def test_states_are_handed_over_in_stretches_too(monkeypatch):
    """What a loss along the whole path holds at a time does not grow with the number of steps."""
    loss = SummedLoss(lambda t, x: (x * x).sum(-1), [GRID.time(i) for i in range(9)])
    whole, held = expanded("network", False, loss=loss), []
    walk = CompiledStep.walk
    monkeypatch.setattr(CompiledStep, "walk", lambda *args: held.append(walk(*args)) or held[-1])
    monkeypatch.setattr(compiled, "STRETCH", 3 * 4096 * 12 * 8)
    close(whole, expanded("network", True, loss=loss))
    # The line's; of the pair's, which has 12 numbers a path, three. Fewer paths are held against plain ones.
    assert max(len(states) for states in held if states.shape[2] == 4096) == 4


def test_single_precision():
    """To the fourth digit, as plain walks of another block size differ too."""
    family = PerturbedSDE(FunctionSDE(lambda t, x: -x, lambda t, x: 0.3 * x), FunctionSDE(lambda t, x: x.sin()))
    plain, made = (
        expand(family, lambda x: (x * x).sum(-1), torch.ones(2), GRID, paths=1024, compile=c) for c in (False, True)
    )
    assert made.first.mean == pytest.approx(plain.first.mean, rel=1e-4)


@pytest.mark.parametrize("pool", [ThreadPoolExecutor, ProcessPoolExecutor])
def test_side_by_side(pool):
    options = {"mp_context": multiprocessing.get_context("spawn")} if pool is ProcessPoolExecutor else {}
    with pool(2, **options) as executor:
        close(expanded("network", True), expanded("network", True, executor=executor))


def test_a_state_that_leaves_the_numbers_is_located():
    family = PerturbedSDE(FunctionSDE(lambda t, x: x**3, lambda t, x: 0.3 * x), FunctionSDE(lambda t, x: x))
    start, said = torch.full((1,), 8.0, dtype=F64), []
    for compile in (False, True):
        with pytest.raises(NonFiniteState) as stopped:
            expand(family, lambda x: x[:, 0], start, TimeGrid(0.0, 4.0, 16), paths=256, compile=compile)
        said.append(str(stopped.value))
    assert said[0] == said[1]


# -- one solve


@pytest.mark.parametrize("save", ["final", "path"])
def test_a_solve(save, monkeypatch):
    family, x0, method = FAMILIES["network"]
    plain, made = (
        solve(family.at(0.1), x0, GRID, paths=300, save=save, method=method, compile=c) for c in (False, True)
    )
    torch.testing.assert_close(made, plain, rtol=1e-13, atol=1e-13)
    # Held against plain ones on a few paths and steps alone, the states are the same.
    monkeypatch.setattr(compiled, "CHECKED", 32)
    monkeypatch.setattr(solve_module, "HELD", 3)
    torch.testing.assert_close(solve(family.at(0.1), x0, GRID, paths=300, save=save, compile=True), made)


def test_what_a_function_saves_and_starts_of_their_own():
    family, _, _ = FAMILIES["network"]
    starts = torch.randn(100, 2, generator=torch.Generator().manual_seed(0), dtype=F64)
    plain, made = (
        solve(family.base, starts, GRID, paths=100, save=lambda t, x: t * x.sum(-1), compile=c) for c in (False, True)
    )
    torch.testing.assert_close(made, plain, rtol=1e-13, atol=1e-13)


def test_gradients_are_those_of_the_plain_step():
    family, x0, _ = FAMILIES["network"]
    with pytest.warns(NotCompiled, match="gradients are asked for"):
        out = solve(family.base, x0.clone().requires_grad_(), GRID, paths=10, compile=True)
    assert out.requires_grad


# -- where it cannot be done

COUNTER = itertools.count()


def branching(t, x):
    return x if float(t) < 0.5 else -x


REASONS = {
    "a branch": (FunctionSDE(branching, lambda t, x: 0.3 * x), "euler", "a number that Python looks at"),
    "a structure": (FunctionSDE(lambda t, x: -x, lambda t, x: 0.3 * x), "milstein", "look at more than the state"),
    "sorting": (
        FunctionSDE(lambda t, x: x.sort(-1).values, lambda t, x: 0.3 * x),
        "euler",
        "aten.sort|cannot be traced",
    ),
}


@pytest.mark.filterwarnings("ignore::sdewm.jets.NonSmoothWarning")
@pytest.mark.parametrize("name", REASONS)
def test_why_not_is_said_and_the_numbers_are_the_plain_ones(name):
    base, method, reason = REASONS[name]
    family = PerturbedSDE(base, FunctionSDE(lambda t, x: x))
    options = {"paths": 256, "method": method}
    plain = expand(family, lambda x: x.sum(-1), ONES, GRID, compile=False, **options)
    with pytest.warns(NotCompiled, match=reason):
        found = expand(family, lambda x: x.sum(-1), ONES, GRID, compile=True, **options)
    for key, values in plain.sample.values.items():
        np.testing.assert_array_equal(found.sample[key], values)


def test_without_a_compiler(monkeypatch):
    monkeypatch.setattr(compiler.shutil, "which", lambda name: None)
    monkeypatch.delenv("CC", raising=False)
    machine.machine.cache_clear()
    try:
        with pytest.warns(NotCompiled, match="no C compiler was found; install one"):
            expanded("network", True, paths=256)
    finally:
        machine.machine.cache_clear()


def test_by_itself_it_compiles_large_work_and_says_nothing():
    assert pays("auto", 2**20, TimeGrid(0.0, 1.0, 64), 6) and not pays("auto", 2**10, TimeGrid(0.0, 1.0, 64), 6)
    for wrong in ("yes", 1, None):
        with refuses(ValueError, "compile: expected"):
            expanded("network", wrong)


def growing(t, x):
    return -x * (1 + torch.tensor([0.0, 2e-6 * next(COUNTER)], dtype=F64))


def test_each_component_is_held_against_its_own_size():
    """A millionth more of a small component is nothing beside a large one, and a wrong step all the same."""
    scale = torch.tensor([1e8, 1.0], dtype=F64)
    family = PerturbedSDE(FunctionSDE(growing, lambda t, x: 0.3 * x), FunctionSDE(lambda t, x: x))
    with pytest.warns(NotCompiled, match="other states than the plain one"):
        expand(family, lambda x: x[:, 1], scale, TimeGrid(0.0, 1.0, 128), paths=256, compile=True)


# -- what is no function of the state and the time


class Counting:
    """A drift that is another one from its thousandth call on, which is later than anything is looked at."""

    noise_type, sde_type = "diagonal", "ito"

    def __init__(self) -> None:
        self.calls = 0

    def f(self, t, x):
        self.calls += 1
        return -x * (1 if self.calls < 1000 else 2)

    def g(self, t, x):
        return 0.3 * x


def closing():
    """The same, of a number that the drift closes over."""
    calls = 0

    def f(t, x):
        nonlocal calls
        calls += 1
        return -x * (1 if calls < 1000 else 2)

    return FunctionSDE(f, lambda t, x: 0.3 * x)


def drifting(t, x):
    return -x * (1 + 1e-14 * next(COUNTER))


CHANGING = {
    "an attribute": (Counting, "calls of the coefficients change calls, "),
    "a number that is closed over": (closing, "calls of the coefficients change _f, "),
    # In a module, where nobody looks, and too slowly for two values or two states to differ.
    "a number elsewhere": (lambda: FunctionSDE(drifting, lambda t, x: 0.3 * x), "another one when it is made again"),
}


@pytest.mark.parametrize("name", CHANGING)
def test_what_changes_from_call_to_call_is_not_compiled(name):
    make, reason = CHANGING[name]
    grid = TimeGrid(0.0, 1.0, 2000)
    with pytest.warns(NotCompiled, match=reason):
        found = solve(make(), ONES, grid, paths=64, compile=True)
    assert found.shape == (64, 2)


def test_what_is_remembered_once_is_compiled():
    class Remembering(Counting):
        def f(self, t, x):
            self.calls = 7
            return -x

    with warnings.catch_warnings():
        warnings.simplefilter("error", NotCompiled)
        solve(Remembering(), ONES, GRID, paths=64, compile=True)


TIMED = {
    "torch's": (lambda t: torch.sin(5 * t), None),
    "a choice": (lambda t: torch.where(t < 0.5, 1.0, 3 * t), None),
    "a tensor's data": (lambda t: (5 * t).data, None),
    "a copy": (lambda t: torch.as_tensor(5 * t) + torch.zeros_like(t).fill_(t), None),
    "a float": (lambda t: math.sin(5 * float(t)), "a number that Python looks at"),
    "Python's": (lambda t: math.sin(5 * t), "a number that Python looks at"),
    "numpy's": (lambda t: torch.as_tensor(np.sin(5 * t)), "numbers that leave torch"),
    "a branch": (lambda t: 2.0 if t < 0.9 else 3.0, "a number that Python looks at"),
    "past torch": (lambda t: torch.as_tensor(np.array(np.from_dlpack(t.detach()))), "aten|other states|another one"),
}


@pytest.mark.parametrize("name", TIMED)
def test_time_is_an_input(name):
    of, reason = TIMED[name]
    sde = FunctionSDE(lambda t, x: -x * of(t), lambda t, x: 0.3 * x)
    plain = solve(sde, ONES, GRID, paths=64)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = solve(sde, ONES, GRID, paths=64, compile=True)
    torch.testing.assert_close(found, plain, rtol=1e-13, atol=1e-13)
    said = [str(w.message) for w in caught if w.category is NotCompiled]
    assert (not said) if reason is None else re.search(reason, *said), said


# -- what is not finite on some paths, and zeros of either sign

HIDDEN = {
    "0 times": lambda x: 0 * (650 * x).exp(),
    "a mask": lambda x: (650 * x).exp() * torch.zeros(2, dtype=F64),
    "0 over 0": lambda x: torch.zeros(2, dtype=F64) / (x - 1.1).clamp(max=0),
    "a choice that hides it": lambda x: torch.where(0 * (650 * x).exp() == 0, 0.0, 5.0),
    "the sign of a zero": lambda x: 0.1 * (1 / (-(x - 1.1).clamp(max=0).abs() + 0)).atan(),
}


@pytest.mark.parametrize("width", [compiled.STRETCH, 1])
@pytest.mark.parametrize("name", HIDDEN)
def test_paths_that_leave_the_numbers_do_so_in_compiled_walks_too(name, width, monkeypatch):
    """Few paths come to 1.1, and none of those that both walk."""
    sde = FunctionSDE(lambda t, x: HIDDEN[name](x) - x, lambda t, x: 0.15 + 0 * x)
    monkeypatch.setattr(compiled, "CHECKED", 32)
    monkeypatch.setattr(compiled, "STRETCH", width)

    def walked(compile):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", NotCompiled)
                return solve(sde, ONES, TimeGrid(0.0, 0.5, 16), paths=20000, seed=0, compile=compile)
        except NonFiniteState as error:
            return str(error)

    plain, found = walked(False), walked(True)
    leave = name in ("0 times", "a mask", "0 over 0")
    assert isinstance(plain, str) == leave
    if leave:
        assert found == plain
    else:
        assert plain.isfinite().all() and torch.allclose(found, plain, rtol=1e-12, atol=1e-12)


# -- mistakes in the machine


@pytest.mark.parametrize("name", ["tanh", "mul", "sin"])
def test_a_wrong_operation_is_caught_by_the_first_block(name, monkeypatch):
    """By a millionth: what it makes differs from what torch makes, so torch's numbers are taken."""
    right = lowering.LOWERINGS[name]

    def wrong(builder, *args, **kwargs):
        return lowering.LOWERINGS["where"](builder, 1.0, _scaled(builder, right(builder, *args, **kwargs)), 0.0)

    def _scaled(builder, numbers):
        flat = [builder.binary("mul", n, builder.constant(1 + 1e-6)) for n in numbers.flatten().tolist()]
        return torch.tensor(flat).reshape(numbers.shape)

    plain = expanded("network", False, paths=512)
    monkeypatch.setitem(lowering.LOWERINGS, name, wrong)
    with pytest.warns(NotCompiled, match="the compiled step gives other states than the plain one"):
        found = expanded("network", True, paths=512)
    for key, values in plain.sample.values.items():
        np.testing.assert_array_equal(found.sample[key], values)


# -- kinks that the first block does not meet


@pytest.mark.filterwarnings("ignore::sdewm.jets.NonSmoothWarning", "ignore::sdewm.solvers.compiled.NotCompiled")
@pytest.mark.parametrize("at", [1.7, 1.9, 2.1])
def test_a_hidden_kink_that_later_blocks_alone_reach_is_said(at):
    base = FunctionSDE(lambda t, x: -x + ((x - at) ** 2).sqrt(), lambda t, x: 0.5 + 0 * x)
    family = PerturbedSDE(base, FunctionSDE(lambda t, x: x, lambda t, x: x))
    x0 = torch.tensor([0.5, 0.3], dtype=F64)
    plain, made = (
        expand(family, lambda x: (x * x).sum(-1), x0, TimeGrid(0.0, 1.0, 64), compile=c) for c in (False, True)
    )
    assert made.kinks == plain.kinks


def test_functions_with_an_edge_are_compiled_where_paths_stay_away(monkeypatch):
    base = FunctionSDE(lambda t, x: -x / (1 + x * x), lambda t, x: 0.3 * (1 + x * x).sqrt())
    family = PerturbedSDE(base, FunctionSDE(lambda t, x: (2 + x.sin()).log()))
    with warnings.catch_warnings():
        warnings.simplefilter("error", NotCompiled)
        expand(family, lambda x: (x * x).sum(-1), ONES, GRID, paths=4096, compile=True)
