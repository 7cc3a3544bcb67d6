"""SDEs with stiff or super-linear drifts, and the exact mean of a function of their state at time 1.

Explicit steps of length 1/32 leave the numbers on the stiff ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from scipy.special import hyp1f1
from torch import Tensor

from sdewm.systems.sde import SDE, FunctionSDE


@dataclass(frozen=True)
class HardProblem:
    """An SDE from time 0 to 1, its start ``(n,)``, a function ``(paths, n) -> (paths,)``, and that one's exact mean.

    ``stiff``: whether the drift is stiff, beside those that grow faster than linearly.
    """

    name: str
    sde: SDE
    x0: Float[Tensor, " n"]
    functional: Callable[[Float[Tensor, "paths n"]], Float[Tensor, " paths"]]
    truth: float
    stiff: bool


def _squares(x: Tensor) -> Tensor:
    return (x * x).sum(-1)


def _quadratic() -> HardProblem:
    """dx_i = −a_i x_i dt + ½ dB_i: the gradient flow of a stiff quadratic potential."""
    rates, x0 = torch.tensor([1e3, 1.0], dtype=torch.float64), torch.ones(2, dtype=torch.float64)
    sde = FunctionSDE(lambda t, x: -rates * x, lambda t, x: torch.full_like(x, 0.5))
    means = torch.exp(-rates) * x0
    truth = float((means**2 + 0.25 * (1 - torch.exp(-2 * rates)) / (2 * rates)).sum())
    return HardProblem("stiff quadratic", sde, x0, _squares, truth, True)


def _heat(points: int = 15, noise: float = 0.5) -> HardProblem:
    """du = 0.1 u'' dt + ½ u dB on an interval, by finite differences: u = exp(0.1 D + ½ B_1 − ⅛) u_0."""
    step = 1 / (points + 1)
    line = torch.ones(points - 1, dtype=torch.float64)
    second = (line.diag(1) + line.diag(-1) - 2 * torch.eye(points, dtype=torch.float64)) / step**2
    x0 = torch.sin(math.pi * step * torch.arange(1, points + 1, dtype=torch.float64))
    x0 = x0 + 0.3 * (-1.0) ** torch.arange(points)
    sde = FunctionSDE(lambda t, x: 0.1 * x @ second.mT, lambda t, x: noise * x.unsqueeze(-1), "scalar")
    truth = float(_squares(torch.linalg.matrix_exp(0.1 * second) @ x0) * math.exp(noise**2))
    return HardProblem("stochastic heat equation", sde, x0, _squares, truth, True)


def _three_halves(growth: float = 2.0, pull: float = 4.0, size: float = 0.5, start: float = 2.0) -> HardProblem:
    """dx = x (μ − α x) dt + β x^{3/2} dB: 1/x is a Cox–Ingersoll–Ross process, whose inverse has a known mean."""
    sde = FunctionSDE(lambda t, x: x * (growth - pull * x), lambda t, x: size * x.abs() ** 1.5)
    # c χ'² with d degrees of freedom and non-centrality λ: E 1/χ'² = e^{−λ/2} 1F1(d/2 − 1, d/2, λ/2) / (d − 2).
    c = size**2 * (1 - math.exp(-growth)) / (4 * growth)
    d, off = 4 * (pull + size**2) / size**2, math.exp(-growth) / (start * c)
    truth = math.exp(-off / 2) * float(hyp1f1(d / 2 - 1, d / 2, off / 2)) / (d - 2) / c
    return HardProblem("3/2-model", sde, torch.tensor([start], dtype=torch.float64), lambda x: x[:, 0], truth, False)


HARD_PROBLEMS: dict[str, HardProblem] = {p.name: p for p in (_quadratic(), _heat(), _three_halves())}
