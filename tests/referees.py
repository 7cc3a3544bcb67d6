"""Problems that several ways of finding exact coefficients are held against each other on."""

import math

import numpy as np
import pytest

from sdewm.exact import (
    CircleSDE,
    LinearSDE,
    QuadraticLoss,
    kolmogorov_circle,
    moments,
    multi_indices,
)

ZERO, ONE = np.zeros((1, 1)), np.ones((1, 1))
SQUARE, IDENTITY = QuadraticLoss(2 * ONE, ZERO[0]), QuadraticLoss(ZERO, ONE[0])
GBM = dict(mu=0.1, sigma=0.3, nu=0.5, tau=0.4, x0=1.2, horizon=0.8)
OU = dict(theta=0.7, mean=0.4, s=0.3, drift_error=(0.3, 0.5), noise_error=0.6, x0=1.2, horizon=0.8)
WAVY = CircleSDE(lambda x: 0.8 * np.sin(x) + 0.3, lambda x: np.stack([0.35 + 0.2 * np.cos(x), 0.2 * np.sin(2 * x)]))
WAVY_ERROR = CircleSDE(lambda x: 0.6 * np.cos(x) + 0.2, lambda x: np.stack([0.5 + 0.3 * np.sin(x), 0.4 * np.cos(x)]))


def scalar(slope: float, offset: float, noise_slope: float, noise_offset: float) -> LinearSDE:
    return LinearSDE(slope * ONE, offset * ONE[0], noise_slope * ONE[None], noise_offset * ONE)


def gbm_moments(loss: QuadraticLoss = SQUARE, steps: int | None = None, **p: float) -> dict:
    base, error = scalar(p["mu"], 0, p["sigma"], 0), scalar(p["nu"], 0, p["tau"], 0)
    return moments(base, error, loss, np.array([p["x0"]]), p["horizon"], steps=steps)


def ou_moments(loss: QuadraticLoss, steps: int | None) -> dict:
    base = scalar(-OU["theta"], OU["theta"] * OU["mean"], 0, OU["s"])
    error = scalar(OU["drift_error"][1], OU["drift_error"][0], 0, OU["noise_error"])
    return moments(base, error, loss, np.array([OU["x0"]]), OU["horizon"], steps=steps)


def random_linear(seed: int, n: int = 3, m: int = 2) -> tuple[LinearSDE, LinearSDE, QuadraticLoss, np.ndarray]:
    rng = np.random.default_rng(seed)

    def draw() -> LinearSDE:
        return LinearSDE(
            *(0.4 * rng.standard_normal(shape) for shape in ((n, n), (n,), (m, n, n), (m, n))),
        )

    loss = QuadraticLoss(rng.standard_normal((n, n)), rng.standard_normal(n), 0.3)
    return draw(), draw(), loss, rng.standard_normal(n)


def assert_same(actual: dict, expected: dict, tolerance: float = 1e-12) -> None:
    assert actual.keys() == expected.keys()
    for alpha, value in expected.items():
        assert actual[alpha] == pytest.approx(value, abs=tolerance, rel=tolerance), alpha


SPEED, SPEED_ERROR, NOISE, NOISE_ERROR = 0.7, 0.5, 0.4, 0.6


def rotating(steps: int | None = None, degree: int = 3) -> dict:
    constant = CircleSDE(lambda x: 0 * x + SPEED, lambda x: 0 * x[None] + NOISE)
    error = CircleSDE(lambda x: 0 * x + SPEED_ERROR, lambda x: 0 * x[None] + NOISE_ERROR)
    return kolmogorov_circle(
        constant, error, np.cos, 0.3, 1.2, steps=steps, points=15, degree=degree, tolerance=1e-10
    ).coefficients


def rotating_by_hand() -> dict:
    """E cos(x + cT + sB_T) = e^{-s²T/2} cos(x + cT), differentiated by hand in s and c."""
    t, s, tau = 1.2, NOISE, NOISE_ERROR
    phase, turn = 0.3 + SPEED * t, SPEED_ERROR * t
    p, q = -s * tau * t, -(tau**2) * t / 2
    damping = [math.exp(-(s**2) * t / 2) * f for f in (1, p, q + p**2 / 2, p * q + p**3 / 6)]
    cos, sin = math.cos(phase), math.sin(phase)
    wave = [cos, -turn * sin, -(turn**2) * cos / 2, turn**3 * sin / 6]
    return {(a, b): damping[a] * wave[b] for a, b in multi_indices(3)}
