"""Systems whose flow is checked: Jacobians that commute and that do not, coefficients that depend on time."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from sdewm.arrays import Array
from sdewm.estimate.estimates import Estimate
from sdewm.estimate.samples import Sample, richardson
from sdewm.exact import reference
from sdewm.exact.problems import PROBLEMS
from sdewm.noise.grid import TimeGrid
from sdewm.systems.perturbed import PerturbedSDE
from sdewm.systems.sde import SDE, FunctionSDE, noise_channels

F64 = torch.float64
NILPOTENT = torch.tensor([[0.0, 1.0], [0.0, 0.0]], dtype=F64)
MIXED = torch.tensor([[0.3, 0.9], [-0.4, 0.2]], dtype=F64)
PAIR = torch.stack(
    [torch.tensor([[0.5, 0.8], [-0.2, 0.1]], dtype=F64), torch.tensor([[-0.3, 0.2], [0.9, 0.4]], dtype=F64)]
)


@dataclass(frozen=True)
class Flow:
    """A perturbed system from ``x0`` over [0, ``horizon``]."""

    family: PerturbedSDE
    x0: Tensor
    horizon: float = 1.0

    @property
    def base(self) -> SDE:
        return self.family.base

    @property
    def channels(self) -> int:
        return noise_channels(self.base, torch.zeros((), dtype=self.x0.dtype), self.x0[None])

    def grid(self, steps: int) -> TimeGrid:
        return TimeGrid(0.0, self.horizon, steps)

    def increments(self, grid: TimeGrid, paths: int, seed: int) -> Tensor:
        """``(steps, paths, m)``."""
        generator = torch.Generator().manual_seed(seed)
        return grid.dt**0.5 * torch.randn(grid.steps, paths, self.channels, generator=generator, dtype=self.x0.dtype)


def _problem(name: str) -> Flow:
    problem = PROBLEMS[name]()
    return Flow(problem.family, problem.x0, problem.horizon)


def _linear(matrices: Callable[[Tensor], Sequence[Tensor]], x0: list[float]) -> Flow:
    """dx = A_0(t) x dt + Σ_k A_k(t) x dB^k."""

    def g(t: Tensor, x: Tensor) -> Tensor:
        return torch.stack([x @ A.T for A in matrices(t)[1:]], -1)

    base = FunctionSDE(lambda t, x: x @ matrices(t)[0].T, g, "general")
    error = FunctionSDE(None, lambda t, x: torch.zeros_like(g(t, x)), "general")
    return Flow(PerturbedSDE(base, error), torch.tensor(x0, dtype=F64))


def nilpotent() -> Flow:
    """dx = A x dB with A² = 0: Φ = I + A B_t."""
    return _linear(lambda t: [0 * NILPOTENT, NILPOTENT], [1.0, 1.0])


def commuting() -> Flow:
    """A drift and two noises whose matrices are polynomials in one, with coefficients that depend on time."""
    unit, square = torch.eye(2, dtype=F64), MIXED @ MIXED

    def matrices(t: Tensor) -> list[Tensor]:
        return [
            torch.cos(t) * MIXED - 0.5 * unit,
            0.3 * torch.cos(2 * t) * unit + 0.4 * (1 + t) * MIXED,
            0.6 * torch.sin(1 + t) * square,
        ]

    return _linear(matrices, [1.0, -0.5])


def two_noises(size: float = 1.0) -> Flow:
    """Two constant matrices that do not commute, no drift."""
    return _linear(lambda t: [0 * PAIR[0], *(size * PAIR)], [1.0, -0.5])


def rotating(size: float = 1.0) -> Flow:
    """One noise, whose matrix turns: it commutes with itself at the same time, and not with itself at another."""

    def turned(t: Tensor) -> Tensor:
        c, s = torch.cos(3 * t), torch.sin(3 * t)
        turn = torch.stack([torch.stack([c, -s]), torch.stack([s, c])])
        return size * turn @ NILPOTENT @ turn.T

    return _linear(lambda t: [0 * NILPOTENT, turned(t)], [1.0, -0.5])


def time_dependent() -> Flow:
    """Nonlinear in two dimensions, one noise, everything depends on time."""
    base = FunctionSDE(
        lambda t, x: 0.5 * torch.sin(x.flip(-1) + 2 * t) - 0.3 * x,
        lambda t, x: (0.4 + 0.7 * torch.cos(x.flip(-1) + t)).unsqueeze(-1),
        "scalar",
    )
    error = FunctionSDE(
        lambda t, x: 0.5 * (1 + t) * torch.cos(x), lambda t, x: 0.4 * torch.sin(x + t).unsqueeze(-1), "scalar"
    )
    return Flow(PerturbedSDE(base, error), torch.tensor([0.4, -0.7], dtype=F64))


def sine() -> Flow:
    """The ordinary differential equation dx = sin x dt, whose flow is 2 atan(e^t tan(x0/2))."""
    return Flow(PerturbedSDE(FunctionSDE(lambda t, x: torch.sin(x)), FunctionSDE()), torch.tensor([0.8], dtype=F64))


def latent() -> Flow:
    """The reference latent model."""
    return Flow(reference.latent_family(), reference.initial_state(), reference.HORIZON)


FLOWS: dict[str, Callable[[], Flow]] = {
    "nilpotent": nilpotent,
    "commuting": commuting,
    "gbm": partial(_problem, "gbm"),
    "rotating": rotating,
    "two-noises": two_noises,
    "linear": partial(_problem, "linear"),
    "circle": partial(_problem, "circle"),
    "time-dependent": time_dependent,
    "sine": sine,
    "latent": latent,
}


def slope(squares: Sequence[Array], paths: int, seed: int) -> tuple[Estimate, float]:
    """The order p in rms ~ Δt^p from mean squares by replicate on grids, each half as fine as the one before.

    Extrapolated to Δt = 0 from the two finest pairs of grids; beside it, how much that moved it.
    """
    rates = [0.5 * np.log2(coarse / fine) for fine, coarse in itertools.pairwise(squares)]
    limit, moved = richardson(rates[:2])
    return Sample({"order": limit}, paths, seed).estimate("order"), moved
