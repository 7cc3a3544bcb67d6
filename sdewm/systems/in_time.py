"""Coefficients of a latent model that depend on the time as well as on blocks of the state."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from sdewm.systems.blocks import Block, BlockNoise


@dataclass(frozen=True)
class InTime:
    """A function of the time too: ``function(t, …)`` where a model otherwise calls ``function(…)``.

    For a policy that follows a record, and for an error that differs from frame to frame.

    >>> recorded = InTime(lambda t, h, z: torch.full_like(h, float(t)))
    >>> recorded(torch.tensor(3.0), torch.zeros(1, 2), torch.zeros(1, 2))
    tensor([[3., 3.]])
    """

    function: Callable[..., Float[Tensor, "..."]]

    def __call__(self, t: Float[Tensor, ""], *blocks: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        return self.function(t, *blocks)


TwoInputs = Callable[[Block, Block], Block | BlockNoise] | InTime


def at_time(
    function: Callable[..., Float[Tensor, "..."]], t: Float[Tensor, ""], *blocks: Float[Tensor, "..."]
) -> Float[Tensor, "..."]:
    """A coefficient of some blocks, and of the time where it is :class:`InTime`."""
    return function(t, *blocks) if isinstance(function, InTime) else function(*blocks)
