"""Each scheme's measured order: its interval has the declared one in it and the neighbour outside; mistakes are seen.

Intervals are at 99 % for the seeds at hand, and hold or fail with them.
"""

from __future__ import annotations

import copy

import pytest
import torch
from measured_orders import (
    LATENT,
    LEVELS,
    MIXING,
    NON_COMMUTING,
    PAIR,
    ROTATION,
    SPAN,
    STARTS,
    SYSTEMS,
    matrices,
    measured,
    pull,
)
from support import F64, refuses
from torch import Tensor

from sdewm.exact import reference
from sdewm.exact.strong_problems import STRONG_PROBLEMS
from sdewm.noise.brownian import BrownianPath
from sdewm.noise.grid import TimeGrid
from sdewm.solvers.base import Stepper
from sdewm.solvers.orders import compare_methods, convergence
from sdewm.solvers.registry import METHODS
from sdewm.solvers.schemes.milstein import Milstein, PreparedMilstein
from sdewm.solvers.solve import solve
from sdewm.solvers.structure import noise_structure
from sdewm.systems.calculus import to_stratonovich
from sdewm.systems.sde import FunctionSDE

ADDITIVE = FunctionSDE(
    lambda t, x: torch.sin(x.flip(-1) + 2 * t) - x,
    lambda t, x: (MIXING * (1 + 0.5 * torch.sin(3 * t))).expand(len(x), -1, -1),
    "general",
)


@pytest.mark.parametrize("name", SYSTEMS)
def test_euler_has_order_one_half_and_milstein_one(name):
    """Held against Milstein on a finer grid; pairs that are said not to commute do not."""
    structure = noise_structure(SYSTEMS[name], STARTS.get(name, PAIR), TimeGrid(*SPAN, 8))
    assert structure.needs_areas == (name in NON_COMMUTING)
    assert (structure.commutator > 0.05) == (name in NON_COMMUTING)
    euler, milstein = measured(name, "euler"), measured(name, "milstein")
    for found, other in ((euler, 1.0), (milstein, 0.5)):
        assert found.contains(found.declared) and not found.contains(other), str(found)
    assert milstein.errors[-1] < 0.5 * euler.errors[-1]


@pytest.mark.parametrize(
    "name, method",
    [
        *((name, "sri2") for name in ("scalar", "diagonal", "commutative", "crossed", "linear")),
        *((name, "platen-weak") for name in ("diagonal", "crossed")),
    ],
)
def test_derivative_free_schemes_have_order_one_and_milsteins_limit(name, method):
    found = measured(name, method)
    assert found.contains(1.0) and not found.contains(0.5), str(found)


@pytest.mark.parametrize("method", ["implicit-euler", "split-step", "tamed-euler"])
def test_schemes_for_hard_drifts_have_eulers_order_and_limit(method):
    found = measured("crossed", method)
    assert found.contains(found.declared) and not found.contains(1.0), str(found)


@pytest.mark.parametrize("name", ["spiral", "sinh of two noises", "two curves", "rotation"])
def test_order_one_and_a_half_where_noises_commute(name):
    """Against exact solutions; "two curves" has diagonal noise, "rotation" a scalar one, the others commute."""
    problem = STRONG_PROBLEMS[f"{name}, ito"]
    found = convergence(
        problem.sde, problem.x0, SPAN, method="taylor-1.5", reference=problem.reference, levels=(3, 4, 5, 6), paths=1024
    )
    assert found.contains(1.5) and not found.contains(1.0) and not found.contains(2.0), str(found)


@pytest.mark.parametrize("method", ["sra1", "taylor-1.5"])
def test_order_one_and_a_half_for_additive_noise(method):
    found = convergence(ADDITIVE, PAIR, SPAN, method=method, reference="sra1", levels=(5, 6, 7), refine=1, paths=1024)
    assert found.contains(1.5) and not found.contains(1.0) and not found.contains(2.0), str(found)


