"""check_assumptions: what it must find, what it must not, and that it says what goes with it."""

from __future__ import annotations

import doctest
import math

import pytest
import torch
from support import F64, refuses
from torch import nn

from sdewm import FunctionSDE, PerturbedSDE
from sdewm.divergence import assumptions
from sdewm.divergence.assumptions import check_assumptions
from sdewm.exact import reference
from sdewm.exact.problems import PROBLEMS

X0 = torch.zeros(3, dtype=F64)


def network(activation: nn.Module) -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(3, 24), activation, nn.Linear(24, 3)).double()


def found(drift, diffusion=None, **options) -> set[tuple[str, str]]:
    g = None if diffusion is None else lambda t, x: diffusion(x)
    report = check_assumptions(FunctionSDE(lambda t, x: drift(x), g), X0, **options)
    return {(v.coefficient, v.condition) for v in report.violations}


@pytest.mark.parametrize("smooth", [nn.Tanh(), nn.Sigmoid()], ids=lambda m: type(m).__name__)
def test_a_bounded_smooth_network_has_no_violation(smooth):
    assert found(network(smooth)) == set()


@pytest.mark.parametrize(
    ("activation", "smooth_to"),
    [(nn.ReLU(), "C⁰"), (nn.LeakyReLU(), "C⁰"), (nn.Hardtanh(), "C⁰"), (nn.ELU(), "C¹"), (nn.ELU(alpha=0.5), "C⁰"),
     (nn.SELU(), "C⁰"), (nn.Softsign(), "C¹")],
    ids=lambda v: type(v).__name__ if isinstance(v, nn.Module) else v,
)  # fmt: skip
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_kink_is_found_with_its_order(activation, smooth_to, seed):
    net = network(activation)
    report = check_assumptions(FunctionSDE(lambda t, x: net(x)), X0, seed=seed)
    (kink,) = [v for v in report.violations if v.condition == "class C³"]
    assert kink.detail.startswith(f"of class {smooth_to} only (")
    assert kink.affects


@pytest.mark.parametrize("smooth", [nn.GELU(), nn.SiLU(), nn.Mish(), nn.Softplus()], ids=lambda m: type(m).__name__)
def test_a_smooth_activation_that_grows_is_unbounded_and_nothing_else(smooth):
    assert found(network(smooth)) == {("drift", "bounded")}


@pytest.mark.parametrize(("power", "expected"), [(1.5, "of class C¹ only"), (2.5, "of class C² only"), (3.5, None)])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_cusp_in_a_high_derivative(power, expected, seed):
    """|x|^{5/2} is C² and not C³, and |x|^{7/2} is C³; a sine bounds all, and oscillates far more elsewhere."""
    # The tiny number keeps the power's derivatives from dividing by zero below the order that is infinite.
    report = check_assumptions(FunctionSDE(lambda t, x: torch.sin((x * x + 1e-60) ** (power / 2))), X0 + 0.3, seed=seed)
    assert [v.detail for v in report.violations if v.condition == "class C³"] == ([expected] if expected else [])


@pytest.mark.parametrize(
    ("power", "smooth_to"), [(1.0, "C⁰"), (1.5, "C¹"), (2.5, "C²")], ids=["norm", "power 3/2", "power 5/2"]
)
def test_a_power_of_the_norm_has_its_kink_at_the_origin(power, smooth_to):
    """At one point of space, which no line through x0 meets."""
    drift = lambda x: torch.tanh(((x * x).sum(-1, keepdim=True) + 1e-60) ** (power / 2)) * torch.ones_like(x)  # noqa: E731
    report = check_assumptions(FunctionSDE(lambda t, x: drift(x)), X0 + torch.tensor([0.3, -0.5, 0.9]))
    (kink,) = [v for v in report.violations if v.condition == "class C³"]
    assert kink.detail == f"of class {smooth_to} only"


@pytest.mark.parametrize(
    ("drift", "expected"),
    [
        (lambda x: torch.tanh(1000 * x), set()),
        (lambda x: torch.exp(-100 * x * x), set()),
        (lambda x: 1 / (1 + 1e4 * x * x), set()),
        (lambda x: torch.sin(50 * x), set()),
        (lambda x: torch.tanh(x) ** 5, set()),
        (lambda x: torch.sin(torch.sqrt(1e-12 + x * x)), set()),
    ],
    ids=["steep", "bump", "Runge", "fast", "flat", "rounded corner"],
)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_what_is_steep_is_not_taken_for_a_kink(drift, expected, seed):
    assert found(drift, seed=seed) == expected


@pytest.mark.parametrize(
    ("drift", "expected"),
    [
        (lambda x: x, {("drift", "bounded")}),
        (lambda x: x * x, {("drift", "bounded"), ("drift", "bounded derivatives")}),
        (lambda x: torch.sin(x * x), {("drift", "bounded derivatives")}),
        (torch.sin, set()),
        (torch.exp, {("drift", "bounded"), ("drift", "bounded derivatives")}),
    ],
    ids=["linear", "square", "chirp", "sine", "exponential"],
)
def test_growth(drift, expected):
    assert found(drift) == expected


def test_growth_tells_whether_the_proofs_still_hold():
    linear = check_assumptions(FunctionSDE(lambda t, x: x), X0)
    square = check_assumptions(FunctionSDE(lambda t, x: x * x), X0)
    assert "not affected" in str(linear) and "no theorem of the paper applies" in str(square)


