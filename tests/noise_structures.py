"""Systems of every structure of noise, where they start, and their Brownian paths."""

from __future__ import annotations

import torch
from support import F64
from torch import Tensor

from sdewm.exact import reference
from sdewm.exact.problems import PROBLEMS
from sdewm.noise.brownian import BrownianPath
from sdewm.noise.grid import TimeGrid
from sdewm.systems.sde import FunctionSDE, diffusion_matrix, noise_channels

LEVEL = 3
GRID = TimeGrid(0.0, 1.0, 2**LEVEL)
ROTATION = torch.tensor([[0.0, -1.0], [1.0, 0.0]], dtype=F64)
COMMUTING = torch.tensor([[0.5, 0.3], [-0.4, 0.6]], dtype=F64)


def drift(t: Tensor, x: Tensor) -> Tensor:
    return torch.sin(x.flip(-1)) - t * x


def matrices(*columns: Tensor):
    """The diffusion g_k(x) = B_k x."""
    return lambda t, x: torch.stack([x @ B.T for B in columns], -1)


SYSTEMS = {
    "additive": FunctionSDE(drift, lambda t, x: ((1 + t) * COMMUTING).expand(len(x), -1, -1), "additive"),
    "scalar": FunctionSDE(drift, lambda t, x: (0.4 * torch.cos(t + x.flip(-1))).unsqueeze(-1), "scalar"),
    "diagonal": FunctionSDE(drift, lambda t, x: 0.3 + 0.2 * torch.cos(x + t)),
    "commutative": FunctionSDE(drift, matrices(COMMUTING, COMMUTING @ COMMUTING), "general"),
    "general": FunctionSDE(drift, lambda t, x: torch.cos(x.flip(-1)).unsqueeze(-1) * COMMUTING, "general"),
    "declared diagonal": FunctionSDE(None, lambda t, x: 0.8 * torch.sqrt(1 + x.flip(-1) ** 2)),
    "rotation": FunctionSDE(None, matrices(ROTATION), "scalar"),
    "latent": reference.latent_model(sequence_noise=True),
    "linear": PROBLEMS["linear"]().family.base,
}
STARTS = {"latent": reference.initial_state(), "linear": torch.tensor([1.0, -0.5, 0.8], dtype=F64)}
KINDS = {"declared diagonal": "general", "rotation": "scalar", "latent": "general", "linear": "general"}


def start(name: str) -> Tensor:
    return STARTS.get(name, torch.tensor([0.5, -1.0], dtype=F64))


def brownian(sde, x0: Tensor, paths: int = 5, level: int = LEVEL):
    channels = noise_channels(sde, torch.tensor(0.0, dtype=F64), x0[None])
    return BrownianPath(3, paths, channels).at(level, finest=level)


def derivatives(sde, t: Tensor, x: Tensor) -> Tensor:
    """∂g_l[g_k], ``(paths, n, k, l)``, by autograd."""
    one = torch.func.vmap(torch.func.jacrev(lambda y: diffusion_matrix(sde, t, y[None])[0]))
    return torch.einsum("pilj,pjk->pikl", one(x), diffusion_matrix(sde, t, x))


def beyond(threshold: float, size: int = 1) -> FunctionSDE:
    """Brownian motion whose first coordinate's noise grows beyond a threshold, and is constant before it."""
    return FunctionSDE(None, lambda t, x: 1 + 0.5 * torch.relu(x - threshold) * torch.eye(size, dtype=F64)[0])
