"""Perturbed systems that carry their own truth.

A :class:`Problem` pairs a system (32) with the exact Taylor coefficients of E L(x_T) in its two error
magnitudes, in continuous time and on the Euler–Maruyama grid, from :mod:`sdewm.exact`. Estimators are
tested against them:

>>> problem = PROBLEMS["gbm"]()
>>> print(f"P = {problem.truth[1, 0]:.4f}, on 64 Euler steps {problem.euler_truth(64)[1, 0]:.4f}")
P = 0.4619, on 64 Euler steps 0.4596

Each has a drift error and a diffusion error.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from sdewm.exact import (
    Array,
    CircleSDE,
    Coefficients,
    LinearSDE,
    QuadraticLoss,
    TorusSDE,
    gbm_coefficients,
    kolmogorov_circle,
    kolmogorov_torus,
    moments,
    ou_coefficients,
)
from sdewm.systems.blocks import BlockSizes
from sdewm.systems.latent import LatentSDE
from sdewm.systems.perturbed import PerturbedSDE
from sdewm.systems.sde import FunctionSDE


@dataclass(frozen=True)
class Problem:
    """A perturbed system, a loss, and the expansion of its expected loss.

    Parameters
    ----------
    name, description : a key of :data:`PROBLEMS`; one line.
    family : the perturbed system; float64.
    loss : (paths, n) -> (paths,), of the state at ``horizon``.
    x0 : (n,), float64.
    horizon : T; time starts at 0.
    steps : a sensible number of Euler–Maruyama steps.
    truth : c_α of ε_a^α1 ε_b^α2, |α| ≤ 3, in continuous time; :mod:`sdewm.exact` relates them to P, Q, S.
    euler_truth : the same for that many Euler–Maruyama steps; ``None`` where there is no exact answer.
    model : base and error of the numpy model that the truth comes from.
    """

    name: str
    description: str
    family: PerturbedSDE
    loss: Callable[[Float[Tensor, "paths n"]], Float[Tensor, " paths"]]
    x0: Float[Tensor, " n"]
    horizon: float
    steps: int
    truth: Coefficients
    euler_truth: Callable[[int], Coefficients | None]
    model: tuple[LinearSDE, LinearSDE] | tuple[CircleSDE, CircleSDE] | tuple[TorusSDE, TorusSDE]


def geometric_brownian_motion() -> Problem:
    """dx = (μ + ε_b ν) x dt + (σ + ε_a τ) x dB, L = x²: a closed form, errors proportional to the state."""
    mu, sigma, nu, tau, x0, horizon = 0.1, 0.3, 0.4, 0.4, 1.2, 1.0

    def truth(steps: int | None = None) -> Coefficients:
        return gbm_coefficients(mu=mu, sigma=sigma, nu=nu, tau=tau, x0=x0, horizon=horizon, steps=steps)

    return Problem(
        name="gbm",
        description="geometric Brownian motion, proportional errors, squared loss",
        family=PerturbedSDE(
            FunctionSDE(lambda t, x: mu * x, lambda t, x: sigma * x),
            FunctionSDE(lambda t, x: nu * x, lambda t, x: tau * x),
        ),
        loss=lambda x: (x * x).sum(-1),
        x0=_tensor(np.array([x0])),
        horizon=horizon,
        steps=64,
        truth=truth(),
        euler_truth=truth,
        model=(_scalar_model(mu, 0.0, sigma, 0.0), _scalar_model(nu, 0.0, tau, 0.0)),
    )


def ornstein_uhlenbeck() -> Problem:
    """dx = (−θ (x − m) + ε_b (d0 + d1 x)) dt + (s + ε_a τ) dB, L = cos x: additive noise, a closed form."""
    theta, mean, s, d0, d1, tau, x0, horizon = 0.8, 0.5, 0.4, 0.5, 0.6, 0.7, 1.2, 1.0

    def truth(steps: int | None = None) -> Coefficients:
        return ou_coefficients(
            theta=theta,
            mean=mean,
            s=s,
            drift_error=(d0, d1),
            noise_error=tau,
            x0=x0,
            horizon=horizon,
            loss="cos x",
            steps=steps,
        )

    return Problem(
        name="ou",
        description="Ornstein-Uhlenbeck, affine drift error, constant diffusion error, cosine loss",
        family=PerturbedSDE(
            FunctionSDE(lambda t, x: -theta * (x - mean), lambda t, x: torch.zeros_like(x) + s),
            FunctionSDE(lambda t, x: d0 + d1 * x, lambda t, x: torch.zeros_like(x) + tau),
        ),
        loss=lambda x: torch.cos(x).sum(-1),
        x0=_tensor(np.array([x0])),
        horizon=horizon,
        steps=64,
        truth=truth(),
        euler_truth=truth,
        model=(_scalar_model(-theta, theta * mean, 0.0, s), _scalar_model(d1, d0, 0.0, tau)),
    )


def linear_system() -> Problem:
    """Three dimensions, two Brownian motions, matrices that do not commute, errors in every one of them."""
    base = LinearSDE(
        A=np.array([[-0.6, 0.8, 0.0], [-0.5, -0.3, 0.4], [0.2, 0.0, -0.4]]),
        a=np.array([0.3, -0.1, 0.2]),
        B=np.array(
            [
                [[0.1, 0.05, 0.0], [0.0, 0.05, -0.05], [0.05, 0.0, 0.05]],
                [[0.0, -0.1, 0.05], [0.05, 0.0, 0.0], [0.0, 0.1, 0.05]],
            ]
        ),
        b=np.array([[0.1, 0.0, 0.1], [0.0, 0.1, -0.1]]),
    )
    error = LinearSDE(
        A=np.array([[0.4, 0.0, -0.3], [0.2, 0.3, 0.0], [0.0, -0.5, 0.2]]),
        a=np.array([0.2, 0.4, -0.1]),
        B=np.array(
            [
                [[0.2, 0.0, 0.3], [-0.3, 0.2, 0.0], [0.0, 0.1, 0.4]],
                [[0.3, 0.1, 0.0], [0.0, -0.2, 0.2], [0.4, 0.0, 0.1]],
            ]
        ),
        b=np.array([[0.3, -0.2, 0.1], [0.1, 0.3, 0.2]]),
    )
    loss = QuadraticLoss(
        W=np.array([[1.0, 0.3, 0.0], [0.3, 0.8, -0.2], [0.0, -0.2, 1.2]]), v=np.array([0.2, -0.4, 0.1]), c=0.5
    )
    x0, horizon = np.array([1.0, -0.5, 0.8]), 1.0

    def truth(steps: int | None = None) -> Coefficients:
        return moments(base, error, loss, x0, horizon, steps=steps)

    return Problem(
        name="linear",
        description="three linear equations, two non-commuting noise matrices, quadratic loss",
        family=PerturbedSDE(_torch_linear(base), _torch_linear(error)),
        loss=_torch_quadratic(loss),
        x0=_tensor(x0),
        horizon=horizon,
        steps=64,
        truth=truth(),
        euler_truth=truth,
        model=(base, error),
    )


def circle() -> Problem:
    """Nonlinear drift and diffusion on the circle, state-dependent errors: backward Kolmogorov."""
    base = CircleSDE(lambda x: 0.8 * np.sin(x) + 0.3, lambda x: (0.25 + 0.15 * np.cos(x))[None])
    error = CircleSDE(lambda x: 0.6 * np.cos(x) + 0.2, lambda x: (-0.5 - 0.3 * np.sin(x))[None])
    x0, horizon = -0.4, 1.0

    def truth(steps: int | None = None) -> Coefficients:
        return kolmogorov_circle(
            base, error, lambda x: np.cos(x) + 0.3 * np.sin(2 * x), x0, horizon, steps=steps
        ).coefficients

    return Problem(
        name="circle",
        description="nonlinear equation on the circle, state-dependent errors, trigonometric loss",
        family=PerturbedSDE(
            FunctionSDE(lambda t, x: 0.8 * torch.sin(x) + 0.3, lambda t, x: 0.25 + 0.15 * torch.cos(x)),
            FunctionSDE(lambda t, x: 0.6 * torch.cos(x) + 0.2, lambda t, x: -0.5 - 0.3 * torch.sin(x)),
        ),
        loss=lambda x: (torch.cos(x) + 0.3 * torch.sin(2.0 * x)).sum(-1),
        x0=_tensor(np.array([x0])),
        horizon=horizon,
        steps=64,
        truth=truth(),
        euler_truth=truth,
        model=(base, error),
    )


def torus() -> Problem:
    """Two dimensions, nonlinear, two noises that do not commute, state-dependent errors: backward Kolmogorov.

    The coefficients below are for (x, y) as numpy arrays or as tensors, their columns for B¹ and B².
    """

    def base_drift(x: Any, y: Any, sin: Any, cos: Any) -> list[Any]:
        return [0.4 * sin(y) + 0.3, 0.3 * cos(x)]

    def base_noise(x: Any, y: Any, sin: Any, cos: Any) -> list[Any]:
        return [0.6 + 0.15 * cos(y), 0 * x, 0.2 * sin(x), 0.6 + 0.1 * cos(x)]

    def error_drift(x: Any, y: Any, sin: Any, cos: Any) -> list[Any]:
        return [0.4 * cos(x) + 0.3, 0.4 * sin(y) - 0.2]

    def error_noise(x: Any, y: Any, sin: Any, cos: Any) -> list[Any]:
        return [0.2 * sin(y) - 0.4, 0 * x + 0.15, 0.2 * cos(x), 0.1 * cos(y) - 0.3]

    def loss(x: Any, y: Any, sin: Any, cos: Any) -> Any:
        return cos(x) + 0.5 * sin(y) + 0.3 * cos(x + y)

    def in_numpy(drift: Callable[..., list[Any]], noise: Callable[..., list[Any]]) -> TorusSDE:
        return TorusSDE(
            lambda x: np.stack(drift(x[:, 0], x[:, 1], np.sin, np.cos), -1),
            lambda x: np.stack(noise(x[:, 0], x[:, 1], np.sin, np.cos), -1).reshape(-1, 2, 2),
        )

    def in_torch(drift: Callable[..., list[Any]], noise: Callable[..., list[Any]]) -> FunctionSDE:
        return FunctionSDE(
            lambda t, x: torch.stack(drift(x[:, 0], x[:, 1], torch.sin, torch.cos), -1),
            lambda t, x: torch.stack(noise(x[:, 0], x[:, 1], torch.sin, torch.cos), -1).unflatten(-1, (2, 2)),
            "general",
        )

    base, error = in_numpy(base_drift, base_noise), in_numpy(error_drift, error_noise)
    x0, horizon = np.array([-0.4, 0.7]), 1.0

    def truth(steps: int | None = None) -> Coefficients:
        return kolmogorov_torus(
            base, error, lambda x: loss(x[:, 0], x[:, 1], np.sin, np.cos), x0, horizon, steps=steps
        ).coefficients

    return Problem(
        name="torus",
        description="nonlinear equations on the torus, two non-commuting noises, state-dependent errors",
        family=PerturbedSDE(in_torch(base_drift, base_noise), in_torch(error_drift, error_noise)),
        loss=lambda x: loss(x[:, 0], x[:, 1], torch.sin, torch.cos),
        x0=_tensor(x0),
        horizon=horizon,
        steps=64,
        truth=truth(),
        euler_truth=truth,
        model=(base, error),
    )


def latent_linear() -> Problem:
    """A latent dynamics model (5)–(8) with affine coefficients: x = (z, h, z̃, s̃) of sizes 2, 2, 1, 1.

    ::

        dz = (q0 + Q h + ε_b (s0 + S h)) dt + diag(c0 + C h + ε_a (r0 + R h)) dB^enc
        dh = (F_h h + π) dt,  π = F_z z
        dz̃ = (p0 + P h) dt      + (p̄0 + P̄ h) dB^pred
        ds̃ = (D h + d z̃) dt     + (d̄0 + D̄ h + d̄ z̃) dB^dec

    The observation s_t is held constant, and absorbed in q0, c0, s0 and r0.
    """
    q0, Q = np.array([0.4, -0.2]), np.array([[-0.6, 0.5], [0.3, -0.4]])
    s0, S = np.array([0.5, 0.2]), np.array([[0.6, -0.4], [0.3, 0.5]])
    c0, C = np.array([0.5, 0.4]), np.array([[0.3, 0.1], [0.1, 0.3]])
    r0, R = np.array([0.5, 0.6]), np.array([[0.9, 0.3], [0.3, 0.8]])
    F_h, F_z = np.array([[-0.5, 0.4], [-0.3, -0.6]]), np.array([[1.2, 0.3], [0.2, 1.1]])
    p0, P = np.array([0.1]), np.array([[0.7, -0.5]])
    p_bar0, P_bar = np.array([0.1]), np.array([[0.3, 0.2]])
    D, d = np.array([[0.6, 0.4]]), np.array([[0.8]])
    d_bar0, D_bar, d_bar = np.array([0.1]), np.array([[0.1, -0.2]]), np.array([[0.2]])
    loss = QuadraticLoss(
        W=np.array(
            [
                [0.4, 0.1, 0.0, 0.0, 0.0, 0.0],
                [0.1, 0.3, 0.0, 0.0, 0.0, 0.0],
                [0.0, 0.0, 0.5, 0.2, 0.3, 0.0],
                [0.0, 0.0, 0.2, 0.6, 0.0, -0.2],
                [0.0, 0.0, 0.3, 0.0, 0.8, 0.4],
                [0.0, 0.0, 0.0, -0.2, 0.4, 1.0],
            ]
        ),
        v=np.array([0.1, -0.2, 0.3, 0.1, -0.4, 0.5]),
    )
    x0, horizon = np.array([0.5, -0.3, 0.8, 0.4, 0.2, -0.1]), 1.0

    # The numpy model: affine maps of the whole state, one Brownian motion for each row of z, z̃ and s̃.
    rows = (0, 1, 4, 5)
    base = LinearSDE(
        A=_blocks({"zh": Q, "hh": F_h, "hz": F_z, "ph": P, "sh": D, "sp": d}),
        a=np.concatenate([q0, np.zeros(2), p0, np.zeros(1)]),
        B=_split_rows(_blocks({"zh": C, "ph": P_bar, "sh": D_bar, "sp": d_bar}), rows),
        b=_split_rows(np.concatenate([c0, np.zeros(2), p_bar0, d_bar0]), rows),
    )
    error = LinearSDE(
        A=_blocks({"zh": S}),
        a=np.concatenate([s0, np.zeros(4)]),
        B=_split_rows(_blocks({"zh": R}), rows),
        b=_split_rows(np.concatenate([r0, np.zeros(4)]), rows),
    )

    def truth(steps: int | None = None) -> Coefficients:
        return moments(base, error, loss, x0, horizon, steps=steps)

    # The torch model: block by block, as (5)-(8) are written; the policy is the part of f that depends on z.
    q_enc, q_enc_bar, sigma, sigma_bar = _affine(q0, Q), _affine(c0, C), _affine(s0, S), _affine(r0, R)
    f_h, policy = _affine(np.zeros(2), F_h), _affine(np.zeros(2), F_z)
    p, p_bar = _affine(p0, P), _affine(p_bar0, P_bar)
    dec_h, dec_z = _affine(np.zeros(1), D), _affine(np.zeros(1), d)
    dec_bar_h, dec_bar_z = _affine(d_bar0, D_bar), _affine(np.zeros(1), d_bar)
    model = LatentSDE(
        q_enc=lambda h, s: q_enc(h),
        q_enc_bar=lambda h, s: q_enc_bar(h),
        f=lambda h, z, a: f_h(h) + a,
        p=p,
        p_bar=p_bar,
        q_dec=lambda h, z_tilde: dec_h(h) + dec_z(z_tilde),
        q_dec_bar=lambda h, z_tilde: dec_bar_h(h) + dec_bar_z(z_tilde),
        policy=lambda h, z: policy(z),
        observation=lambda t: t,
        sizes=BlockSizes(z=2, h=2, z_tilde=1, s_tilde=1),
    )

    return Problem(
        name="latent-linear",
        description="latent dynamics model (5)-(8) with affine coefficients, quadratic loss",
        family=PerturbedSDE(model, model.encoder_error(lambda h, s: sigma(h), lambda h, s: sigma_bar(h))),
        loss=_torch_quadratic(loss),
        x0=_tensor(x0),
        horizon=horizon,
        steps=64,
        truth=truth(),
        euler_truth=truth,
        model=(base, error),
    )


PROBLEMS: dict[str, Callable[[], Problem]] = {
    "gbm": geometric_brownian_motion,
    "ou": ornstein_uhlenbeck,
    "linear": linear_system,
    "circle": circle,
    "torus": torus,
    "latent-linear": latent_linear,
}


def _tensor(array: Array) -> Tensor:
    return torch.tensor(array, dtype=torch.float64)


def _scalar_model(slope: float, offset: float, noise_slope: float, noise_offset: float) -> LinearSDE:
    return LinearSDE(np.array([[slope]]), np.array([offset]), np.array([[[noise_slope]]]), np.array([[noise_offset]]))


def _affine(offset: Array, matrix: Array) -> Callable[[Tensor], Tensor]:
    """x ↦ offset + matrix x, batched."""
    constant, weight = _tensor(offset), _tensor(matrix)
    return lambda x: torch.nn.functional.linear(x, weight, constant)


def _torch_linear(model: LinearSDE) -> FunctionSDE:
    drift = _affine(model.a, model.A)
    # All columns in one product: row i·m + k is coordinate i of g_k.
    columns = _affine(model.b.T.reshape(-1), model.B.transpose(1, 0, 2).reshape(-1, model.B.shape[-1]))
    shape = model.b.T.shape
    return FunctionSDE(lambda t, x: drift(x), lambda t, x: columns(x).unflatten(-1, shape), "general")


def _torch_quadratic(loss: QuadraticLoss) -> Callable[[Tensor], Tensor]:
    gradient_part = _affine(loss.v, loss.W / 2)
    return lambda x: (x * gradient_part(x)).sum(-1) + loss.c


def _blocks(parts: dict[str, Array]) -> Array:
    """A (6, 6) matrix from blocks named row-column, with z, h, p (for z̃) and s (for s̃)."""
    block = {"z": slice(0, 2), "h": slice(2, 4), "p": slice(4, 5), "s": slice(5, 6)}
    matrix = np.zeros((6, 6))
    for name, part in parts.items():
        matrix[block[name[0]], block[name[1]]] = part
    return matrix


def _split_rows(array: Array, rows: tuple[int, ...]) -> Array:
    """One copy of the array for each of the rows, zero elsewhere: a row's own Brownian motion."""
    split = np.zeros((len(rows), *array.shape))
    for k, row in enumerate(rows):
        split[k, row] = array[row]
    return split
