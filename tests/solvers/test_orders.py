"""Orders of convergence, measured: each scheme's interval has its declared order in it and the neighbour outside.

Intervals are at 99 % for the seeds at hand, and hold or fail with them.
"""

from __future__ import annotations

import copy
import warnings

import pytest
import torch
from support import F64, refuses
from torch import Tensor

from sdewm.exact import reference
from sdewm.exact.problems import PROBLEMS
from sdewm.exact.strong_problems import STRONG_PROBLEMS
from sdewm.jets import NonSmoothWarning
from sdewm.noise.brownian import BrownianPath
from sdewm.noise.grid import TimeGrid
from sdewm.noise.stored_areas import StoredAreas
from sdewm.solvers.base import Stepper
from sdewm.solvers.order_report import Convergence
from sdewm.solvers.orders import compare_methods, convergence
from sdewm.solvers.registry import METHODS
from sdewm.solvers.schemes.milstein import Milstein, PreparedMilstein
from sdewm.solvers.solve import solve
from sdewm.solvers.structure import noise_structure
from sdewm.systems.calculus import to_stratonovich
from sdewm.systems.sde import FunctionSDE

SPAN = (0.0, 1.0)
LEVELS = (3, 4, 5, 6)
ROTATION = torch.tensor([[0.0, -1.0], [1.0, 0.0]], dtype=F64)
MIXING = torch.tensor([[0.7, 0.3], [-0.4, 0.6]], dtype=F64)
PAIR = torch.tensor([0.3, -0.2], dtype=F64)


def matrices(*columns: Tensor):
    """The diffusion g_k(x) = B_k x."""
    return lambda t, x: torch.stack([x @ B.T for B in columns], -1)


def pull(t: Tensor, x: Tensor) -> Tensor:
    return torch.sin(x.flip(-1)) - x


LATENT = reference.latent_model(sequence_noise=True)
SYSTEMS = {
    "scalar": FunctionSDE(pull, lambda t, x: (0.7 + 0.5 * torch.sin(x.flip(-1))).unsqueeze(-1), "scalar"),
    "rotation": FunctionSDE(None, matrices(ROTATION), "scalar"),
    "diagonal": FunctionSDE(pull, lambda t, x: 0.8 * torch.sqrt(1 + x**2)),
    "commutative": FunctionSDE(None, lambda t, x: (0.8 + 0.6 * torch.sin(2 * x)).unsqueeze(-1) * MIXING, "general"),
    "crossed": FunctionSDE(None, lambda t, x: 0.8 * torch.sqrt(1 + x.flip(-1) ** 2)),
    "linear": PROBLEMS["linear"]().family.at(1.0),
    "latent noise": FunctionSDE(None, lambda t, x: 2 * LATENT.g(t, x), "general"),
}
STARTS = {
    "linear": torch.tensor([1.0, -0.5, 0.8], dtype=F64),
    "latent noise": reference.initial_state(),
    "rotation": torch.tensor([1.0, 0.0], dtype=F64),
}
ADDITIVE = FunctionSDE(
    lambda t, x: torch.sin(x.flip(-1) + 2 * t) - x,
    lambda t, x: (MIXING * (1 + 0.5 * torch.sin(3 * t))).expand(len(x), -1, -1),
    "general",
)
NON_COMMUTING = ("crossed", "linear", "latent noise")


def measured(name: str, method, **arguments) -> Convergence:
    # The latent model's nine channels cost the most.
    few = {"paths": 256, "levels": (2, 3, 4, 5), "refine": 1} if name == "latent noise" else {}
    few = {"paths": 512} if name == "linear" else few
    start, usual = STARTS.get(name, PAIR), {"levels": LEVELS, "paths": 1024}
    return convergence(SYSTEMS[name], start, SPAN, method=method, **(usual | few | arguments))


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