def test_the_diffusion_and_the_error_are_judged_by_themselves():
    family = PerturbedSDE(
        FunctionSDE(lambda t, x: torch.sin(x), lambda t, x: torch.cos(x)),
        FunctionSDE(lambda t, x: torch.tanh(x), lambda t, x: x),
    )
    (only,) = check_assumptions(family, X0).violations
    assert (only.assumption, only.coefficient, only.condition) == ("3.2", "sigma_bar", "bounded")


def test_the_reference_model_meets_both_assumptions():
    report = check_assumptions(reference.latent_family(), reference.initial_state())
    assert not report.violations and "does not prove" in str(report)
    assert {"q_enc", "f", "p_bar", "q_dec_bar", "sigma", "sigma_bar"} <= set(report.growth)


def test_a_latent_model_names_the_coefficient():
    problem = PROBLEMS["latent-linear"]()
    report = check_assumptions(problem.family, problem.x0)
    assert {v.coefficient for v in report.violations} == {
        "q_enc", "f", "p", "q_dec", "q_enc_bar", "p_bar", "q_dec_bar", "sigma", "sigma_bar",
    }  # fmt: skip


def test_the_circles_periodic_coefficients_are_bounded_at_any_seed():
    problem = PROBLEMS["circle"]()
    for seed in range(5):
        assert not check_assumptions(problem.family, problem.x0, seed=seed).violations


def test_bad_input_says_which():
    sde = FunctionSDE(lambda t, x: x)
    with refuses(ValueError, "x0", "float64", "float32"):
        check_assumptions(sde, torch.zeros(2))
    with refuses(ValueError, "x0", "(2, 3)"):
        check_assumptions(sde, torch.zeros(2, 3, dtype=F64))
    with refuses(ValueError, "lines", "0"):
        check_assumptions(sde, X0, lines=0)

    for x0 in (X0 * math.nan, [], 0.5, "x"):
        with refuses(ValueError, "x0"):
            check_assumptions(sde, x0)
    for name, values in {"lines": (2.5, "8", None, -1), "t": ("a", math.nan, None), "seed": ("a", 2.5, -1)}.items():
        for value in values:
            with refuses(ValueError, f"{name}: expected"):
                check_assumptions(sde, X0, **{name: value})
    for system in (3, None, "sde"):
        with refuses(TypeError, "system: expected"):
            check_assumptions(system, X0)
    matrix = torch.eye(2, dtype=F64)
    for system, name in (
        (FunctionSDE(lambda t, x: x @ matrix), "drift"),
        (FunctionSDE(None, lambda t, x: x @ matrix), "diffusion"),
    ):
        with refuses(ValueError, f"{name}: expected a coefficient that takes states (paths, 3)", "RuntimeError"):
            check_assumptions(system, X0)
    assert str(check_assumptions(sde, [0.0, 0.0, 0.0])) == str(check_assumptions(sde, X0))


def report_of(drift, x0: float) -> list[tuple[str, str]]:
    start = torch.tensor([x0, -0.3 * x0], dtype=F64)
    return [(v.condition, v.detail) for v in check_assumptions(FunctionSDE(lambda t, x: drift(x)), start).violations]


@pytest.mark.parametrize("size", [1e-100, 1e-19, 1.0, 1e12])
def test_the_size_of_a_coefficient_does_not_matter(size):
    for drift in (
        torch.sin,
        lambda x: x,
        lambda x: x**3,
        torch.exp,
        lambda x: torch.tanh(torch.relu(x)),
        lambda x: torch.tanh(x * x.abs()),
        lambda x: torch.sin(x) + (x > 1),
        lambda x: torch.sin(x * x),
    ):
        assert report_of(lambda x, f=drift: size * f(x), 0.8) == report_of(drift, 0.8)


@pytest.mark.parametrize("unit", [1e-9, 1e-3, 1e9])
def test_the_unit_of_the_state_does_not_matter(unit):
    """x0 tells it; the derivatives' sizes go with its powers."""
    for drift in (
        torch.tanh,
        lambda x: x,
        lambda x: x**3,
        lambda x: torch.tanh(torch.relu(x)),
        lambda x: torch.tanh(x * x.abs()),
        lambda x: torch.sin(x) + (x > 1),
    ):
        assert report_of(lambda x, f=drift: f(x / unit), 0.8 * unit) == report_of(drift, 0.8)


@pytest.mark.parametrize("x0", [1e-9, 1e9])
def test_kinks_at_a_distance_of_one_are_found_from_any_state(x0):
    assert ("class C³", "of class C⁰ only (relu)") in report_of(lambda x: torch.tanh(torch.relu(x - 1)), x0)
    assert report_of(torch.tanh, x0) == []


def test_examples():
    assert doctest.testmod(assumptions).failed == 0


@pytest.mark.parametrize("name", ["sqrt", "log"])
def test_what_leaves_its_domain_does_not_jump(name):
    report = check_assumptions(FunctionSDE(lambda t, x: getattr(torch, name)(x)), torch.tensor([0.8], dtype=F64))
    assert f"it leaves the domain of {name}" in str(report) and "jumps" not in str(report)
    assert "it jumps (floor)" in str(check_assumptions(FunctionSDE(lambda t, x: x.floor()), torch.ones(1, dtype=F64)))
