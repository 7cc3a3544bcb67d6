"""What the exact answers take is checked, and no coefficient that is not finite leaves them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from support import refuses

from sdewm.exact import (
    CircleSDE,
    LinearSDE,
    QuadraticLoss,
    TorusSDE,
    gbm_coefficients,
    kolmogorov_circle,
    kolmogorov_torus,
    moments,
    multi_indices,
    ou_coefficients,
)

EYE, ZERO = np.eye(2), np.zeros(2)
LINEAR, QUADRATIC = LinearSDE(-EYE, ZERO, 0.1 * EYE[None], ZERO[None]), QuadraticLoss(EYE, ZERO)
CIRCLE = CircleSDE(np.cos, lambda x: 0.3 + 0 * x[None])
TORUS = TorusSDE(np.cos, lambda x: 0.3 * np.ones((len(x), 2, 1)))
GBM = {"mu": 0.1, "sigma": 0.2, "nu": 1.0, "tau": 1.0, "x0": 1.0, "horizon": 1.0}
OU = {"theta": 1.0, "mean": 0.0, "s": 0.2, "drift_error": (0.1, 0.0), "noise_error": 1.0, "x0": 1.0, "horizon": 1.0}
MOMENTS = {"base": LINEAR, "error": LINEAR, "loss": QUADRATIC, "x0": ZERO, "horizon": 1.0}
ON_CIRCLE = {"base": CIRCLE, "error": CIRCLE, "loss": np.cos, "x0": 0.1, "horizon": 0.5, "points": 9, "tolerance": 1.0}
ON_TORUS = ON_CIRCLE | {"base": TORUS, "error": TORUS, "loss": lambda x: np.cos(x[:, 0]), "x0": ZERO, "points": 5}
FUNCTIONS = {
    gbm_coefficients: GBM,
    ou_coefficients: OU,
    moments: MOMENTS,
    kolmogorov_circle: ON_CIRCLE,
    kolmogorov_torus: ON_TORUS,
}
ODD: dict[str, list[Any]] = {
    "number": [None, "1", True, math.nan, [1.0], 1j],
    "count": [None, "1", True, 0.5, -1, np.zeros(2)],
    "array": [None, "1", 1.0, [[1.0], [1.0, 2.0]], [math.nan, 0.0], [1j, 0.0], np.zeros(3)],
    "object": [None, 1.0, [], np.zeros(2), torch.zeros(2)],
}
KINDS = (
    dict.fromkeys(("mu", "sigma", "nu", "tau", "theta", "mean", "s", "noise_error", "horizon", "tolerance"), "number")
    | dict.fromkeys(("degree", "power", "intervals", "points"), "count")
    | dict.fromkeys(("drift_error",), "array")
    | dict.fromkeys(("base", "error", "loss"), "object")
)


def taken(function: Any) -> list[tuple[str, Any]]:
    names = [name for name in function.__kwdefaults__ or {} if name in KINDS] + [
        n for n in FUNCTIONS[function] if n in KINDS
    ]
    arrays = {"x0": "array" if isinstance(FUNCTIONS[function]["x0"], np.ndarray) else "number"}
    return [(name, value) for name in [*dict.fromkeys(names), "x0"] for value in ODD[(KINDS | arrays)[name]]]


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
def test_what_an_argument_cannot_be_is_named(function):
    """Numbers, counts, arrays and objects of other kinds came out of numpy as what it cannot multiply."""
    for name, value in taken(function):
        with pytest.raises((ValueError, TypeError), match=f"^{name}[.\\w\\[\\]]*: expected"):
            function(**FUNCTIONS[function] | {name: value})


def test_degrees_are_whole():
    with refuses(ValueError, "degree: expected an integer of at least 0, got 1.5"):
        multi_indices(1.5)


@pytest.mark.parametrize("name", ["A", "a", "B", "b"])
def test_a_linear_system_names_its_array(name):
    given = {"A": EYE, "a": ZERO, "B": EYE[None], "b": ZERO[None]}
    for value in (None, [[1.0], [1.0, 2.0]], np.zeros((0, 2)), math.nan * EYE):
        with pytest.raises(ValueError, match=f"^{name}: expected"):
            LinearSDE(**given | {name: value})
    listed = LinearSDE(**{key: value.tolist() for key, value in given.items()})
    assert moments(listed, listed, QUADRATIC, [0.5, 0.1], 0.1) == moments(
        LinearSDE(**given), LinearSDE(**given), QUADRATIC, np.array([0.5, 0.1]), 0.1
    )


def test_functions_of_points_are_named():
    for name, function in (("drift", lambda x: x.sum()), ("diffusion", lambda x: None), ("drift", lambda x: {}[0])):
        odd = CircleSDE(**{"drift": np.cos, "diffusion": CIRCLE.diffusion} | {name: function})
        with refuses(ValueError, f"base.{name}: expected"):
            kolmogorov_circle(**ON_CIRCLE | {"base": odd})


def test_what_overflows_is_no_answer():
    """It was an infinite coefficient, or Python's OverflowError."""
    for change in ({"mu": 1e308}, {"x0": 1e200}, {"x0": 1e200, "steps": 4}):
        with refuses(ArithmeticError, "horizon: the coefficient of (0, 0) is", "not finite"):
            gbm_coefficients(**GBM | change)
    with refuses(ArithmeticError, "horizon: the coefficient"):
        ou_coefficients(**OU | {"theta": -1e5})


def test_a_time_that_takes_too_long_is_refused_before_it_begins():
    for function in (moments, kolmogorov_circle, kolmogorov_torus):
        with refuses(ValueError, "horizon: expected at most"):
            function(**FUNCTIONS[function] | {"horizon": 1e9})


def test_at_time_0_the_loss_is_that_of_the_start():
    for function in (kolmogorov_circle, kolmogorov_torus):
        found = function(**FUNCTIONS[function] | {"horizon": 0.0}).coefficients
        start = np.cos(0.1) if function is kolmogorov_circle else 1.0
        assert found[0, 0] == pytest.approx(start, abs=1e-12)
        assert all(abs(value) < 1e-12 for alpha, value in found.items() if alpha != (0, 0))
