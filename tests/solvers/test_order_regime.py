"""Errors that show no order say why: a reference that is not the limit, instability, rounding, noise."""

from __future__ import annotations

import pytest
import torch
from measured_orders import GBM, ONE, SPAN
from support import F64, refuses

from sdewm.exact.strong_problems import STRONG_PROBLEMS
from sdewm.solvers.base import Stepper
from sdewm.solvers.orders import convergence
from sdewm.solvers.registry import METHODS
from sdewm.systems.sde import FunctionSDE


def test_it_is_the_reference_that_leaves_the_numbers():
    """A tamed step gets through with a drift that Milstein's does not."""
    sde = FunctionSDE(lambda t, x: -(x**3), lambda t, x: 0.1 * x)
    with refuses(ArithmeticError, "reference", "Milstein", "not finite"):
        convergence(sde, 20 * ONE, SPAN, method="tamed-euler", paths=256)
    found = convergence(sde, 20 * ONE, SPAN, method="tamed-euler", reference="tamed-euler", paths=256)
    assert found.errors[-1] < 0.1


# -- a reference that is not the limit


def growth(mu: float):
    """The solution of dX = mu X dt + X/2 dB from 1."""
    return lambda W: torch.exp(mu - 0.125 + 0.5 * W)


@pytest.mark.parametrize(
    "method, mu, fault", [("milstein", 0.11, ""), ("milstein", 0.2, ": 'euler' is 0.0"), ("euler", 0.2, "")]
)
def test_a_wrong_exact_reference_is_suspected(method, mu, fault):
    """Errors level off at E|X' - X|²^½ of the two solutions."""
    found = convergence(GBM, ONE, SPAN, method=method, paths=1024, reference=growth(mu))
    assert found.regime == "levelling off" and not found.contains(found.order.mean), str(found)
    assert (
        "The exact reference may not solve this equation, or the scheme is not consistent with it" + fault
        in found.reason
    )
    assert ("so it is the reference" in found.reason) == bool(fault)
    right = convergence(GBM, ONE, SPAN, method=method, paths=1024, reference=growth(0.1))
    assert right.regime == "asymptotic" and right.own_slope == found.own_slope, str(right)


@pytest.mark.parametrize("kind", ["strong", "weak"])
def test_a_wrong_reference_of_an_exact_method(kind):
    """Solutions at all step lengths are one to rounding."""
    problem = STRONG_PROBLEMS["heisenberg, ito"]

    def wrong(W, A):
        return 1.02 * problem.reference(W, A)

    found = convergence(problem.sde, problem.x0, SPAN, method="milstein", reference=wrong, paths=256, kind=kind)
    assert found.regime == "levelling off" and found.errors[-1] == pytest.approx(found.errors[0]), str(found)


@pytest.mark.parametrize("levels", [(4, 5, 6), (3, 4, 5, 6, 7)])
def test_a_scheme_that_is_not_consistent_is_told_from_a_wrong_reference(levels):
    """A step that forgets half of the drift converges, to another equation's solution; Euler's tells which is wrong."""

    class Half(Stepper):
        strong_order, weak_order, sde_types = 1.0, 1.0, ("ito",)

        def step(self, sde, t, dt, x, dB, area=None):
            return METHODS["euler"].step(sde, t, dt, x, dB) - 5 * dt * sde.f(t, x)

    found = convergence(GBM, ONE, SPAN, method=Half(), paths=512, reference=growth(0.1), levels=levels)
    assert found.regime == "levelling off" and "from the reference, so it is the scheme" in found.reason, str(found)
    by_method = convergence(GBM, ONE, SPAN, method=Half(), paths=512, levels=levels)
    assert by_method.regime == "levelling off" and "One of the two methods is not consistent" in by_method.reason


