"""Stiff and super-linear drifts: what explicit steps do there, and the schemes that get through."""

from __future__ import annotations

import math
import pickle

import pytest
import torch
from support import F64, normal_increments, refuses

from sdewm import FunctionSDE, PerturbedSDE, TimeGrid, expand, fundamental_matrix, taylor_test
from sdewm.jets import Jet, JetSpace, Parameter
from sdewm.solvers import implicit
from sdewm.solvers.base import NonFiniteState
from sdewm.solvers.implicit import NoImplicitStep, implicit_drift
from sdewm.solvers.registry import METHODS
from sdewm.solvers.solve import solve

T0 = torch.zeros((), dtype=F64)
GRID = TimeGrid(0.0, 1.0, 32)
X0 = torch.tensor([3.0, -2.0], dtype=F64)
IMPLICIT = ("implicit-euler", "split-step")
RATES = torch.tensor([1e6, 1.0], dtype=F64)
STIFF = FunctionSDE(lambda t, x: -RATES * x, lambda t, x: 0.3 * x)
CUBE = FunctionSDE(lambda t, x: -200 * x**3, lambda t, x: 0.3 * x)
COUPLED = FunctionSDE(lambda t, x: torch.sin(x.flip(-1)) - x**3 - t * x, lambda t, x: 0.4 * torch.cos(x))


@pytest.mark.parametrize("method", ["euler", "milstein", "sri2", "platen-weak"])
@pytest.mark.parametrize("sde", [STIFF, CUBE])
def test_where_explicit_steps_leave_the_numbers_the_error_names_what_takes_them(method, sde):
    grid = TimeGrid(0.0, 1.0, 128)  # long enough for numbers to run out
    with pytest.raises(NonFiniteState) as caught:
        solve(sde, 10 * X0, grid, method=method, paths=4)
    text = str(caught.value)
    assert 'a stiff drift takes "implicit-euler" and "split-step"' in text
    assert 'that grows faster than linearly "implicit-euler", "split-step" and "tamed-euler"' in text
    assert str(pickle.loads(pickle.dumps(caught.value))) == text


def test_methods_that_suit_are_not_recommended_to_themselves():
    with pytest.raises(NonFiniteState) as caught:
        solve(FunctionSDE(lambda t, x: -1e4 * x, lambda t, x: 1e200 * x**2), X0, GRID, method="tamed-euler", paths=4)
    assert '"tamed-euler"' not in str(caught.value)
    stratonovich = FunctionSDE(CUBE.f, CUBE.g, sde_type="stratonovich")
    with pytest.raises(NonFiniteState) as caught:
        solve(stratonovich, 10 * X0, TimeGrid(0.0, 1.0, 128), method="heun", paths=4)
    assert "Euler" not in str(caught.value) and str(caught.value).endswith("linear growth, would help.")


@pytest.mark.parametrize("method", IMPLICIT)
def test_what_decays_fast_decays(method):
    found = solve(STIFF, X0, GRID, method=method, paths=64)
    assert float(found[:, 0].abs().max()) < 1e-100
    slow = solve(STIFF, X0, TimeGrid(0.0, 1.0, 32), method=method, paths=2**12)[:, 1].mean()
    assert float(slow) == pytest.approx(-2 * (1 + 1 / 32) ** -32, abs=4 * 2 * 0.3 / 2**6)


@pytest.mark.parametrize("method", [*IMPLICIT, "tamed-euler"])
def test_cubic_drifts_come_down(method):
    assert float(solve(CUBE, X0, GRID, method=method, paths=64).abs().max()) < 1.0


OTHERS = ("euler-sequential", "sra1", "taylor-1.5")  # for another noise, or with steps of their own


@pytest.mark.parametrize("method", [name for name in METHODS if name not in OTHERS and ":" not in name])
def test_what_suits_is_declared_by_those_that_get_through(method):
    """Held against what each scheme does: no scheme that declares nothing gets through both."""
    chosen = METHODS[method]
    through = []
    for sde, hardship in ((STIFF, "stiff"), (CUBE, "super-linear")):
        meant = FunctionSDE(sde.f, sde.g, sde_type=chosen.sde_types[0])
        try:
            end = solve(meant, 10 * X0, TimeGrid(0.0, 1.0, 128), method=method, paths=4)
            if float(end.abs().max()) < 10:
                through.append(hardship)
        except NonFiniteState:
            pass
    assert tuple(through) == chosen.suits


