"""The referees against each other, formulas by hand, and themselves without the nilpotent algebra."""

import dataclasses
import doctest
import importlib
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdewm.exact import (
    CircleSDE,
    LinearSDE,
    QuadraticLoss,
    TorusSDE,
    algebra,
    gbm_coefficients,
    kolmogorov_circle,
    kolmogorov_torus,
    moments,
    multi_indices,
    ou_coefficients,
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


def taylor_by_interpolation(function, radius: float = 0.3, nodes: int = 9) -> dict:
    """Taylor coefficients of function(ε_a, ε_b) at 0 from its values on a Chebyshev grid alone."""
    t = radius * np.cos(np.pi * (np.arange(nodes) + 0.5) / nodes)
    values = np.array([[function(a, b) for b in t] for a in t])
    inverse = np.linalg.inv(np.vander(t / radius, increasing=True))
    c = inverse @ values @ inverse.T
    return {(a, b): c[a, b] / radius ** (a + b) for a, b in multi_indices(3)}


def assert_same(actual: dict, expected: dict, tolerance: float = 1e-12) -> None:
    assert actual.keys() == expected.keys()
    for alpha, value in expected.items():
        assert actual[alpha] == pytest.approx(value, abs=tolerance, rel=tolerance), alpha


def differ(actual: dict, expected: dict) -> set:
    return {alpha for alpha in expected if abs(actual[alpha] - expected[alpha]) > 1e-3}


# -- the algebra ---------------------------------------------------------------------------------------------


def test_docstring_examples():
    found = doctest.testmod(importlib.import_module("sdewm.exact.linear"))
    assert found.attempted > 0 and found.failed == 0


def test_indices():
    assert multi_indices(2) == ((0, 0), (1, 0), (0, 1), (2, 0), (1, 1), (0, 2))
    assert len(multi_indices()) == 10


def test_multiplication_matrices_commute_and_are_nilpotent():
    n_a, n_b = algebra.multiplication_matrices(3)
    assert np.array_equal(n_a @ n_b, n_b @ n_a)
    for a, b in multi_indices(4):
        power = np.linalg.matrix_power(n_a, a) @ np.linalg.matrix_power(n_b, b)
        assert power.any() == (a + b <= 3)


def test_matrices_and_polynomials_are_the_same_algebra():
    rng = np.random.default_rng(0)
    p, q = ({alpha: rng.standard_normal((2, 2)) for alpha in multi_indices(3)} for _ in range(2))
    product = algebra.product(p, q, 3, np.matmul)
    lifted = algebra.as_matrix(p, 3) @ algebra.as_matrix(q, 3)
    np.testing.assert_allclose(lifted.toarray(), algebra.as_matrix(product, 3).toarray(), atol=1e-14)


# -- closed forms and moment equations -----------------------------------------------------------------------


def test_e1_witness():
    """dx = (σ + ε) x dB, L = x²: the ε² coefficient is x0² e^{σ²t} (t + 2σ²t²), not the printed t + 3σ²t²."""
    sigma, t, x0 = 0.4, 1.3, 0.9
    p = dict(mu=0.0, sigma=sigma, nu=0.0, tau=1.0, x0=x0, horizon=t)
    by_hand = x0**2 * math.exp(sigma**2 * t) * (t + 2 * sigma**2 * t**2)
    printed = x0**2 * math.exp(sigma**2 * t) * (t + 3 * sigma**2 * t**2)
    for c in (gbm_coefficients(**p), gbm_moments(**p)):
        assert c[2, 0] == pytest.approx(by_hand, rel=1e-13)
        assert abs(c[2, 0] - printed) > 0.1
        assert c[1, 0] == pytest.approx(x0**2 * math.exp(sigma**2 * t) * 2 * sigma * t, rel=1e-13)


@pytest.mark.parametrize("steps", [None, 1, 7, 64])
def test_gbm_two_ways(steps):
    assert_same(gbm_moments(steps=steps, **GBM), gbm_coefficients(steps=steps, **GBM))
    assert_same(gbm_moments(IDENTITY, steps, **GBM), gbm_coefficients(power=1, steps=steps, **GBM))


size = st.floats(-0.8, 0.8)


@settings(max_examples=25, deadline=None)
@given(
    mu=size,
    sigma=size,
    nu=size,
    tau=size,
    x0=st.floats(-2, 2),
    horizon=st.floats(0.1, 2),
    steps=st.sampled_from([None, 5]),
)
def test_gbm_two_ways_for_any_parameters(steps, **p):
    assert_same(gbm_moments(steps=steps, **p), gbm_coefficients(steps=steps, **p), 1e-10)


def test_gbm_by_hand():
    c, t = gbm_coefficients(**GBM, power=3), GBM["horizon"]
    value = GBM["x0"] ** 3 * math.exp((3 * GBM["mu"] + 3 * GBM["sigma"] ** 2) * t)
    a, b, d = 6 * GBM["sigma"] * GBM["tau"] * t, 3 * GBM["nu"] * t, 3 * GBM["tau"] ** 2 * t
    by_hand = {
        (0, 0): 1, (1, 0): a, (0, 1): b, (2, 0): d + a**2 / 2, (1, 1): a * b, (0, 2): b**2 / 2,
        (3, 0): a * d + a**3 / 6, (2, 1): (d + a**2 / 2) * b, (1, 2): a * b**2 / 2, (0, 3): b**3 / 6,
    }  # fmt: skip
    assert_same(c, {alpha: value * factor for alpha, factor in by_hand.items()})


@pytest.mark.parametrize("power", [1, 2, 3, 4, 5])
def test_gbm_power_on_the_grid_by_quadrature(power):
    z, w = np.polynomial.hermite_e.hermegauss(12)
    w, dt = w / w.sum(), GBM["horizon"] / 3

    def value(a: float, b: float) -> float:
        growth = 1 + (GBM["mu"] + b * GBM["nu"]) * dt + (GBM["sigma"] + a * GBM["tau"]) * math.sqrt(dt) * z
        return GBM["x0"] ** power * (w @ growth**power) ** 3

    expected = taylor_by_interpolation(value, nodes=16, radius=1.0)
    assert_same(gbm_coefficients(power=power, steps=3, **GBM), expected, 1e-9)


@pytest.mark.parametrize("steps", [None, 1, 7, 64])
def test_ou_two_ways(steps):
    assert_same(ou_coefficients(loss="x", steps=steps, **OU), ou_moments(IDENTITY, steps))
    assert_same(ou_coefficients(loss="x^2", steps=steps, **OU), ou_moments(SQUARE, steps))


def test_ou_cosine_from_its_normal_law():
    def value(a: float, b: float) -> float:
        kappa = OU["theta"] - b * OU["drift_error"][1]
        r = math.exp(-kappa * OU["horizon"])
        average = r * OU["x0"] + (OU["theta"] * OU["mean"] + b * OU["drift_error"][0]) * (1 - r) / kappa
        variance = (OU["s"] + a * OU["noise_error"]) ** 2 * (1 - r**2) / (2 * kappa)
        return math.exp(-variance / 2) * math.cos(average)

    assert_same(ou_coefficients(loss="cos x", **OU), taylor_by_interpolation(value), 1e-7)


@pytest.mark.parametrize("steps", [None, 5])
def test_moments_without_the_algebra(steps):
    base, error, loss, x0 = random_linear(1)

    def value(a: float, b: float) -> float:
        shifted = LinearSDE(base.A + b * error.A, base.a + b * error.a, base.B + a * error.B, base.b + a * error.b)
        return moments(shifted, error, loss, x0, 0.7, steps=steps, degree=0)[0, 0]

    assert_same(moments(base, error, loss, x0, 0.7, steps=steps), taylor_by_interpolation(value), 1e-6)


def test_lower_degree_is_a_part_of_the_higher():
    base, error, loss, x0 = random_linear(2)
    high = moments(base, error, loss, x0, 0.7)
    low = moments(base, error, loss, x0, 0.7, degree=2)
    assert_same(low, {alpha: high[alpha] for alpha in multi_indices(2)})


@pytest.mark.parametrize("steps", [None, 12])
def test_sum_over_intervals(steps):
    base, error, loss, x0 = random_linear(3)
    parts = [
        moments(base, error, loss, x0, 0.3 * j, steps=None if steps is None else steps * j // 3) for j in (1, 2, 3)
    ]
    expected = {alpha: sum(part[alpha] for part in parts) for alpha in parts[0]}
    assert_same(moments(base, error, loss, x0, 0.9, steps=steps, intervals=3), expected)


def euler_cases():
    base, error, loss, x0 = random_linear(4)
    return {
        "gbm": lambda steps: gbm_coefficients(steps=steps, **GBM),
        "ou": lambda steps: ou_coefficients(loss="cos x", steps=steps, **OU),
        "moments": lambda steps: moments(base, error, loss, x0, 0.7, steps=steps),
        "circle": lambda steps: (
            kolmogorov_circle(WAVY, WAVY_ERROR, np.cos, 0.4, 0.7, steps=steps, points=39, tolerance=1e-5).coefficients
        ),
    }


@pytest.mark.parametrize("name", ["gbm", "ou", "moments", "circle"])
def test_euler_grid_tends_to_continuous_time_at_first_order(name):
    answer = euler_cases()[name]
    exact, grids = answer(None), {steps: answer(steps) for steps in (128, 256, 512)}
    for alpha, value in exact.items():
        bias = {steps: grid[alpha] - value for steps, grid in grids.items()}
        # bias = c Δt + O(Δt²): it halves, and Richardson's extrapolations leave O(Δt²), which quarters.
        assert bias[256] == pytest.approx(bias[128] / 2, rel=0.1, abs=1e-5), alpha
        assert bias[512] == pytest.approx(bias[256] / 2, rel=0.05, abs=5e-6), alpha
        coarse, fine = 2 * bias[256] - bias[128], 2 * bias[512] - bias[256]
        assert fine == pytest.approx(coarse / 4, rel=0.1, abs=1e-7), alpha


# -- the circle ----------------------------------------------------------------------------------------------

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
    assert_same(answer, taylor_by_interpolation(value, nodes=11), 1e-7)


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


def test_the_block_by_block_product_is_the_lifted_matrix():
    rng = np.random.default_rng(0)
    terms = {alpha: rng.standard_normal((4, 4)) for alpha in ((0, 0), (1, 0), (0, 1), (2, 0), (1, 2), (4, 0))}
    u = rng.standard_normal((10, 4))
    np.testing.assert_allclose(algebra.act(terms, u, 3).ravel(), algebra.as_matrix(terms, 3) @ u.ravel(), atol=1e-13)


# -- what the comparisons would catch ------------------------------------------------------------------------


def drop(monkeypatch, term: tuple[int, int]) -> None:
    """Let the referees that use the algebra forget a term of their generator."""
    lift = algebra.as_matrix

    def forgetful(terms, degree):
        return lift({alpha: matrix for alpha, matrix in terms.items() if alpha != term}, degree)

    for module in ("linear", "kolmogorov"):
        monkeypatch.setattr(f"sdewm.exact.{module}.as_matrix", forgetful)


@pytest.mark.parametrize(
    ("dropped", "moved"),
    [
        ((1, 0), {(1, 0), (1, 1), (2, 0), (3, 0), (1, 2), (2, 1)}),
        ((0, 1), {(0, 1), (1, 1), (0, 2), (0, 3), (1, 2), (2, 1)}),
        ((2, 0), {(2, 0), (2, 1), (3, 0)}),  # ½ ε_a² η_k η_kᵀ : ∇², the A_2 of the generator
    ],
)
def test_a_missing_term_of_the_generator_is_caught(monkeypatch, dropped, moved):
    p = GBM | dict(tau=1.0, nu=1.0)  # every coefficient well above the threshold of differ()
    assert not differ(gbm_moments(**p), gbm_coefficients(**p))
    drop(monkeypatch, dropped)
    assert differ(gbm_moments(**p), gbm_coefficients(**p)) == moved
    assert differ(rotating(), rotating_by_hand()) == moved


def test_a_missing_square_of_the_drift_step_is_caught(monkeypatch):
    """On the Euler grid (F_1 Δt) ⊗ (F_1 Δt) is of order ε_b²."""
    drop(monkeypatch, (0, 2))
    assert (0, 2) in differ(gbm_moments(steps=7, **GBM), gbm_coefficients(steps=7, **GBM))


# -- errors --------------------------------------------------------------------------------------------------


def test_wrong_shapes_are_named():
    base, error, loss, x0 = random_linear(5)
    with pytest.raises(ValueError, match=r"B: expected shape \(2, 3, 3\), got \(2, 3\)"):
        dataclasses.replace(base, B=base.b)
    with pytest.raises(ValueError, match=r"W: expected shape \(3, 3\)"):
        QuadraticLoss(np.eye(2), np.zeros(3))
    with pytest.raises(ValueError, match=r"x0: expected shape \(3,\), got \(2,\)"):
        moments(base, error, loss, x0[:2], 1.0)
    with pytest.raises(ValueError, match=r"error\.b: expected shape \(2, 3\), got \(1, 3\)"):
        moments(base, dataclasses.replace(error, B=error.B[:1], b=error.b[:1]), loss, x0, 1.0)
    with pytest.raises(ValueError, match=r"loss\.v"):
        moments(base, error, QuadraticLoss(np.eye(2), np.zeros(2)), x0, 1.0)
    with pytest.raises(ValueError, match=r"base\.diffusion\(x\): expected shape"):
        kolmogorov_circle(CircleSDE(np.sin, np.cos), WAVY_ERROR, np.cos, 0.0, 1.0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: gbm_coefficients(steps=0, **GBM), "steps"),
        (lambda: gbm_coefficients(power=0, **GBM), "power"),
        (lambda: gbm_coefficients(degree=-1, **GBM), "degree"),
        (lambda: ou_coefficients(**(OU | {"theta": 0.0})), "theta"),
        (lambda: ou_coefficients(loss="sin x", **OU), "loss"),
        (lambda: kolmogorov_circle(WAVY, WAVY_ERROR, np.cos, 0.0, 1.0, points=32), "points"),
        (lambda: kolmogorov_circle(WAVY, WAVY_ERROR, lambda x: x, 0.0, 1.0), "loss: expected a 2π-periodic"),
        (lambda: on_the_torus(points=12), "points: expected an odd number"),
        (lambda: on_the_torus(steps=0), "steps"),
        (lambda: on_the_torus(TorusSDE(lambda x: x, mixed().diffusion)), "base.drift: expected a 2π-periodic"),
        (lambda: on_the_torus(TorusSDE(mixed().drift, mixed().drift)), r"base.diffusion\(x\): expected shape"),
        (lambda: moments(*random_linear(6), 1.0, steps=10, intervals=3), "intervals"),
    ],
)
def test_wrong_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
