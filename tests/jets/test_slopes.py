"""Functions too steep for the paths: said where paths are on both sides and hardly any on the slope, only there."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable

import pytest
import torch
from support import F64
from torch import Tensor
from torch.nn import functional as F

from sdewm import FunctionSDE, PerturbedSDE, TimeGrid, expand
from sdewm.jets import Jet, JetSpace, NonSmoothWarning, SlopeWarning
from sdewm.solvers.compiled import NotCompiled

GRID = TimeGrid(0.0, 1.0, 4)
BROWNIAN = PerturbedSDE(
    FunctionSDE(g=lambda t, x: torch.ones_like(x)), FunctionSDE(lambda t, x: torch.ones_like(x), None)
)
Function = Callable[[Tensor], Tensor]
STEPS: dict[str, Function] = {
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "erf": torch.erf,
    "erfc": torch.erfc,
    "atan": torch.atan,
    "logsigmoid": F.logsigmoid,
    "ndtr": torch.special.ndtr,
    "silu": F.silu,
    "softplus": F.softplus,
    "gelu": F.gelu,
    "mish": F.mish,
    "softmax": lambda u: torch.softmax(torch.stack([u, torch.zeros_like(u)], -1), -1)[..., 0],
    "softmin": lambda u: F.softmin(torch.stack([u, torch.zeros_like(u)], -1), -1)[..., 0],
    "log_softmax": lambda u: torch.log_softmax(torch.stack([u, torch.zeros_like(u)], -1), -1)[..., 0],
    "logsumexp": lambda u: torch.logsumexp(torch.stack([u, torch.zeros_like(u)], -1), -1),
}


def said(function: Function, slope: float, x0: float, paths: int = 4096) -> set[str]:
    """What is said of E f(slope · (W + ε t)) to order 2."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        expansion = expand(
            BROWNIAN, lambda x: function(slope * x[:, 0]), torch.tensor([x0], dtype=F64), GRID, paths=paths
        )
    told = {str(w.message).split()[0] for w in caught if issubclass(w.category, SlopeWarning)}
    assert told == {name for name in expansion.kinks if name in STEPS}
    return told


ZERO = torch.zeros((), dtype=F64)


def _matrix(u: Tensor) -> Tensor:
    return u[:, None, None]


# Steep functions that have no rule of their own, or whose peak is no exp; what is said of them.
WITHIN: dict[str, tuple[str, Function]] = {
    "logistic loss": (
        "binary_cross_entropy_with_logits",
        lambda u: F.binary_cross_entropy_with_logits(1e6 * u, ZERO.expand_as(u), reduction="none"),
    ),
    "cross entropy": (
        "log_softmax",
        lambda u: F.cross_entropy(torch.stack([1e6 * u, 0 * u], 1), torch.zeros(len(u)).long(), reduction="none"),
    ),
    "several labels": (
        "logsigmoid",
        lambda u: F.multilabel_soft_margin_loss(1e6 * u[:, None], ZERO.expand(len(u), 1), reduction="none"),
    ),
    "high power": ("pow", lambda u: torch.cos(u) ** 1e8),
    "whole high power": ("pow", lambda u: torch.cos(u) ** 10**8),
    "low power": ("pow", lambda u: (1 + u * u) ** -1e12),
    "matrix exponential": ("matrix_exp", lambda u: torch.linalg.matrix_exp(-((1e6 * _matrix(u)) ** 2))[:, 0, 0]),
    "high matrix power": ("matrix_power", lambda u: torch.linalg.matrix_power(torch.cos(_matrix(u)), 10**8)[:, 0, 0]),
    "complex exponential": ("exp", lambda u: torch.exp(torch.complex(-((1e6 * u) ** 2), u)).real),
}


@pytest.mark.parametrize("name", WITHIN)
def test_a_slope_inside_of_a_function_is_said(name: str) -> None:
    told, function = WITHIN[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NonSmoothWarning)
        found = expand(BROWNIAN, lambda x: function(x[:, 0]), torch.tensor([0.1], dtype=F64), GRID, paths=256)
    assert found.kinks == (told,)


GENTLE_WITHIN: dict[str, Function] = {
    "logistic loss": lambda u: F.binary_cross_entropy_with_logits(3 * u, ZERO.expand_as(u), reduction="none"),
    "cross entropy": lambda u: F.cross_entropy(
        torch.stack([3 * u, 0 * u], 1), torch.zeros(len(u)).long(), reduction="none"
    ),
    "matrix exponential": lambda u: torch.linalg.matrix_exp(-(_matrix(u) ** 2))[:, 0, 0],
    "a high matrix power": lambda u: torch.linalg.matrix_power(1 + _matrix(u) / 100, 100)[:, 0, 0],
    "a high power": lambda u: (1 + u / 100) ** 100,
    "a low one": lambda u: (1 + u * u / 1000) ** -1000.0,
}