@pytest.mark.parametrize(
    "method, kind, usual", [("taylor-1.5", "strong", 1.5), ("milstein", "strong", 1.0), ("platen-weak", "weak", 2.0)]
)
def test_the_usual_reference_has_no_lower_order_than_what_is_measured(method, kind, usual):
    """Against Milstein's scheme one of order 1.5 seems to have order 1, and the interval is as narrow as any."""
    if kind == "strong":
        found = convergence(GBM, ONE, SPAN, method=method, levels=(3, 4, 5, 6), paths=1024)
        assert abs(found.slope.mean - usual) < 0.25, str(found)
    if method == "milstein":
        return
    with refuses(ValueError, "reference", f"{kind} order {usual:g} or more", repr(method), "'euler'"):
        convergence(GBM, ONE, SPAN, method=method, kind=kind, reference="euler", paths=256)


def test_it_is_the_reference_that_leaves_the_numbers():
    """A tamed step gets through with a drift that Milstein's does not."""
    sde = FunctionSDE(lambda t, x: -(x**3), lambda t, x: 0.1 * x)
    with refuses(ArithmeticError, "reference", "Milstein", "not finite"):
        convergence(sde, 20 * ONE, SPAN, method="tamed-euler", paths=256)
    found = convergence(sde, 20 * ONE, SPAN, method="tamed-euler", reference="tamed-euler", paths=256)
    assert found.errors[-1] < 0.1


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


# -- a reference that is not the limit

GBM = FunctionSDE(lambda t, x: 0.1 * x, lambda t, x: 0.5 * x)
ONE = torch.ones(1, dtype=F64)


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