@pytest.mark.parametrize("method", ["sra1", "taylor-1.5"])
def test_integrals_drawn_by_themselves_are_caught(method):
    """With another path's integrals over time there is order 1 at most."""

    class Strange(type(METHODS[method])):
        def step(self, sde, t, dt, x, dB, area=None):
            # Of each path by itself: what the increment does not know of the integral has the other sign.
            return super().step(sde, t, dt, x, dB, dt * dB - area)

        def prepare(self, sde, x0, grid):
            return Strange(super().prepare(sde, x0, grid).structure)

    found = convergence(
        ADDITIVE, PAIR, SPAN, method=Strange(), reference="sra1", levels=(5, 6, 7), refine=1, paths=1024
    )
    assert found.interval()[1] < 1.5, str(found)


def test_noise_that_a_scheme_is_not_for_is_refused_by_its_structure():
    with refuses(ValueError, "method: expected additive noise for RoesslerSRA1, found diagonal noise", '"taylor-1.5"'):
        solve(SYSTEMS["diagonal"], PAIR, TimeGrid(*SPAN, 8), method="sra1", paths=4)
    with refuses(ValueError, "method", "diagonal or commutative noise for Taylor15, found general", '"milstein"'):
        solve(SYSTEMS["crossed"], PAIR, TimeGrid(*SPAN, 8), method="taylor-1.5", paths=4)
    for method in ("sra1", "taylor-1.5"):
        with refuses(ValueError, "area: expected (paths, m), the integrals of the noise"):
            METHODS[method].step(ADDITIVE, torch.tensor(0.0, dtype=F64), 0.1, PAIR[None], PAIR[None])


def test_heun_declares_its_order_by_the_structure_of_the_noise():
    """Order 1 where noises commute, and ½ elsewhere: measured, and declared before."""
    for name, order in (("spiral", 1.0), ("grushin", 0.5)):
        problem = STRONG_PROBLEMS[f"{name}, stratonovich"]
        found = convergence(problem.sde, problem.x0, SPAN, method="heun", reference=problem.reference, paths=1024)
        assert found.declared == order and found.contains(order) and not found.contains(1.5 - order), str(found)
        structure = noise_structure(problem.sde, problem.x0, TimeGrid(*SPAN, 8))
        assert METHODS["heun"].order_on(structure) == order
        assert METHODS["milstein"].order_on(structure) == 1.0 and METHODS["euler"].order_on(structure) == 0.5


def test_additive_noise():
    """Euler has order 1 and is Milstein's scheme."""
    sde = FunctionSDE(pull, lambda t, x: MIXING.expand(len(x), -1, -1), "additive")
    euler, milstein = (convergence(sde, PAIR, SPAN, method=m, levels=LEVELS, paths=512) for m in ("euler", "milstein"))
    assert euler.contains(1.0) and not euler.contains(0.5)
    assert (euler.errors == milstein.errors).all()


def test_the_latent_model():
    """With its drift, at its own size."""
    found = convergence(
        LATENT, reference.initial_state(), SPAN, method="milstein", levels=(2, 3, 4), refine=1, paths=256
    )
    assert found.contains(1.0) and not found.contains(0.5), str(found)


# -- the right limit


def rotated(B: Tensor) -> Tensor:
    return torch.cat([torch.cos(B), torch.sin(B)], -1)


@pytest.mark.parametrize("method", ["euler", "milstein", "sri2"])
def test_against_an_exact_solution(method):
    """dX = A X dB with A a rotation: X = e^{t/2} (cos B, sin B)."""
    found = measured("rotation", method, reference=lambda B: 1.6487212707001282 * rotated(B))
    assert found.contains(found.declared), str(found)


@pytest.mark.parametrize("method", ["heun", "milstein"])
def test_against_an_exact_stratonovich_solution(method):
    """dX = A X ∘dB with A a rotation: X = (cos B, sin B). Heun has order 1 there."""
    sde = FunctionSDE(None, matrices(ROTATION), "scalar", "stratonovich")
    found = convergence(sde, STARTS["rotation"], SPAN, method=method, reference=rotated, levels=LEVELS, paths=1024)
    assert found.contains(1.0) and not found.contains(0.5), str(found)


