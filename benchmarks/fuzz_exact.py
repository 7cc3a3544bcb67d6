"""Public functions of exact answers and of the approximation part: valid calls, and what arguments are replaced by."""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.fuzz_answers import Case, close, linear, quadratic
from benchmarks.fuzz_values import COUNTS, F64, NUMBERS, OBJECTS, STATES
from sdewm import approximation, exact
from sdewm.exact import LinearSDE, QuadraticLoss

Functions = dict[str, tuple[Callable[..., Any], dict[str, Any], dict[str, list[Any]]]]
# Each costs a matrix of its square: fewer than a thousand.
SIZES = [value for value in COUNTS if not (isinstance(value, float) and value > 1000)]


def exact_functions() -> Functions:
    """``name: (function, valid arguments, {argument: replacements})``."""
    eye, zero = np.eye(2), np.zeros(2)
    matrices = [*STATES, eye, eye.tolist(), eye * math.nan, np.ones((2, 3)), np.zeros((0, 2)), torch.eye(2), eye + 0j]
    stacks = [*matrices, np.zeros((1, 2, 2)), np.zeros((3, 2, 2)), np.zeros((0, 2, 2))]
    base = LinearSDE(-eye, zero, 0.1 * eye[None], zero[None])
    quadratic = QuadraticLoss(eye, zero)
    circle = exact.CircleSDE(np.cos, lambda x: 0.3 + 0 * x[None])
    torus = exact.TorusSDE(np.cos, lambda x: 0.3 * np.ones((len(x), 2, 1)))
    functions = [
        *OBJECTS, np.sin, lambda x: x.sum(), lambda x: x[:1], lambda x: x * math.nan, lambda x: 1.0, lambda x: x + 1j,
        lambda x: torch.as_tensor(x), lambda x: x, lambda x: [0.1] * len(x), lambda x: 0.1 + 0 * x[None],
    ]  # fmt: skip
    exactly = {"steps": SIZES, "degree": [value for value in COUNTS if type(value) is not int or value < 6]}
    line = {"horizon": NUMBERS, "x0": NUMBERS} | exactly
    periodic = {
        "base": OBJECTS,
        "error": OBJECTS,
        "loss": functions,
        "horizon": NUMBERS,
        "tolerance": NUMBERS,
    } | exactly
    convolution = approximation.Convolution(3, [1.0, -1.0])

    def one_measure(**given: Any) -> Any:
        return approximation.IntervalMeasure(**given).cdf(np.array([-1.0, 0.3]))

    def circle_sde(drift: Any, diffusion: Any) -> Any:
        made = exact.CircleSDE(drift, diffusion)
        return exact.kolmogorov_circle(made, made, np.cos, 0.0, 1.0, points=9, tolerance=1.0, degree=1)

    def torus_sde(drift: Any, diffusion: Any) -> Any:
        made = exact.TorusSDE(drift, diffusion)
        return exact.kolmogorov_torus(
            made, made, lambda x: np.cos(x[:, 0]), zero, 1.0, points=5, tolerance=9.0, degree=1
        )

    def carried(x: Any, **given: Any) -> Any:
        return approximation.QuantileMap(**given)(x)

    def network(x: Any, **given: Any) -> Any:
        return approximation.CNN(**given)(x)

    def moved(source: Any, target: Any, degree: Any) -> Any:
        return approximation.MoserMap(source, target, degree)(np.array([[0.1, 0.2]]))

    def weighed(weight: Any) -> Any:
        return approximation.DiskMeasure(weight).density(np.array([[0.1, 0.2]]))

    uniform, sloped = approximation.IntervalMeasure(), approximation.IntervalMeasure((1.0, 0.5))
    disk = approximation.DiskMeasure(lambda x: 1 + 0.1 * x[:, 0])
    points = [*STATES, np.zeros((1, 2)), np.zeros((3, 1))]
    return {
        "LinearSDE": (lambda **given: LinearSDE(**given).A, {"A": eye, "a": zero, "B": eye[None], "b": zero[None]},
                      {"A": matrices, "a": matrices, "B": stacks, "b": matrices}),
        "QuadraticLoss": (lambda **given: QuadraticLoss(**given).W, {"W": eye, "v": zero},
                          {"W": matrices, "v": matrices, "c": NUMBERS}),
        "moments": (exact.moments, {"base": base, "error": base, "loss": quadratic, "x0": zero, "horizon": 1.0},
                    {"base": OBJECTS, "error": [*OBJECTS, LinearSDE(eye, zero, np.zeros((2, 2, 2)), eye)],
                     "loss": OBJECTS, "x0": STATES, "horizon": NUMBERS, "intervals": SIZES} | exactly),
        "gbm_coefficients": (
            exact.gbm_coefficients,
            {"mu": 0.1, "sigma": 0.2, "nu": 1.0, "tau": 1.0, "x0": 1.0, "horizon": 1.0},
            {"power": SIZES} | dict.fromkeys(("mu", "sigma", "nu", "tau"), NUMBERS) | line),
        "ou_coefficients": (
            exact.ou_coefficients,
            {"theta": 1.0, "mean": 0.1, "s": 0.2, "drift_error": (0.1, 0.2), "noise_error": 0.1, "x0": 1.0,
             "horizon": 1.0},
            {"drift_error": STATES, "loss": [*OBJECTS, "x", "cos x", "x^3"]}
            | dict.fromkeys(("theta", "mean", "s", "noise_error"), NUMBERS) | line),
        "multi_indices": (exact.multi_indices, {"degree": 2}, {"degree": exactly["degree"]}),
        "kolmogorov_circle": (
            exact.kolmogorov_circle,
            {"base": circle, "error": circle, "loss": np.cos, "x0": 0.1, "horizon": 0.5, "points": 9, "tolerance": 1.0},
            periodic | {"x0": NUMBERS, "points": SIZES}),
        "kolmogorov_torus": (
            exact.kolmogorov_torus,
            {"base": torus, "error": torus, "loss": lambda x: np.cos(x[:, 0]), "x0": zero, "horizon": 0.5, "points": 5,
             "tolerance": 9.0},
            periodic | {"x0": STATES, "points": [value for value in SIZES if type(value) is not int or value < 32]}),
        "CircleSDE": (circle_sde, {"drift": np.cos, "diffusion": lambda x: 0.3 + 0 * x[None]},
                      {"drift": functions, "diffusion": functions}),
        "TorusSDE": (torus_sde, {"drift": np.cos, "diffusion": lambda x: 0.3 * np.ones((len(x), 2, 1))},
                     {"drift": functions, "diffusion": functions}),
        "IntervalMeasure": (one_measure, {"coefficients": (1.0, 0.5)},
                            {"coefficients": STATES, "kink": NUMBERS, "power": NUMBERS}),
        "QuantileMap": (carried, {"source": uniform, "target": sloped, "x": np.array([0.1])},
                        {"source": OBJECTS, "target": OBJECTS}),
        "DiskMeasure": (weighed, {"weight": lambda x: 1 + 0 * x[:, 0]}, {"weight": functions}),
        "MoserMap": (moved, {"source": disk, "target": disk, "degree": 4},
                     {"source": OBJECTS, "target": OBJECTS, "degree": SIZES[:14]}),
        "Convolution": (lambda **given: approximation.Convolution(**given).matrix(), {"size": 3, "filter": [1.0, -1.0]},
                        {"size": SIZES, "filter": points, "bias": points}),
        "Downsampling": (lambda **given: approximation.Downsampling(**given).matrix(), {"size": 4, "factor": 2},
                         {"size": SIZES, "factor": SIZES}),
        "CNN": (network, {"operators": [convolution], "x": torch.ones(2, 3, dtype=F64)},
                {"operators": [*OBJECTS, [convolution] * 2, [nn.ReLU()], [None], convolution],
                 "readout": [*OBJECTS, nn.Linear(2, 2), nn.Linear(4, 1, dtype=F64)]}),
        "ridge_network": (
            lambda **given: approximation.ridge_network(**given)(torch.ones(1, 2, dtype=F64)),
            {"directions": eye, "biases": zero, "outer": eye, "offset": zero},
            {"directions": matrices, "biases": matrices, "outer": matrices, "offset": matrices}),
    }  # fmt: skip