def test_a_scheme_that_does_not_converge_is_not_the_references_fault():
    """Noise of its own at each step length: no two solutions come together."""

    class Own(Stepper):
        strong_order, weak_order, sde_types = 0.5, 1.0, ("ito",)

        def step(self, sde, t, dt, x, dB, area=None):
            # Of each path by itself: the last digits of its increment are as good as new.
            uniform = (1e9 * dB / dt).frac().abs().clamp(1e-6, 1 - 1e-6)
            return METHODS["euler"].step(sde, t, dt, x, dt**0.5 * 2**0.5 * torch.erfinv(2 * uniform - 1))

    found = convergence(GBM, ONE, SPAN, method=Own(), paths=2048, reference=growth(0.1))
    assert found.regime == "no convergence" and "do not come together" in str(found), str(found)


def test_a_reference_method_of_a_lower_order_is_no_other_limit():
    """Weak errors of Platen's scheme, of order 2, against Milstein's, of order 1."""
    sde = FunctionSDE(lambda t, x: 1.5 * x, lambda t, x: 0.3 * x)
    found = convergence(sde, ONE, SPAN, method="platen-weak", kind="weak", paths=2048, levels=(4, 5, 6, 7))
    assert found.regime != "levelling off", str(found)


# -- regimes without an order


def test_an_unstable_method_is_said():
    """A stiff decay by explicit steps that are too long: errors of any size, next to e^-50, have no order."""
    sde = FunctionSDE(lambda t, x: -50 * x, lambda t, x: 0.1 * x)
    found = convergence(sde, torch.ones(1, dtype=F64), SPAN, method="euler", levels=(2, 3, 4, 5), paths=256)
    assert found.regime == "unstable" and not found.contains(found.order.mean)
    assert "no order: unstable. At Δt = 0.0312 the error is larger than the solution itself" in str(found)


def test_a_reference_that_is_unstable_on_its_coarse_grids():
    """Errors of 10²³ are not small beside a reference of the same size, nor is 10⁻² within its rounding."""
    sde = FunctionSDE(lambda t, x: -200 * x, lambda t, x: 0.1 + 0 * x)
    found = convergence(sde, torch.ones(1, dtype=F64), SPAN, paths=256)
    assert found.regime == "unstable", str(found)


@pytest.mark.parametrize(
    ("kind", "drift", "noise"), [("weak", lambda t, x: x, 0.1), ("strong", lambda t, x: torch.sin(20 * t) * x, 0.0)]
)
def test_three_step_lengths_tell_no_order_where_local_orders_change(kind, drift, noise):
    """A curve goes through any three errors, and its limit was 0.984 ± 0.002 and 0.822 ± 0.005 for a true 1."""
    sde = FunctionSDE(drift, lambda t, x: noise * x + (0.1 if noise == 0 else 0.0))
    found = convergence(sde, torch.ones(1, dtype=F64), SPAN, levels=(2, 3, 4), kind=kind, paths=8192)
    assert found.regime == "pre-asymptotic" and "or a fourth length" in str(found), str(found)


def test_an_exact_method_is_said():
    problem = STRONG_PROBLEMS["heisenberg, ito"]
    found = convergence(problem.sde, problem.x0, SPAN, method="milstein", reference=problem.reference, paths=256)
    assert found.regime == "at rounding" and "no order: at rounding" in str(found)
    still = convergence(FunctionSDE(None, None), torch.ones(1, dtype=F64), SPAN, paths=256)
    assert still.regime == "at rounding" and "exact here" in str(still)


def test_a_weak_error_below_noise_is_said():
    """A martingale's mean is right at every step length: differences are noise."""
    sde = FunctionSDE(None, lambda t, x: 0.5 * x)
    found = convergence(
        sde, torch.ones(1, dtype=F64), SPAN, method="euler", kind="weak", functional=lambda x: x[:, 0], paths=1024
    )
    assert found.regime == "below noise" and "draw more paths" in str(found)


def test_an_order_above_the_declared_one_is_explained():
    """Noise so small that the drift's error, of order 1, is what these steps see."""
    sde = FunctionSDE(lambda t, x: 1.5 * x, lambda t, x: 0.02 * x)
    found = convergence(sde, torch.ones(1, dtype=F64), SPAN, method="euler", paths=1024)
    assert not found.contains(0.5) and "declared 0.5: higher, as where noise is simple" in str(found)