def test_heun_on_noise_that_does_not_commute():
    """Order ½, and the limit is that of the Itô equation it was made from, by way of Milstein."""
    sde = to_stratonovich(SYSTEMS["crossed"])
    found = convergence(sde, PAIR, SPAN, method="heun", levels=LEVELS, paths=1024)
    assert found.contains(0.5) and not found.contains(1.0), str(found)
    noise = BrownianPath(1, 500, 2).at(6, finest=6)
    ito = solve(SYSTEMS["crossed"], PAIR, noise.grid, method="milstein", noise=noise)
    torch.testing.assert_close(solve(sde, PAIR, noise.grid, method="milstein", noise=noise), ito, rtol=0, atol=1e-11)


@pytest.mark.parametrize("calculus", ["ito", "stratonovich"])
def test_a_solution_of_areas_too(calculus):
    """Noise that does not commute, held against the exact solution; with the area reversed there is no order at all."""
    problem = STRONG_PROBLEMS[f"twisted coordinates, {calculus}"]
    first = "euler" if calculus == "ito" else "heun"
    options = {"levels": (3, 4, 5, 6), "paths": 512}
    found = compare_methods(
        problem.sde,
        problem.x0,
        SPAN,
        methods={first: first, "milstein": "milstein"},
        reference=problem.reference,
        **options,
    )
    assert found[first].contains(0.5) and not found[first].contains(1.0), str(found[first])
    assert found["milstein"].contains(1.0) and not found["milstein"].contains(0.5), str(found["milstein"])

    def wrong(W: Tensor, A: Tensor) -> Tensor:
        return problem.reference(W, -A)

    reversed_ = convergence(problem.sde, problem.x0, SPAN, method="milstein", reference=wrong, **options)
    assert reversed_.regime == "levelling off" and "so it is the reference" in reversed_.reason, str(reversed_)
    assert reversed_.slope.interval(0.99)[1] < 0.2 and reversed_.errors[-1] > 0.3, str(reversed_)


# -- mistakes that must be seen


def mutant(method: str, tamper):
    """A scheme with its areas tampered with."""

    class Mutant(type(METHODS[method])):
        def prepare(self, sde, x0, grid):
            prepared = super().prepare(sde, x0, grid)

            class Tampered(type(prepared)):
                def step(self, sde, t, dt, x, dB, area=None):
                    return super().step(sde, t, dt, x, dB, tamper(dB, dt, area))

            tampered = copy.copy(prepared)
            tampered.__class__ = Tampered
            return tampered

    return Mutant()


def fresh(dB: Tensor, dt: float, area: Tensor) -> Tensor:
    """Of each path by itself, with signs from the last digits of its increment: as likely as the area, and not its."""
    return area * (2 * (1e9 * dB[:, :1, None] / dt).abs().floor().remainder(2) - 1)


MUTANTS = {
    "no area": lambda dB, dt, area: torch.zeros_like(area),
    "transposed": lambda dB, dt, area: area.mT,
    "fresh at each level": fresh,
}


@pytest.mark.parametrize("method", ["milstein", "sri2", "platen-weak"])
@pytest.mark.parametrize("name", MUTANTS)
def test_mutants_are_caught(name, method):
    """Areas of the wrong variance have a test of their own, in ``tests/noise/test_levy.py``.

    1,024 paths know an order to ±0.5; to tell ½ from 1 on either side, ±0.2 is asked for, which takes 8 times as many.
    """
    found = measured("crossed", mutant(method, MUTANTS[name]), levels=(3, 4, 5), paths=2**13)
    assert not found.contains(1.0) and found.contains(0.5), str(found)


