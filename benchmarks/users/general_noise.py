"""Five states, three noises that all act on all of them and do not commute."""

import torch

from sdewm import FunctionSDE, PerturbedSDE, System, TimeGrid

torch.manual_seed(0)
A = 0.4 * torch.randn(5, 5, dtype=torch.float64)
B = 0.2 * torch.randn(3, 5, 5, dtype=torch.float64)


def drift(t, x):
    return torch.sin(x @ A.T) - 0.5 * x


def diffusion(t, x):
    return torch.stack([0.2 + torch.tanh(x @ b.T) for b in B], -1)  # (paths, 5, 3)


def error_drift(t, x):
    return 0.3 * torch.cos(x) * x.roll(1, -1)


def error_diffusion(t, x):
    return 0.5 * torch.sin(x).unsqueeze(-1) * torch.ones(3, dtype=x.dtype)


def loss(x):
    return (x**2).sum(-1) + x[:, 0] * x[:, 1]


def system():
    base = FunctionSDE(drift, diffusion, noise_type="general")
    error = FunctionSDE(error_drift, error_diffusion, noise_type="general")
    x0 = torch.linspace(-1.0, 1.0, 5, dtype=torch.float64)
    return System(PerturbedSDE(base, error), loss, x0, TimeGrid(0.0, 1.0, 32), name="five states, three noises")
