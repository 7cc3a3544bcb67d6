"""What a loss is to an expansion: a function of the final state, or a weighted sum over times of the path."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sdewm.noise import TimeGrid

TerminalLoss = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class SummedLoss:
    """Σ_i weights[i] · fn(times[i], x(times[i])), for instance a sum over the frames of an episode.

    Parameters
    ----------
    fn : ``(t, x) -> (paths,)`` with states x ``(paths, n)``.
    times : must lie on the grid of the expansion, and on every coarser one that it extrapolates from.
    weights : one per time; 1 for all by default. A mean has 1/len(times), a time integral the quadrature's weights.
    """

    fn: Callable[[Tensor, Tensor], Tensor]
    times: Sequence[float]
    weights: Sequence[float] | None = None

    def __post_init__(self) -> None:
        if not self.times:
            raise ValueError("times: expected at least one, got none")
        if self.weights is not None and len(self.weights) != len(self.times):
            raise ValueError(f"weights: expected {len(self.times)}, one per time, got {len(self.weights)}")

    def on(self, grid: TimeGrid) -> dict[int, float]:
        """The weight of each grid index that the sum visits."""
        weights = self.weights or [1.0] * len(self.times)
        total: dict[int, float] = {}
        for t, w in zip(self.times, weights, strict=True):
            total[grid.index(t)] = total.get(grid.index(t), 0.0) + w
        return total


Loss = TerminalLoss | SummedLoss


def as_summed(loss: Loss, grid: TimeGrid) -> SummedLoss:
    """A terminal loss is a sum with one term."""
    if isinstance(loss, SummedLoss):
        return loss
    if not callable(loss):
        raise TypeError(f"loss: expected a function of states (paths, n) or a SummedLoss, got {type(loss).__name__}")
    return SummedLoss(lambda t, x: loss(x), [grid.t1])


def check_loss(loss: SummedLoss, x0: Tensor, grid: TimeGrid) -> None:
    """Hold a loss against a few states: one finite number per path, or an error that says what came instead."""
    loss.on(grid)
    x = x0[:3] if x0.ndim == 2 else x0.expand(3, *x0.shape)
    t = torch.as_tensor(loss.times[0], dtype=x0.dtype, device=x0.device)
    value = loss.fn(t, x)
    if not isinstance(value, Tensor) or tuple(value.shape) != (len(x),):
        got = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
        hint = " Reduce over the last axis only: a mean over paths is taken later." if got == "shape ()" else ""
        raise ValueError(f"loss: expected one number per path, shape ({len(x)},) for {len(x)} paths, got {got}.{hint}")
    if not bool(torch.isfinite(value).all()):
        raise ValueError(f"loss: expected finite numbers, got {value.tolist()} at the initial state")
