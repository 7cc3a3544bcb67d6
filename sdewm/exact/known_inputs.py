"""The encoder's equation with its inputs known, Proposition B.1: the law of z, and what conditioning does to it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from sdewm.noise.grid import TimeGrid
from sdewm.noise.increments import Increments
from sdewm.solvers.solve import solve
from sdewm.systems.latent import LatentSDE


@dataclass(frozen=True, eq=False)
class KnownInputs:
    """dz = q(t) dt + q̄(t) dB from z = 0, with q ``(steps, n)`` and q̄ ``(steps, n, m)`` constant on each step of a grid.

    An SDE for the solver, on its own grid; its Euler–Maruyama solution is exact and Gaussian.
    """

    drift: Float[Tensor, "steps n"]
    diffusion: Float[Tensor, "steps n channels"]
    grid: TimeGrid
    sde_type = "ito"
    noise_type = "additive"

    def f(self, t: Float[Tensor, ""], z: Float[Tensor, "paths n"]) -> Float[Tensor, "paths n"]:
        return self.drift[self._step(t)].expand(z.shape)

    def g(self, t: Float[Tensor, ""], z: Float[Tensor, "paths n"]) -> Float[Tensor, "paths n channels"]:
        return self.diffusion[self._step(t)].expand(len(z), -1, -1)

    def mean(self, i: int) -> Float[Tensor, " n"]:
        """E z after i steps, ``(n,)``: Σ q Δt, which is ∫q ds for these inputs."""
        return self.drift[:i].sum(0) * self.grid.dt

    def covariance(self, i: int, j: int) -> Float[Tensor, "n n"]:
        """Cov(z_i, z_j), ``(n, n)``: Σ q̄ q̄ᵀ Δt over the steps before both, which is ∫q̄ q̄ᵀ ds for these inputs."""
        q_bar = self.diffusion[: min(i, j)]
        return (q_bar @ q_bar.mT).sum(0) * self.grid.dt

    def coarsen(self, factor: int) -> KnownInputs:
        """The same inputs, seen at every ``factor``-th time only."""
        return KnownInputs(self.drift[::factor], self.diffusion[::factor], self.grid.coarsen(factor))

    def _step(self, t: Tensor) -> int:
        return min(self.grid.index(float(t)), self.grid.steps - 1)


def record_inputs(
    model: LatentSDE,
    x0: Float[Tensor, "*paths n"],
    grid: TimeGrid,
    *,
    noise: Increments | Float[Tensor, "steps paths channels"],
) -> KnownInputs:
    """q_enc(h, s) and q̄_enc(h, s) along one run of a latent model; ``noise`` has one path.

    Raises ``ValueError`` for a model with a leak, whose z is not an integral of its inputs.
    """
    if model.leak:
        raise ValueError(f"model.leak: expected 0, as in (5)-(8), got {model.leak:g}")
    z = model.block_slices.z

    def inputs(t: Tensor, x: Tensor) -> Tensor:
        encoder = model.channel_slices(t, x)[0]
        return torch.cat([model.f(t, x)[..., z, None], model.g(t, x)[..., z, encoder]], -1)

    found = solve(model, x0, grid, noise=noise, save=inputs)[:-1]
    if found.shape[1] != 1:
        raise ValueError(f"noise: expected one path, got {found.shape[1]}")
    return KnownInputs(found[:, 0, :, 0], found[:, 0, :, 1:], grid)


def conditional_variance(
    drift: Float64[np.ndarray, "2 2"], diffusion: Float64[np.ndarray, "2 channels"], horizon: float, steps: int
) -> float:
    """Var(x_1(T) | x_2 at every time of the grid) for dx = A x dt + G dB from 0, on Euler–Maruyama's grid; exact.

    ``drift`` A ``(2, 2)`` and ``diffusion`` G ``(2, m)`` in two dimensions, such as z and h. Everything is a linear map
    of independent normals; the conditional variance is what least squares leave of x_1(T).
    """
    dt, channels = horizon / steps, diffusion.shape[1]
    step = np.eye(2) + drift * dt
    x = np.zeros((2, steps * channels))
    known = []
    for i in range(steps):
        x = step @ x
        x[:, i * channels : (i + 1) * channels] += diffusion * np.sqrt(dt)
        known.append(x[1])
    target, basis = x[0], np.stack(known, 1)
    basis = basis / np.linalg.norm(basis, axis=0).clip(1e-300)
    rest = target - basis @ np.linalg.lstsq(basis, target, rcond=1e-13)[0]
    return float(rest @ rest)
