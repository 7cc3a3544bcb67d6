"""The stochastic Lorenz system: chaotic, quadratic drift, noise in proportion to the state."""

import torch

from sdewm import FunctionSDE, PerturbedSDE, System, TimeGrid

SIGMA, RHO, BETA = 10.0, 28.0, 8.0 / 3.0


def drift(t, u):
    x, y, z = u.unbind(-1)
    return torch.stack([SIGMA * (y - x), x * (RHO - z) - y, x * y - BETA * z], -1)


def system():
    base = FunctionSDE(drift, lambda t, u: 0.15 * u)
    # The parameter ρ is off by ε, and so is the noise of z.
    rho = FunctionSDE(
        lambda t, u: torch.stack([torch.zeros_like(u[..., 0]), u[..., 0], torch.zeros_like(u[..., 0])], -1),
        lambda t, u: torch.stack([torch.zeros_like(u[..., 0]), torch.zeros_like(u[..., 0]), 0.3 * u[..., 2]], -1),
    )
    x0 = torch.tensor([1.5, -1.5, 25.0], dtype=torch.float64)
    return System(PerturbedSDE(base, rho), lambda u: u[:, 2], x0, TimeGrid(0.0, 0.5, 128), name="stochastic Lorenz")