# -- the equation of a step


def test_the_equation_is_solved_to_rounding():
    given = torch.randn(50, 2, generator=torch.Generator().manual_seed(0), dtype=F64) * 5
    y = implicit_drift(COUPLED, T0 + 0.5, 0.3, given)
    torch.testing.assert_close(y - 0.3 * COUPLED.f(T0 + 0.5, y), given, rtol=0, atol=1e-13)
    alone = torch.cat([implicit_drift(COUPLED, T0 + 0.5, 0.3, row) for row in given.split(1)])
    torch.testing.assert_close(y, alone, rtol=0, atol=1e-13)


@pytest.mark.parametrize("unit", [1e-9, 1e9])
def test_units_of_components_do_not_matter(unit):
    """Beside a component that is a billion times larger, and one that cancels to nothing, all digits are there."""

    def drift(t, x):
        large, small = x[:, 0], x[:, 1] / unit
        nothing = torch.sin(large) - torch.cos(large - torch.pi / 2)
        return torch.stack([-large, -100 * unit * small**3, nothing], -1)

    given = torch.tensor([1.0, unit, 0.0], dtype=F64).expand(5, 3) * torch.linspace(1, 3, 5, dtype=F64)[:, None]
    given = Jet(torch.stack([given, given]), JetSpace(1, 1))
    y = implicit_drift(FunctionSDE(drift), T0, 0.1, given)[:, 1:2] / unit
    alone = implicit_drift(FunctionSDE(lambda t, x: -100 * x**3), T0, 0.1, given[:, 1:2] / unit)
    torch.testing.assert_close(y.coefficients, alone.coefficients, rtol=1e-12, atol=0)
    plain = implicit_drift(FunctionSDE(drift), T0, 0.1, given.value)[:, 1:2] / unit
    torch.testing.assert_close(plain, alone.value, rtol=1e-12, atol=0)


def test_jets_are_those_of_the_implicit_function():
    """Two parameters to order three: the equation holds in every coefficient; y³ + y = ε has y = ε − ε³ + …."""
    space = JetSpace(2, 3)
    given = Jet(torch.randn(len(space), 5, 2, generator=torch.Generator().manual_seed(1), dtype=F64), space)
    y = implicit_drift(COUPLED, T0 + 0.5, 0.3, given)
    back = y - 0.3 * COUPLED.f(T0 + 0.5, y)
    torch.testing.assert_close(back.coefficients, given.coefficients, rtol=0, atol=1e-12)
    line = JetSpace(1, 5)
    small = Jet(torch.tensor([0.0, 1, 0, 0, 0, 0], dtype=F64).view(6, 1, 1), line)
    root = implicit_drift(FunctionSDE(lambda t, x: -(x**3)), T0, 1.0, small)
    assert root.coefficients.flatten().tolist() == pytest.approx([0, 1, 0, -1, 0, 3], abs=1e-12)


def test_a_parameter_in_the_drift_alone():
    """States are plain, and the drift is not."""
    space = JetSpace(1, 2)
    family = PerturbedSDE(FunctionSDE(lambda t, x: -x), FunctionSDE(lambda t, x: -x))
    y = implicit_drift(family.at(Parameter(space, 0)), T0, 1.0, torch.ones(1, 1, dtype=F64))
    assert y.coefficients.flatten().tolist() == pytest.approx([1 / 2, -1 / 4, 1 / 8])  # 1/(2 + ε)


def test_gradients_pass():
    rate = torch.tensor(0.7, dtype=F64, requires_grad=True)
    given = torch.tensor([[2.0]], dtype=F64, requires_grad=True)
    y = implicit_drift(FunctionSDE(lambda t, x: -rate * x), T0, 0.5, given)
    of_rate, of_given = torch.autograd.grad(y.sum(), (rate, given))
    assert float(of_rate) == pytest.approx(-0.5 * 2 / 1.35**2) and float(of_given) == pytest.approx(1 / 1.35)


