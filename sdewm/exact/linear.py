"""Linear systems: moment equations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from scipy import sparse
from scipy.sparse.linalg import expm_multiply

from sdewm import arguments
from sdewm.arrays import Array
from sdewm.exact.algebra import (
    EPS_A,
    EPS_B,
    ONE,
    Coefficients,
    add,
    as_matrix,
    by_index,
    constant_vector,
    multi_indices,
    product,
    scale,
)
from sdewm.exact.checks import array, degree_of, horizon_of, real_number, steps_of


@dataclass(frozen=True)
class LinearSDE:
    """dx = (A x + a) dt + Σ_k (B_k x + b_k) dB^k, or an error of that form.

    Parameters
    ----------
    A : (n, n), a : (n,), B : (m, n, n), b : (m, n).
    """

    A: Float64[np.ndarray, "n n"]
    a: Float64[np.ndarray, " n"]
    B: Float64[np.ndarray, "channels n n"]
    b: Float64[np.ndarray, "channels n"]

    def __post_init__(self) -> None:
        n = len(array("a", self.a, (None,)))
        m = len(array("b", self.b, (None, n)))
        for name, shape in (("A", (n, n)), ("a", (n,)), ("B", (m, n, n)), ("b", (m, n))):
            object.__setattr__(self, name, array(name, getattr(self, name), shape))


@dataclass(frozen=True)
class QuadraticLoss:
    """L(x) = ½ xᵀW x + vᵀx + c, with W : (n, n), symmetric or not, v : (n,)."""

    W: Float64[np.ndarray, "n n"]
    v: Float64[np.ndarray, " n"]
    c: float = 0.0

    def __post_init__(self) -> None:
        n = len(array("v", self.v, (None,)))
        for name, shape in (("v", (n,)), ("W", (n, n))):
            object.__setattr__(self, name, array(name, getattr(self, name), shape))
        object.__setattr__(self, "c", float(real_number("c", self.c)))


def moments(
    base: LinearSDE,
    error: LinearSDE,
    loss: QuadraticLoss,
    x0: Float64[np.ndarray, " n"],
    horizon: float,
    *,
    steps: int | None = None,
    intervals: int = 1,
    degree: int = 3,
) -> Coefficients:
    """Coefficients of E Σ_j L(x_{t_j}) for a linear system with linear errors, from its moment equations.

    With ξ = (1, x) the system is dξ = F ξ dt + Σ_k G_k ξ dB^k, and M = E ξξᵀ solves the linear equations

        dM/dt = F M + M Fᵀ + Σ_k G_k M G_kᵀ                                     (continuous time)
        M_{j+1} = (I + F Δt) M_j (I + F Δt)ᵀ + Δt Σ_k G_k M_j G_kᵀ              (Euler–Maruyama)

    with F = F_0 + ε_b F_1 and G_k = G_k0 + ε_a G_k1 taken in the truncated algebra.

    Parameters
    ----------
    x0 : (n,), deterministic.
    steps : Euler–Maruyama steps on [0, horizon]; ``None`` for continuous time.
    intervals : the loss is summed over the ends t_j = j·horizon/intervals, j = 1..intervals, of equal
        intervals; 1 (default) is the loss at the horizon. Must divide ``steps``.

    Raises
    ------
    ValueError : shapes, ``steps`` or ``intervals`` that do not fit.

    Examples
    --------
    The second moment of dx = (0.3 + ε_a) x dB:

    >>> zero, one = np.zeros((1, 1)), np.ones((1, 1))
    >>> base = LinearSDE(zero, zero[0], 0.3 * one[None], zero)
    >>> error = LinearSDE(zero, zero[0], one[None], zero)
    >>> c = moments(base, error, QuadraticLoss(2 * one, zero[0]), one[0], 1.0)
    >>> print(f"{c[2, 0]:.6f} {np.exp(0.09) * (1 + 2 * 0.09):.6f}")
    1.291126 1.291126
    """
    for name, sde in (("base", base), ("error", error)):
        arguments.instance(name, sde, LinearSDE, "a LinearSDE(A, a, B, b)")
    arguments.instance("loss", loss, QuadraticLoss, "a QuadraticLoss(W, v)")
    n, m = base.b.shape[1], base.b.shape[0]
    x0 = array("x0", x0, (n,))
    array("loss.v", loss.v, (n,))
    array("error.b", error.b, (m, n))
    steps, degree, horizon = steps_of(steps), degree_of(degree), horizon_of(horizon)
    intervals = arguments.integer("intervals", intervals, 1)
    if steps is not None and steps % intervals:
        raise ValueError(f"intervals: expected a divisor of steps={steps}, got {intervals}")

    drift = {ONE: _homogeneous(base.A, base.a), EPS_B: _homogeneous(error.A, error.a)}
    noise = [{ONE: _homogeneous(base.B[k], base.b[k]), EPS_A: _homogeneous(error.B[k], error.b[k])} for k in range(m)]
    identity = {ONE: np.eye(n + 1)}
    ito = add(product(g, g, degree, np.kron) for g in noise)

    xi = np.concatenate(([1.0], x0))
    state = constant_vector(np.outer(xi, xi).ravel(), degree)
    functional = np.zeros((n + 1, n + 1))
    functional[0, 0], functional[0, 1:], functional[1:, 1:] = loss.c, loss.v, loss.W / 2

    if steps is None:
        generator = add((product(drift, identity, degree, np.kron), product(identity, drift, degree, np.kron), ito))
        lifted, repeats = as_matrix(generator, degree), 1
        lifted = lifted * (horizon_of(horizon, sparse.linalg.norm(lifted, 1)) / intervals)
    else:
        dt = horizon / steps
        step = add((identity, scale(drift, dt)))
        lifted = as_matrix(add((product(step, step, degree, np.kron), scale(ito, dt))), degree)
        repeats = steps // intervals

    total = np.zeros(len(multi_indices(degree)))
    for _ in range(intervals):
        for _ in range(repeats):
            state = expm_multiply(lifted, state) if steps is None else lifted @ state
        total += state.reshape(len(total), -1) @ functional.ravel()
    return by_index(total, degree)


def _homogeneous(matrix: Array, vector: Array) -> Array:
    """x ↦ matrix x + vector as a linear map of (1, x)."""
    n = len(vector)
    lifted = np.zeros((n + 1, n + 1))
    lifted[1:, 0], lifted[1:, 1:] = vector, matrix
    return lifted
