"""One or two dimensions, any periodic coefficients: backward Kolmogorov."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from scipy import sparse
from scipy.integrate import solve_ivp
from scipy.sparse.linalg import expm_multiply

from sdewm import arguments
from sdewm.arrays import Array
from sdewm.exact.algebra import (
    EPS_A,
    EPS_B,
    ONE,
    Coefficients,
    Polynomial,
    act,
    add,
    as_matrix,
    by_index,
    constant_vector,
    exponential,
    scale,
)
from sdewm.exact.checks import array, degree_of, horizon_of, steps_of, values_at
from sdewm.systems.user_functions import named

# ------------------------------------------------------------------------------------------------------------
# The circle


@dataclass(frozen=True)
class CircleSDE:
    """dx = f(x) dt + Σ_k g_k(x) dB^k with 2π-periodic coefficients, or an error of that form.

    Parameters
    ----------
    drift : (N,) -> (N,).
    diffusion : (N,) -> (m, N), one row per Brownian motion.
    """

    drift: Callable[[Float64[np.ndarray, " points"]], Float64[np.ndarray, " points"]]
    diffusion: Callable[[Float64[np.ndarray, " points"]], Float64[np.ndarray, "channels points"]]


@dataclass(frozen=True)
class PeriodicAnswer:
    """``coefficients``, and ``error``: their largest change when ``points`` is raised by one half."""

    coefficients: Coefficients
    error: float
    points: int


def kolmogorov_circle(
    base: CircleSDE,
    error: CircleSDE,
    loss: Callable[[Float64[np.ndarray, " points"]], Float64[np.ndarray, " points"]],
    x0: float,
    horizon: float,
    *,
    steps: int | None = None,
    points: int = 49,
    degree: int = 3,
    tolerance: float = 1e-8,
) -> PeriodicAnswer:
    """Coefficients of E L(x_T), x(0) = x0, by Fourier collocation of the backward equation on the circle.

    Continuous time: u_t + A u = 0, u(T) = L, with the generator of (32),

        A = (g_0 + ε_b η_0) ∂ + ½ Σ_k (g_k² + 2 ε_a g_k η_k + ε_a² η_k²) ∂² .

    Euler–Maruyama: one step from x is Gaussian with mean x + g_0 Δt and variance Σ_k g_k² Δt, so that it maps
    e^{iκx} to exp(iκ(x + g_0 Δt) − ½ κ² Σ_k g_k² Δt), exactly.

    Parameters
    ----------
    loss : (N,) -> (N,), 2π-periodic.
    steps : Euler–Maruyama steps; ``None`` for continuous time.
    points : collocation points, odd.
    tolerance : largest accepted change between ``points`` and half as many again.

    Raises
    ------
    ValueError : coefficients that are not 2π-periodic, or have a wrong shape; an even number of points.
    ArithmeticError : the two grids disagree by more than ``tolerance``.
    """
    steps, degree, horizon, x0 = steps_of(steps), degree_of(degree), horizon_of(horizon), arguments.real("x0", x0)
    for name, sde in (("base", base), ("error", error)):
        arguments.instance(name, sde, CircleSDE, "a CircleSDE(drift, diffusion)")
    start = np.array([0.1])
    _check_periodic(base, error, loss, start, start + 2 * np.pi)
    return _with_error(
        lambda size: _circle_coefficients(base, error, loss, x0, horizon, steps, size, degree), points, tolerance
    )


def _circle_coefficients(
    base: CircleSDE,
    error: CircleSDE,
    loss: Callable[[Array], Array],
    x0: float,
    horizon: float,
    steps: int | None,
    points: int,
    degree: int,
) -> Coefficients:
    x = 2 * np.pi * np.arange(points) / points
    wavenumber = np.fft.fftfreq(points, 1 / points)
    to_modes = np.fft.fft(np.eye(points), axis=0) / points

    g0 = values_at("base.drift", base.drift, x, x.shape)
    eta0 = values_at("error.drift", error.drift, x, x.shape)
    g = values_at("base.diffusion", base.diffusion, x, (None, points))
    eta = values_at("error.diffusion", error.diffusion, x, g.shape)
    drift = {ONE: g0, EPS_B: eta0}
    variance = {ONE: (g * g).sum(0), EPS_A: 2 * (g * eta).sum(0), (2, 0): (eta * eta).sum(0)}

    # The symbol of an operator: what it makes of e^{iκx}, at every collocation point (rows) and κ (columns).
    first, second = 1j * wavenumber, -0.5 * wavenumber**2
    exponent = add(
        (
            {a: v[:, None] * first for a, v in drift.items()},
            {a: v[:, None] * second for a, v in variance.items()},
        )
    )
    wave = np.exp(1j * x[:, None] * wavenumber)
    symbol = exponent if steps is None else exponential(scale(exponent, horizon / steps), degree)
    lifted = as_matrix({alpha: ((wave * s) @ to_modes).real for alpha, s in symbol.items()}, degree)

    u = constant_vector(values_at("loss", loss, x, x.shape), degree)
    if steps is None:
        u = expm_multiply(lifted * horizon_of(horizon, sparse.linalg.norm(lifted, 1)), u)
    else:
        for _ in range(steps):
            u = lifted @ u
    at_x0 = (np.exp(1j * wavenumber * x0) @ to_modes).real
    return by_index(u.reshape(-1, points) @ at_x0, degree)


# ------------------------------------------------------------------------------------------------------------
# The torus


@dataclass(frozen=True)
class TorusSDE:
    """dx = f(x) dt + Σ_k g_k(x) dB^k in two dimensions, coefficients 2π-periodic in both, or an error of that form.

    Parameters
    ----------
    drift : (N, 2) -> (N, 2).
    diffusion : (N, 2) -> (N, 2, m), one column per Brownian motion.
    """

    drift: Callable[[Float64[np.ndarray, "points 2"]], Float64[np.ndarray, "points 2"]]
    diffusion: Callable[[Float64[np.ndarray, "points 2"]], Float64[np.ndarray, "points 2 channels"]]


def kolmogorov_torus(
    base: TorusSDE,
    error: TorusSDE,
    loss: Callable[[Float64[np.ndarray, "points 2"]], Float64[np.ndarray, " points"]],
    x0: Float64[np.ndarray, " 2"],
    horizon: float,
    *,
    steps: int | None = None,
    points: int = 17,
    degree: int = 3,
    tolerance: float = 1e-8,
) -> PeriodicAnswer:
    """Coefficients of E L(x_T), x(0) = x0, by Fourier collocation of the backward equation on the torus.

    As :func:`kolmogorov_circle`, with ½ Σ_k (g_k + ε_a η_k)(g_k + ε_a η_k)ᵀ : ∇² for its second-order term, and on the
    Euler–Maruyama grid exp(iκ·(x + g_0 Δt) − ½ Δt Σ_k (κ·g_k)²) for what a step makes of e^{iκ·x}. Continuous time is
    integrated to 1e-11 (DOP853). Work and memory grow like points⁴.

    Parameters
    ----------
    loss : (N, 2) -> (N,), 2π-periodic in both coordinates. x0 : (2,).
    points : collocation points in each direction, odd.

    The other arguments and the errors are those of :func:`kolmogorov_circle`.
    """
    steps, degree, horizon, x0 = steps_of(steps), degree_of(degree), horizon_of(horizon), array("x0", x0, (2,))
    for name, sde in (("base", base), ("error", error)):
        arguments.instance(name, sde, TorusSDE, "a TorusSDE(drift, diffusion)")
    start = np.array([[0.1, 0.2]])
    for turn in 2 * np.pi * np.eye(2):
        _check_periodic(base, error, loss, start, start + turn)
    return _with_error(
        lambda size: _torus_coefficients(base, error, loss, x0, horizon, steps, size, degree), points, tolerance
    )


def _torus_coefficients(
    base: TorusSDE,
    error: TorusSDE,
    loss: Callable[[Array], Array],
    x0: Array,
    horizon: float,
    steps: int | None,
    points: int,
    degree: int,
) -> Coefficients:
    x, wavevector = (
        np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2)
        for axis in (2 * np.pi * np.arange(points) / points, np.fft.fftfreq(points, 1 / points))
    )

    g0 = values_at("base.drift", base.drift, x, x.shape)
    eta0 = values_at("error.drift", error.drift, x, x.shape)
    g = values_at("base.diffusion", base.diffusion, x, (*x.shape, None))
    eta = values_at("error.diffusion", error.diffusion, x, g.shape)
    m = g.shape[-1]

    def along(vectors: Array) -> Array:
        """κ·v at every point (rows) and κ (columns)."""
        return vectors @ wavevector.T

    parts: list[Polynomial] = [{ONE: 1j * along(g0), EPS_B: 1j * along(eta0)}]
    for k in range(m):
        p, q = along(g[..., k]), along(eta[..., k])
        parts.append({ONE: -0.5 * p * p, EPS_A: -p * q, (2, 0): -0.5 * q * q})
    exponent = add(parts)
    symbol = exponent if steps is None else exponential(scale(exponent, horizon / steps), degree)
    wave = np.exp(1j * along(x))

    def to_values(rows: Array) -> Array:
        """Sums over e^{iκ·x} as sums over values at the collocation points."""
        return np.fft.fft2(rows.reshape(-1, points, points)).real.reshape(len(rows), -1) / len(x)

    operators = {alpha: to_values(wave * s) for alpha, s in symbol.items()}
    u = constant_vector(values_at("loss", loss, x, (len(x),)), degree).reshape(-1, len(x))
    if steps is None and horizon > 0:
        horizon_of(horizon, float(np.abs(exponent[ONE]).max()))
        found = solve_ivp(
            lambda t, v: act(operators, v.reshape(u.shape), degree).ravel(),
            (0.0, horizon),
            u.ravel(),
            method="DOP853",
            rtol=1e-11,
            atol=1e-12,
            t_eval=[horizon],
        )
        if not found.success:
            raise ArithmeticError(f"horizon: the backward equation cannot be integrated so far: {found.message}")
        u = found.y.reshape(u.shape)
    elif steps is not None:
        for _ in range(steps):
            u = act(operators, u, degree)
    return by_index(u @ to_values(np.exp(1j * wavevector @ x0)[None])[0], degree)


# ------------------------------------------------------------------------------------------------------------


def _with_error(coefficients: Callable[[int], Coefficients], points: int, tolerance: float) -> PeriodicAnswer:
    """The answer on ``points``, held against that on half as many again."""
    points, tolerance = arguments.integer("points", points, 3), arguments.real("tolerance", tolerance, least=0.0)
    if points % 2 == 0:
        raise ValueError(f"points: expected an odd number of at least 3, got {points}")
    finer = points + points // 2
    coarse, fine = coefficients(points), coefficients(finer + 1 - finer % 2)
    change = max(abs(coarse[alpha] - fine[alpha]) for alpha in coarse)
    if not change <= tolerance:
        raise ArithmeticError(
            f"points: {points} collocation points leave an error of about {change:.1e}, above the tolerance "
            f"{tolerance:.1e}; use more points"
        )
    return PeriodicAnswer(coarse, change, points)


def _check_periodic(
    base: CircleSDE | TorusSDE, error: CircleSDE | TorusSDE, loss: Callable[[Array], Array], start: Array, end: Array
) -> None:
    functions = {
        "base.drift": base.drift,
        "base.diffusion": base.diffusion,
        "error.drift": error.drift,
        "error.diffusion": error.diffusion,
        "loss": loss,
    }
    for name, function in functions.items():
        arguments.function(name, function, "points")
        with named(f"{name}: expected a function of points, an array of shape {start.shape}"):
            one, other = (np.asarray(function(x), dtype=np.float64) for x in (start, end))
            periodic = np.allclose(one, other, rtol=1e-9, atol=1e-12)
        if not periodic:
            raise ValueError(f"{name}: expected a 2π-periodic function")