def moments_case(rng: Random) -> Case:
    """The moments of a linear system, summed over the two sizes, against their equations order by order."""
    s = linear(rng)
    n, m, zero = s["n"], s["m"], np.zeros(s["n"])
    base = LinearSDE(s["A"], s["a"], np.zeros((m, n, n)), s["b"].T)
    error = LinearSDE(s["C"], zero, np.zeros((m, n, n)), s["c"].T)
    loss = QuadraticLoss(2 * np.outer(s["v"], s["v"]), zero)

    def along(found: exact.Coefficients) -> list[float]:
        return [sum(value for (a, b), value in found.items() if a + b == k) for k in range(3)]

    call = lambda: along(exact.moments(base, error, loss, s["x0"], 1.0, degree=2))  # noqa: E731
    return Case("moments", "valid", call, check=lambda found: close(found, quadratic(s)[1], 1e-7))


def gbm_case(rng: Random) -> Case:
    """E x_T^p of the perturbed equation at an ε where the terms that are left out are of the last digits."""
    mu, sigma, nu, tau = (rng.uniform(-0.5, 0.5) for _ in range(4))
    power, eps = rng.choice([1, 2, 3]), 1e-3
    rate = power * (mu + eps * nu) + power * (power - 1) / 2 * (sigma + eps * tau) ** 2

    def call() -> Any:
        found = exact.gbm_coefficients(mu=mu, sigma=sigma, nu=nu, tau=tau, x0=1.2, horizon=1.0, power=power)
        return sum(value * eps ** (a + b) for (a, b), value in found.items())

    return Case("gbm_coefficients", "valid", call, check=lambda found: close(found, 1.2**power * math.exp(rate), 1e-10))