@pytest.mark.parametrize("said", ["always", "ignore"])
def test_a_kink_is_said_once_a_call(said):
    """And not at each of 3,000 derivatives."""
    sde = FunctionSDE(lambda t, x: -x, lambda t, x: 0.3 * x.abs() + 0.1 * torch.relu(x))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter(said)
        compare_methods(sde, ONE, SPAN, methods={"one": "milstein", "other": "milstein"}, paths=256, levels=(2, 3, 4))
    names = [str(w.message).split()[0] for w in caught if issubclass(w.category, NonSmoothWarning)]
    assert names == (["abs", "relu"] if said == "always" else [])


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
    """Areas of the wrong variance have a test of their own, in ``test_levy.py``.

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


def test_several_methods_see_the_same_paths():
    methods = {"one": "euler", "other": "milstein", "own": Milstein()}
    together = compare_methods(SYSTEMS["diagonal"], PAIR, SPAN, methods=methods, levels=LEVELS, paths=256)
    assert list(together) == list(methods) and together["one"].declared == 0.5
    for name, method in methods.items():
        alone = measured("diagonal", method, paths=256)
        assert (together[name].errors == alone.errors).all() and together[name].slope == alone.slope
        assert together[name].own_slope == alone.own_slope
    with refuses(ValueError, "methods: expected at least one, got none"):
        compare_methods(SYSTEMS["diagonal"], PAIR, SPAN, methods={})


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


def test_the_number_of_paths_follows_from_the_precision():
    coarse, fine = (measured("diagonal", "milstein", paths=None, precision=p) for p in (0.1, 0.04))
    assert coarse.slope.n < fine.slope.n
    for found, precision in ((coarse, 0.1), (fine, 0.04)):
        assert found.slope.half_width(0.99) < 1.3 * precision
    with refuses(
        ValueError, "precision: expected a half-width that 1024 paths can give, got 0.001", "the first 512 gave"
    ):
        measured("diagonal", "milstein", paths=None, precision=0.001, max_paths=1024)


def test_the_seed_repeats_it():
    one, again, other = (measured("diagonal", "euler", paths=256, seed=s) for s in (1, 1, 2))
    assert (one.errors == again.errors).all() and (one.errors != other.errors).all()
    assert "euler, strong error, 256 paths" in str(one)
    assert one.rates.shape == (3,) and one.dt[0] == 1 / 8 and one.slope.seed == 1


def test_intervals_cover():
    """Twenty intervals at 90 %, each from 256 paths of its own: all but a few have the order in them."""
    covered = sum(
        measured("diagonal", "milstein", paths=256, seed=s, levels=(4, 5, 6), refine=1).contains(1.0, 0.9)
        for s in range(20)
    )
    # At a coverage of 0.9 fewer come up once in four hundred times; jackknives run a little low.
    assert covered >= 14


def test_stored_areas_coarsen_as_the_path_does():
    path = BrownianPath(2, 4, 3)
    steps = list(path.at(4, finest=4).areas())
    stored = StoredAreas(torch.stack([dB for dB, _ in steps]), torch.stack([area for _, area in steps]))
    for level in (0, 1, 3, 4):
        coarse = stored.coarsen(2 ** (4 - level))
        assert (coarse.steps, coarse.paths, coarse.channels, coarse.weights) == (2**level, 4, 3, None)
        for (dB, area), (dB2, area2) in zip(coarse.areas(), path.at(level, finest=4).areas(), strict=True):
            torch.testing.assert_close(dB, dB2, rtol=0, atol=1e-14)
            torch.testing.assert_close(area, area2, rtol=0, atol=1e-14)
    with refuses(ValueError, "factor: expected a divisor of 16 steps, got 3"):
        stored.coarsen(3)
    with refuses(ValueError, "increments, areas: expected shapes (steps, paths, m) and (steps, paths, m, m)"):
        StoredAreas(torch.zeros(2, 3, 2), torch.zeros(2, 3, 2))


@pytest.mark.parametrize(
    "arguments, fragments",
    [
        ({"levels": (3, 4)}, ["levels: expected at least three increasing numbers from 0 on, got [3, 4]"]),
        ({"levels": (3, 5, 4)}, ["levels: expected at least three increasing"]),
        ({"kind": "both"}, ["kind: expected 'strong' or 'weak', got 'both'"]),
        ({"functional": torch.sum}, ["functional: expected None"]),
        ({"precision": 0.0, "paths": None}, ["precision: expected a finite number greater than 0, got 0.0"]),
        ({"refine": 0}, ["refine: expected at least one level, got 0"]),
        ({"paths": 10}, ["paths: expected at least 256, got 10"]),
        ({"method": "heun"}, ["method: 'heun' is for Stratonovich SDEs"]),
        ({"method": "magic"}, ["method: expected one of", "got 'magic'"]),
    ],
)
def test_errors(arguments, fragments):
    with refuses(ValueError, *fragments):
        measured("diagonal", arguments.pop("method", "euler"), **arguments)
    with refuses(ValueError, "x0: expected one initial state (n,), got (1, 2)"):
        convergence(SYSTEMS["diagonal"], PAIR[None], SPAN, method="euler")


def test_a_reference_and_a_functional_of_another_shape_are_refused():
    gbm, one = FunctionSDE(lambda t, x: 0.1 * x, lambda t, x: 0.5 * x), torch.ones(1, dtype=F64)
    with refuses(ValueError, "reference: expected one state per path"):
        convergence(gbm, one, SPAN, paths=256, reference=lambda W: W[:, 0].exp())
    with refuses(ArithmeticError, "reference: expected finite numbers", "of 256 paths"):
        convergence(gbm, one, SPAN, paths=256, reference=lambda W: W.sqrt())
    with refuses(ArithmeticError, "functional: expected finite numbers", "of 256 paths"):
        convergence(gbm, one, SPAN, paths=256, kind="weak", functional=lambda x: x[:, 0] / 0.0)
    with refuses(ValueError, "functional: expected one number per path"):
        convergence(gbm, one, SPAN, paths=256, kind="weak", functional=lambda x: x**2)


@pytest.mark.parametrize("sde", [lambda t, x: x, torch.zeros(3), None])
def test_what_is_no_sde_is_named_before_a_reference_is_chosen(sde):
    with refuses((TypeError, ValueError), "sde"):
        convergence(sde, torch.ones(1, dtype=F64), (0.0, 1.0), method="euler", paths=256)
