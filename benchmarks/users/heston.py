"""Heston's model: an affine square-root variance, correlated with the logarithm of the price."""

import torch

from sdewm import FunctionSDE, PerturbedSDE, System, TimeGrid

KAPPA, THETA, XI, CORRELATION = 3.0, 0.09, 0.25, -0.7


def drift(t, x):
    v = x[..., 1]
    return torch.stack([-0.5 * v, KAPPA * (THETA - v)], -1)


def diffusion(t, x):
    root = torch.sqrt(x[..., 1])
    price = torch.stack([root, torch.zeros_like(root)], -1)
    variance = XI * torch.stack([CORRELATION * root, (1 - CORRELATION**2) ** 0.5 * root], -1)
    return torch.stack([price, variance], -2)


def misjudged_reversion(t, x):
    return torch.stack([torch.zeros_like(x[..., 1]), 0.05 - 0.3 * x[..., 1]], -1)


def call(x):  # a smooth call option at the money
    return torch.nn.functional.softplus(20 * (torch.exp(x[:, 0]) - 1)) / 20


def system():
    base = FunctionSDE(drift, diffusion, noise_type="general")
    error = FunctionSDE(misjudged_reversion, lambda t, x: 0.2 * diffusion(t, x), noise_type="general")
    x0 = torch.tensor([0.0, 0.09], dtype=torch.float64)
    return System(PerturbedSDE(base, error), call, x0, TimeGrid(0.0, 1.0, 64), name="Heston")
