"""Systems whose orders are measured, and how."""

from __future__ import annotations

import torch
from support import F64
from torch import Tensor

from sdewm.exact import reference
from sdewm.exact.problems import PROBLEMS
from sdewm.solvers.order_report import Convergence
from sdewm.solvers.orders import convergence
from sdewm.systems.sde import FunctionSDE

SPAN = (0.0, 1.0)
LEVELS = (3, 4, 5, 6)
ROTATION = torch.tensor([[0.0, -1.0], [1.0, 0.0]], dtype=F64)
MIXING = torch.tensor([[0.7, 0.3], [-0.4, 0.6]], dtype=F64)
PAIR = torch.tensor([0.3, -0.2], dtype=F64)


def matrices(*columns: Tensor):
    """The diffusion g_k(x) = B_k x."""
    return lambda t, x: torch.stack([x @ B.T for B in columns], -1)


def pull(t: Tensor, x: Tensor) -> Tensor:
    return torch.sin(x.flip(-1)) - x


LATENT = reference.latent_model(sequence_noise=True)
SYSTEMS = {
    "scalar": FunctionSDE(pull, lambda t, x: (0.7 + 0.5 * torch.sin(x.flip(-1))).unsqueeze(-1), "scalar"),
    "rotation": FunctionSDE(None, matrices(ROTATION), "scalar"),
    "diagonal": FunctionSDE(pull, lambda t, x: 0.8 * torch.sqrt(1 + x**2)),
    "commutative": FunctionSDE(None, lambda t, x: (0.8 + 0.6 * torch.sin(2 * x)).unsqueeze(-1) * MIXING, "general"),
    "crossed": FunctionSDE(None, lambda t, x: 0.8 * torch.sqrt(1 + x.flip(-1) ** 2)),
    "linear": PROBLEMS["linear"]().family.at(1.0),
    "latent noise": FunctionSDE(None, lambda t, x: 2 * LATENT.g(t, x), "general"),
}
STARTS = {
    "linear": torch.tensor([1.0, -0.5, 0.8], dtype=F64),
    "latent noise": reference.initial_state(),
    "rotation": torch.tensor([1.0, 0.0], dtype=F64),
}
NON_COMMUTING = ("crossed", "linear", "latent noise")


def measured(name: str, method, **arguments) -> Convergence:
    # The latent model's nine channels cost the most.
    few = {"paths": 256, "levels": (2, 3, 4, 5), "refine": 1} if name == "latent noise" else {}
    few = {"paths": 512} if name == "linear" else few
    start, usual = STARTS.get(name, PAIR), {"levels": LEVELS, "paths": 1024}
    return convergence(SYSTEMS[name], start, SPAN, method=method, **(usual | few | arguments))


GBM = FunctionSDE(lambda t, x: 0.1 * x, lambda t, x: 0.5 * x)
ONE = torch.ones(1, dtype=F64)