@pytest.mark.parametrize("method", [*IMPLICIT, "tamed-euler"])
def test_expansions_differentiate_through(method):
    family = PerturbedSDE(COUPLED, FunctionSDE(lambda t, x: x, lambda t, x: torch.tanh(x)))
    test = taylor_test(family, lambda x: (x**2).sum(-1), 0.2 * X0, TimeGrid(0.0, 1.0, 8), method=method, paths=64)
    assert str(test).count("as expected") >= 6 and "not as" not in str(test), str(test)
    noise = normal_increments(TimeGrid(0.0, 1.0, 8), 3, 2)
    found = fundamental_matrix(COUPLED, 0.2 * X0, TimeGrid(0.0, 1.0, 8), method=method, noise=noise)
    ends = [
        solve(
            COUPLED,
            0.2 * X0 + h * torch.tensor([1.0, 0.0], dtype=F64),
            TimeGrid(0.0, 1.0, 8),
            method=method,
            noise=noise,
        )
        for h in (1e-6, -1e-6)
    ]
    torch.testing.assert_close(found[..., 0], (ends[0] - ends[1]) / 2e-6, rtol=1e-6, atol=1e-7)


def test_a_step_without_a_solution_is_said():
    """y = a + y² has none above a = ¼; and where the drift pushes away, what there is lies on another branch."""
    square = FunctionSDE(lambda t, x: x**2, lambda t, x: 0 * x)
    with pytest.raises(NoImplicitStep, match=r"from t = 0 has no solution .* on 2 of 3 paths") as caught:
        implicit_drift(square, T0 + 1.0, 1.0, torch.tensor([[0.3], [0.2], [7.0]], dtype=F64))
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    assert '"tamed-euler"' in str(caught.value)
    away = FunctionSDE(lambda t, x: 100 * x**3, lambda t, x: x)
    for method in IMPLICIT:
        with pytest.raises(NoImplicitStep, match="of 4 paths"):
            solve(away, X0, GRID, method=method, paths=4)


def test_states_that_are_no_numbers_stay_so():
    given = torch.tensor([[1.0], [math.nan], [math.inf]], dtype=F64)
    found = implicit_drift(FunctionSDE(lambda t, x: -(x**3)), T0, 0.5, given)
    assert torch.isfinite(found).flatten().tolist() == [True, False, False]


# -- what is wrong is seen


def test_a_wrong_jacobian_is_seen(monkeypatch):
    """In a value Newton's method only slows down, in jets nothing makes up for it."""
    right = implicit._jacobian
    monkeypatch.setattr(implicit, "_jacobian", lambda *given: 0.9 * right(*given))
    with pytest.raises(AssertionError):
        test_jets_are_those_of_the_implicit_function()


def test_too_few_steps_over_jets_are_seen(monkeypatch):
    right = implicit._solved
    calls = []

    def lazy(factors, value):
        if isinstance(value, Jet):
            calls.append(1)
            if len(calls) > 2:
                return 0.0 * value
        return right(factors, value)

    monkeypatch.setattr(implicit, "_solved", lazy)
    with pytest.raises(AssertionError):
        test_jets_are_those_of_the_implicit_function()


def test_arguments():
    assert all(set(m.suits) <= {"stiff", "super-linear"} for m in METHODS.values())
    with refuses(ValueError, "method: 'tamed-euler' is for Itô SDEs"):
        solve(FunctionSDE(CUBE.f, CUBE.g, sde_type="stratonovich"), X0, GRID, method="tamed-euler", paths=2)
    assert expand(
        PerturbedSDE(STIFF, FunctionSDE(lambda t, x: x)), lambda x: x[:, 1], X0, GRID, method="implicit-euler", paths=64
    ).loss0.mean == pytest.approx(-2 * (1 + 1 / 32) ** -32, abs=0.1)