def ou_case(rng: Random) -> Case:
    """E cos x_T = Re E exp(i x_T) of a Gaussian, whose mean and variance are known, at a small ε."""
    theta, mean, s, c, eps = rng.uniform(0.2, 2.0), rng.uniform(-1, 1), rng.uniform(0.1, 0.6), rng.uniform(-1, 1), 1e-3

    def call() -> Any:
        found = exact.ou_coefficients(
            theta=theta, mean=mean, s=s, drift_error=(c, 0.0), noise_error=1.0, x0=0.7, horizon=1.0, loss="cos x"
        )
        return sum(value * eps ** (a + b) for (a, b), value in found.items())

    level, decay = mean + eps * c / theta, math.exp(-theta)
    middle, variance = level + (0.7 - level) * decay, (s + eps) ** 2 * (1 - decay**2) / (2 * theta)
    return Case(
        "ou_coefficients",
        "valid",
        call,
        check=lambda found: close(found, math.cos(middle) * math.exp(-variance / 2), 1e-10),
    )


def circle_case(rng: Random) -> Case:
    """E cos x_T on the circle where drift and noise are constant."""
    f, g, sigma, eps = rng.uniform(-1, 1), rng.uniform(0.1, 0.8), rng.uniform(-1, 1), 1e-3
    base = exact.CircleSDE(lambda x: f + 0 * x, lambda x: g + 0 * x[None])
    error = exact.CircleSDE(lambda x: sigma + 0 * x, lambda x: 0 * x[None])

    def call() -> Any:
        found = exact.kolmogorov_circle(base, error, np.cos, 0.3, 1.0, points=9).coefficients
        return sum(value * eps ** (a + b) for (a, b), value in found.items())

    right = math.cos(0.3 + f + eps * sigma) * math.exp(-(g**2) / 2)
    return Case("kolmogorov_circle", "valid", call, check=lambda found: close(found, right, 1e-9))


def ridge_case(rng: Random) -> Case:
    """A shallow network by numpy's products."""
    draw = np.random.default_rng(rng.getrandbits(32))
    n, units = rng.choice([1, 2, 4]), rng.choice([1, 3])
    w, b, c, d, x = (draw.normal(size=size) for size in ((units, n), (units,), (2, units), (2,), (5, n)))
    call = lambda: approximation.ridge_network(w, b, c, d)(torch.tensor(x))  # noqa: E731
    return Case(
        "ridge_network", "valid", call,
        check=lambda found: close(found.detach(), np.maximum(x @ w.T - b, 0) @ c.T + d),
    )  # fmt: skip


def quantile_case(rng: Random) -> Case:
    """Carried to the uniform measure, a point goes to where the share of the source before it is."""
    a, x = rng.uniform(-0.9, 0.9), np.array([rng.uniform(-1, 1)])
    source = approximation.IntervalMeasure((1.0, a))
    call = lambda: approximation.QuantileMap(source, approximation.IntervalMeasure())(x)  # noqa: E731
    return Case("QuantileMap", "valid", call, check=lambda y: close(y, x + a * (x**2 - 1) / 2, 1e-7))


EXACT = [moments_case, gbm_case, ou_case, circle_case, ridge_case, quantile_case]
