"""Kolmogorov's equation on the circle and the torus: by hand, without the algebra, and its own error."""

import numpy as np
import pytest
from referees import WAVY, WAVY_ERROR, assert_same, rotating, rotating_by_hand
from support import taylor_by_interpolation

from sdewm.exact import (
    CircleSDE,
    TorusSDE,
    algebra,
    kolmogorov_circle,
    kolmogorov_torus,
    multi_indices,
)

# -- the circle ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [None, 1, 9])
def test_rotation_and_heat_kernel(steps):
    """Constant coefficients: the Euler grid is exact, and both are known by hand."""
    assert_same(rotating(steps), rotating_by_hand(), 1e-11)


@pytest.mark.parametrize("steps", [None, 6])
def test_circle_without_the_algebra(steps):
    def run(base: CircleSDE, degree: int) -> dict:
        return kolmogorov_circle(
            base, WAVY_ERROR, np.cos, 0.4, 0.5, steps=steps, points=25, degree=degree, tolerance=1e-3
        ).coefficients

    def value(a: float, b: float) -> float:
        shifted = CircleSDE(
            lambda x: WAVY.drift(x) + b * WAVY_ERROR.drift(x),
            lambda x: WAVY.diffusion(x) + a * WAVY_ERROR.diffusion(x),
        )
        return run(shifted, 0)[0, 0]

    assert_same(run(WAVY, 3), taylor_by_interpolation(value, radius=0.2), 1e-6)


def test_circle_euler_grid_by_quadrature():
    """Two Euler steps of a two-channel equation, integrated over both Gaussian steps by Gauss–Hermite."""
    z, w = np.polynomial.hermite_e.hermegauss(30)
    w, dt = w / w.sum(), 0.25

    def step(x: np.ndarray, a: float, b: float) -> np.ndarray:
        drift = WAVY.drift(x) + b * WAVY_ERROR.drift(x)
        noise = WAVY.diffusion(x) + a * WAVY_ERROR.diffusion(x)
        return (x + drift * dt)[..., None] + np.sqrt((noise**2).sum(0) * dt)[..., None] * z

    def value(a: float, b: float) -> float:
        return float(w @ (np.cos(step(step(np.array([0.4]), a, b)[0], a, b)) @ w))

    answer = kolmogorov_circle(WAVY, WAVY_ERROR, np.cos, 0.4, 0.5, steps=2).coefficients
    assert_same(answer, taylor_by_interpolation(value, nodes=11, radius=0.3), 1e-7)


def test_circle_converges_spectrally_and_reports_its_error():
    def run(points: int):
        return kolmogorov_circle(WAVY, WAVY_ERROR, np.cos, 0.4, 0.7, points=points, tolerance=1.0)

    exact = run(57).coefficients
    previous = 1.0
    for points in (15, 25, 35):
        answer = run(points)
        error = max(abs(answer.coefficients[alpha] - exact[alpha]) for alpha in exact)
        assert error < previous / 5
        assert error / 2 < answer.error < 2 * error
        previous = error


def test_circle_conserves_probability():
    answer = kolmogorov_circle(WAVY, WAVY_ERROR, np.ones_like, 0.4, 0.7, points=25).coefficients
    assert_same(answer, {alpha: float(alpha == (0, 0)) for alpha in multi_indices(3)})


def test_circle_refuses_too_coarse_a_grid():
    with pytest.raises(ArithmeticError, match="9 collocation points leave an error"):
        kolmogorov_circle(WAVY, WAVY_ERROR, np.cos, 0.4, 0.7, points=9)


# -- the torus -----------------------------------------------------------------------------------------------


MILD = CircleSDE(lambda x: 0.3 * np.sin(x) + 0.2, lambda x: np.stack([0.5 + 0.1 * np.cos(x), 0.2 * np.cos(x)]))
MILD_ERROR = CircleSDE(lambda x: 0.4 * np.cos(x) + 0.1, lambda x: np.stack([0.2 + 0.1 * np.sin(x), 0.1 + 0 * x]))


def side_by_side(x: CircleSDE, y: CircleSDE) -> TorusSDE:
    """Two equations on circles, each with noises of its own."""

    def diffusion(point: np.ndarray) -> np.ndarray:
        first, second = x.diffusion(point[:, 0]), y.diffusion(point[:, 1])
        rows = [np.concatenate([first, 0 * second]), np.concatenate([0 * first, second])]
        return np.stack([row.T for row in rows], 1)

    return TorusSDE(lambda point: np.stack([x.drift(point[:, 0]), y.drift(point[:, 1])], -1), diffusion)


@pytest.mark.parametrize("steps", [None, 5])
def test_torus_of_two_circles(steps):
    """Coordinates that know nothing of each other: the circle's answers, and for a product loss their product."""
    other_error = CircleSDE(np.cos, lambda x: 0.3 + 0 * WAVY.diffusion(x))
    base, error = side_by_side(MILD, WAVY), side_by_side(MILD_ERROR, other_error)

    def circle(base: CircleSDE, error: CircleSDE, loss, x0: float) -> dict:
        return kolmogorov_circle(base, error, loss, x0, 0.4, steps=steps, points=23, tolerance=1.0).coefficients

    first = circle(MILD, MILD_ERROR, np.cos, 0.4)
    second = circle(WAVY, other_error, np.sin, -0.3)
    for loss, expected in (
        (lambda x: np.cos(x[:, 0]), first),
        (lambda x: np.cos(x[:, 0]) * np.sin(x[:, 1]), algebra.floats(algebra.product(first, second, 3), 3)),
    ):
        found = kolmogorov_torus(base, error, loss, np.array([0.4, -0.3]), 0.4, steps=steps, points=23, tolerance=1.0)
        assert_same(found.coefficients, expected, 1e-9)