@pytest.mark.parametrize("name", GENTLE_WITHIN)
def test_a_gentle_function_is_left_alone(name: str) -> None:
    function = GENTLE_WITHIN[name]
    assert expand(BROWNIAN, lambda x: function(x[:, 0]), torch.tensor([0.1], dtype=F64), GRID, paths=256).kinks == ()


@pytest.mark.parametrize("name", STEPS)
def test_a_slope_between_the_paths_is_said(name: str) -> None:
    assert said(STEPS[name], 1e6, 0.1) == {name}


@pytest.mark.parametrize("name", STEPS)
def test_a_slope_that_paths_resolve_is_left_alone(name: str) -> None:
    assert not said(STEPS[name], 8.0, 0.1)


@pytest.mark.parametrize("name", STEPS)
def test_a_slope_on_whose_one_side_all_paths_are_is_left_alone(name: str) -> None:
    assert not said(STEPS[name], 1e6 if name != "logsigmoid" else 1e5, 60.0)


@pytest.mark.parametrize("function", [torch.exp, torch.exp2, torch.expm1])
@pytest.mark.parametrize("slope, lost", [(1e3, True), (4.0, False)])
def test_a_peak_between_the_paths_is_said(function: Function, slope: float, lost: bool) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = expand(
            BROWNIAN,
            lambda x: function(-((slope * x[:, 0]) ** 2)),
            torch.tensor([0.1], dtype=F64),
            GRID,
            paths=4096,
        )
    expected = {function.__name__} if lost else set()
    assert {str(w.message).split()[0] for w in caught if issubclass(w.category, SlopeWarning)} == expected
    assert set(found.kinks) == expected


def test_without_a_word_a_peak_would_be_lost() -> None:
    # E exp(−(kx)²) is √(π/k²) times the density at 0, to the width of the peak.
    slope, start = 1e6, 0.1
    with pytest.warns(SlopeWarning, match="exp is so steep"):
        e = expand(
            BROWNIAN,
            lambda x: slope * torch.exp(-((slope * x[:, 0]) ** 2)),
            torch.tensor([start], dtype=F64),
            GRID,
            paths=4096,
        )
    truth = -start * math.sqrt(math.pi) * math.exp(-start * start / 2) / math.sqrt(2 * math.pi)
    assert abs(e.first.mean - truth) > 0.9 * abs(truth)


def test_softplus_counts_in_units_of_its_own() -> None:
    assert said(lambda u: F.softplus(u, beta=1e6), 1.0, 0.0) == {"softplus"}
    assert not said(lambda u: F.softplus(u, beta=1e-6), 1e6, 0.0)


def test_without_a_word_the_second_coefficient_would_be_wrong() -> None:
    # E softplus(βx)/β is E max(x, 0), whose second derivative along the mean is the density at 0: ½ε²t²φ(0).
    with pytest.warns(SlopeWarning, match="softplus is so steep"):
        e = expand(BROWNIAN, lambda x: F.softplus(x[:, 0], beta=1e9), torch.tensor([0.0], dtype=F64), GRID, paths=4096)
    truth = 0.5 / math.sqrt(2 * math.pi)
    assert abs(e.second.mean - truth) > 0.9 * truth
    assert abs(e.first.mean - 0.5) <= 5 * e.first.stderr


def test_masked_attention_is_left_alone() -> None:
    mask = torch.tensor([0.0, -1e9, 0.0], dtype=F64)
    with warnings.catch_warnings():
        warnings.simplefilter("error", NonSmoothWarning)
        expand(
            BROWNIAN,
            lambda x: torch.softmax(x * torch.tensor([1.0, 2.0, -1.0], dtype=F64) + mask, -1)[:, 0],
            torch.tensor([0.3], dtype=F64),
            GRID,
            paths=32,
        )


def test_complex_arguments_and_single_paths_are_left_alone() -> None:
    z = Jet(torch.tensor([[1e6 + 1j, -1e6 + 1j], [1.0, 1.0]], dtype=torch.complex128), JetSpace(1, 1))
    x = Jet(torch.tensor([-1e6, 1.0], dtype=F64), JetSpace(1, 1))
    with warnings.catch_warnings():
        warnings.simplefilter("error", SlopeWarning)
        for jet in (z, x):
            assert torch.equal(torch.tanh(jet).value, torch.tanh(jet.value))


@pytest.mark.parametrize("threshold, reached", [(4.0, True), (50.0, False)])
def test_compiled_walks_of_steep_functions(threshold: float, reached: bool) -> None:
    """Where the paths that both walk are on both sides it is said; where others may be, the plain step looks at all."""
    base = FunctionSDE(lambda t, x: torch.tanh(1e6 * (x - threshold)), lambda t, x: torch.ones_like(x))
    family = PerturbedSDE(base, FunctionSDE(lambda t, x: torch.ones_like(x), None))
    said = pytest.warns(SlopeWarning) if reached else pytest.warns(NotCompiled, match="edge of tanh")
    with said:
        found = expand(
            family, lambda x: x[:, 0], torch.tensor([2.0], dtype=F64), TimeGrid(0.0, 2.0, 16), paths=4096, compile=True
        )
    assert ("tanh" in found.kinks) == reached
