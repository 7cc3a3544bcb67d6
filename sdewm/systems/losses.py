"""What a loss is to an expansion: a function of the final state, or a weighted sum over times of the path."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from sdewm import arguments
from sdewm.jets import Jet
from sdewm.jets.paths import evaluated_on
from sdewm.noise.grid import TimeGrid
from sdewm.systems.user_functions import named


@dataclass(eq=False)
class NonFiniteLoss(ArithmeticError):
    """A loss, or a derivative of it, left the numbers: at which time, of which order, and for how many paths.

    >>> print(NonFiniteLoss(time=1.0, order=0, paths=3, of=8))
    loss: is not finite at t = 1 on 3 of 8 paths, so that its mean is no number. …
    """

    time: float
    order: int
    paths: int
    of: int

    def __str__(self) -> str:
        what = "is" if self.order == 0 else f"has a derivative of order {self.order} that is"
        return (
            f"loss: {what} not finite at t = {self.time:g} on {self.paths} of {self.of} paths, so that its mean is no "
            "number. It needs a loss that is defined, and smooth, wherever paths go."
        )


TerminalLoss = Callable[[Float[Tensor, "paths n"]], Float[Tensor, " paths"]]


@dataclass(frozen=True)
class SummedLoss:
    """Σ_i weights[i] · fn(times[i], x(times[i])), for instance a sum over the frames of an episode.

    Parameters
    ----------
    fn : ``(t, x) -> (paths,)`` with states x ``(paths, n)``.
    times : must lie on the grid of the expansion, and on every coarser one that it extrapolates from.
    weights : one per time; 1 for all by default. A mean has 1/len(times), a time integral the quadrature's weights.

    >>> every_quarter = SummedLoss(lambda t, x: (x**2).sum(-1), times=[0.25, 0.5, 0.75, 1.0])
    >>> expand(family, every_quarter, x0, grid).loss0.n
    16384
    """

    fn: Callable[[Float[Tensor, ""], Float[Tensor, "paths n"]], Float[Tensor, " paths"]]
    times: Sequence[float]
    weights: Sequence[float] | None = None

    def __post_init__(self) -> None:
        arguments.function("fn", self.fn, "(t, x)")
        times = arguments.reals("times", self.times)
        if not times:
            raise ValueError("times: expected at least one, got none")
        object.__setattr__(self, "times", times)
        if self.weights is not None:
            weights = arguments.reals("weights", self.weights)
            if len(weights) != len(times):
                raise ValueError(f"weights: expected {len(times)}, one per time, got {len(weights)}")
            object.__setattr__(self, "weights", weights)

    def at(self, t: Float[Tensor, ""], x: Float[Tensor, "paths n"]) -> Float[Tensor, " paths"]:
        """fn(t, x), a tensor or a jet ``(paths,)``; :class:`NonFiniteLoss` where a path's is not finite."""
        with named("loss: expected a function of states (paths, n)"), evaluated_on(len(x)):
            value = self.fn(t, x)
        # One of another shape would be broadcast over the paths of the others.
        if not isinstance(value, Tensor) or value.shape != x.shape[:1]:
            raise ValueError(
                f"loss: expected one number per path, shape {tuple(x.shape[:1])}, at t = {float(t):g}, got "
                f"{arguments.shown(value)}"
            )
        coefficients = value.coefficients if isinstance(value, Jet) else value.unsqueeze(0)
        finite = torch.isfinite(coefficients)
        if not bool(finite.all()):
            row = int((~finite).any(1).nonzero()[0])
            order = sum(value.space.indices[row]) if isinstance(value, Jet) else 0
            raise NonFiniteLoss(float(t), order, int((~finite).any(0).sum()), finite.shape[1])
        return value

    def on(self, grid: TimeGrid) -> dict[int, float]:
        """The weight of each grid index that the sum visits."""
        weights = [1.0] * len(self.times) if self.weights is None else self.weights
        total: dict[int, float] = {}
        for t, w in zip(self.times, weights, strict=True):
            i = grid.index(t, "times")
            total[i] = total.get(i, 0.0) + w
        return total


Loss = TerminalLoss | SummedLoss


def as_summed(loss: Loss, grid: TimeGrid) -> SummedLoss:
    """A terminal loss is a sum with one term."""
    arguments.instance("grid", grid, TimeGrid, "a TimeGrid(t0, t1, steps)")
    if isinstance(loss, SummedLoss):
        return loss
    if not callable(loss):
        raise TypeError(f"loss: expected a function of states (paths, n) or a SummedLoss, got {arguments.shown(loss)}")
    return SummedLoss(lambda t, x: loss(x), [grid.t1])