@pytest.mark.parametrize("steps", [None, 3])
def test_torus_across_a_correlated_noise(steps):
    """Constant coefficients: κ·x is an equation on the circle. Sees the mixed derivative, and every sign of it."""
    vectors = {"f": (0.7, -0.4), "η": (0.5, 0.3), "g": ((0.4, 0.1), (-0.3, 0.5)), "ηk": ((0.6, -0.2), (0.1, 0.4))}

    def constant(drift, noise) -> TorusSDE:
        return TorusSDE(lambda x: 0 * x + np.array(drift), lambda x: 0 * x[..., None] + np.array(noise))

    def along(wave: np.ndarray, drift, noise) -> CircleSDE:
        rows = wave @ np.array(noise)
        return CircleSDE(lambda x: 0 * x + wave @ np.array(drift), lambda x: 0 * x[None] + rows[:, None])

    x0 = np.array([0.3, -0.5])
    for wave in (np.array([1, 2]), np.array([2, -1])):
        found = kolmogorov_torus(
            constant(vectors["f"], vectors["g"]),
            constant(vectors["η"], vectors["ηk"]),
            lambda x, k=wave: np.cos(x @ k),
            x0,
            1.2,
            steps=steps,
            points=7,
        ).coefficients
        expected = kolmogorov_circle(
            along(wave, vectors["f"], vectors["g"]),
            along(wave, vectors["η"], vectors["ηk"]),
            np.cos,
            float(wave @ x0),
            1.2,
            steps=steps,
            points=7,
        ).coefficients
        assert_same(found, expected, 1e-10)


def mixed(a: float = 0.0, b: float = 0.0) -> TorusSDE:
    """A torus whose coordinates and noises are all mixed up, with errors (a, b) built in."""
    return TorusSDE(
        lambda x: np.stack([0.4 * np.sin(x[:, 1]) + 0.3 + b * np.cos(x[:, 0]), 0.3 * np.cos(x[:, 0])], -1),
        lambda x: np.stack(
            [0.6 + 0.15 * np.cos(x[:, 1]), a * np.sin(x[:, 1]), 0.2 * np.sin(x[:, 0]) + a, 0.6 + 0 * x[:, 0]], -1
        ).reshape(-1, 2, 2),
    )


MIXED_ERROR = TorusSDE(
    lambda x: mixed(0, 1).drift(x) - mixed().drift(x), lambda x: mixed(1).diffusion(x) - mixed().diffusion(x)
)


def on_the_torus(base: TorusSDE = mixed(), **options):  # noqa: B008
    options = {"points": 13, "tolerance": 1.0} | options
    return kolmogorov_torus(
        base, MIXED_ERROR, lambda x: np.cos(x[:, 0] - x[:, 1]), np.array([0.4, -0.2]), 0.5, **options
    )


@pytest.mark.parametrize("steps", [None, 4])
def test_torus_without_the_algebra(steps):
    def value(a: float, b: float) -> float:
        return on_the_torus(mixed(a, b), steps=steps, degree=0).coefficients[0, 0]

    expected = taylor_by_interpolation(value, radius=0.2, nodes=7)
    assert_same(on_the_torus(steps=steps).coefficients, expected, 1e-5)


def test_torus_converges_spectrally_and_reports_its_error():
    exact = on_the_torus(points=25).coefficients
    previous = 1.0
    for points in (7, 11, 15):
        answer = on_the_torus(points=points)
        error = max(abs(answer.coefficients[alpha] - exact[alpha]) for alpha in exact)
        assert error < previous / 10
        assert error / 2 < answer.error < 2 * error
        previous = error
    with pytest.raises(ArithmeticError, match="7 collocation points leave an error"):
        on_the_torus(points=7, tolerance=1e-8)


# -- errors --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: kolmogorov_circle(CircleSDE(np.sin, np.cos), WAVY_ERROR, np.cos, 0.0, 1.0),
            r"base\.diffusion: expected shape",
        ),
        (lambda: kolmogorov_circle(WAVY, WAVY_ERROR, np.cos, 0.0, 1.0, points=32), "points"),
        (lambda: kolmogorov_circle(WAVY, WAVY_ERROR, lambda x: x, 0.0, 1.0), "loss: expected a 2π-periodic"),
        (lambda: on_the_torus(points=12), "points: expected an odd number"),
        (lambda: on_the_torus(steps=0), "steps"),
        (lambda: on_the_torus(TorusSDE(lambda x: x, mixed().diffusion)), "base.drift: expected a 2π-periodic"),
        (lambda: on_the_torus(TorusSDE(mixed().drift, mixed().drift)), r"base.diffusion: expected shape"),
    ],
)
def test_wrong_arguments_on_circle_and_torus_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