def test_a_wrong_limit_is_caught():
    """The Itô scheme without its −½ΔtΣ∂g_k[g_k] converges, to the Stratonovich solution."""

    class Wrong(Milstein):
        def prepare(self, sde, x0, grid):
            class Stratonovich(PreparedMilstein):
                def step(self, sde, t, dt, x, dB, area=None):
                    meant = FunctionSDE(sde.f, sde.g, sde.noise_type, "stratonovich")
                    return super().step(meant, t, dt, x, dB, area)

            prepared = super().prepare(sde, x0, grid)
            return Stratonovich(prepared.structure, prepared.directions)

    found = measured("diagonal", Wrong())
    assert found.interval()[1] < 0.3, str(found)
    # Towards its own limit it has Milstein's order: the two are told apart.
    low, high = found.own_slope.interval(0.99)
    assert low < 1.0 < high and low > 0.6


# -- coefficients that depend on time


class Frozen:
    """The same coefficients, at the initial time for ever."""

    def __init__(self, sde) -> None:
        self.sde, self.noise_type, self.sde_type = sde, sde.noise_type, sde.sde_type

    def f(self, t: Tensor, x: Tensor) -> Tensor:
        return self.sde.f(0 * t, x)

    def g(self, t: Tensor, x: Tensor) -> Tensor:
        return self.sde.g(0 * t, x)


TIMED = FunctionSDE(
    lambda t, x: 2 * torch.cos(4 * t) - t * x,
    lambda t, x: (0.8 + 0.5 * torch.sin(3 * t)) * torch.sqrt(1 + x.flip(-1) ** 2),
)


class Late(Stepper):
    """A scheme that looks at the initial time alone."""

    def __init__(self, scheme) -> None:
        self.scheme, self.structure, self.sde_types = scheme, scheme.structure, scheme.sde_types
        self.strong_order, self.weak_order = scheme.strong_order, scheme.weak_order

    def prepare(self, sde, x0, grid):
        return Late(self.scheme.prepare(sde, x0, grid))

    def step(self, sde, *rest):
        return self.scheme.step(Frozen(sde), *rest)


@pytest.mark.parametrize(
    "method, form",
    [
        *((method, "ito") for method in ("euler", "milstein", "sri2", "platen-weak")),
        *((method, "stratonovich") for method in ("heun", "milstein")),
    ],
)
def test_orders_with_time_in_the_coefficients(method, form):
    """Noise that does not commute; and a scheme that forgets the time does not converge."""
    sde = TIMED if form == "ito" else to_stratonovich(TIMED)
    found = convergence(sde, PAIR, SPAN, method=method, levels=(4, 5, 6), paths=1024)
    assert found.contains(found.declared) and not found.contains(1.5 - found.declared), str(found)
    late = convergence(sde, PAIR, SPAN, method=Late(METHODS[method]), levels=(3, 4, 5), refine=1, paths=256)
    assert late.interval()[1] < 0.3, str(late)


def test_sequential_steps_with_time_in_the_observation():
    found = convergence(
        LATENT, reference.initial_state(), SPAN, method="euler-sequential", levels=(2, 3, 4), refine=1, paths=256
    )
    # The drift's error, of order 1, is still larger than the noise's on these steps: between the two orders.
    assert 0.4 < found.interval()[0] and found.interval()[1] < 1.1, str(found)


# -- the measurement itself


def test_weak_orders():
    """E|x|² of geometric Brownian motion with a strong drift: Euler 1, Platen's scheme 2."""
    sde = FunctionSDE(lambda t, x: 1.5 * x, lambda t, x: 0.3 * x)
    for method, order in (("euler", 1.0), ("platen-weak", 2.0)):
        found = convergence(
            sde,
            torch.ones(1, dtype=F64),
            SPAN,
            method=method,
            reference="platen-weak",
            kind="weak",
            levels=(5, 6, 7),
            paths=2048,
        )
        assert found.declared == order
        assert abs(found.slope.mean - order) < 0.1 and not found.contains(1.5), str(found)
