"""Diagonal normal distributions, and how far one is from another."""

from __future__ import annotations

import math
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

from sdewm.jets import Jet


class Gaussian(NamedTuple):
    """A diagonal normal distribution: mean and standard deviation, both (..., n)."""

    mean: Float[Tensor, "... n"]
    std: Float[Tensor, "... n"]


def kl_divergence(q: Gaussian, p: Gaussian) -> Float[Tensor, "..."]:
    """KL(q ‖ p) of diagonal normal distributions in closed form, in nats: (..., n) to (...).

    Raises ``ValueError`` for a standard deviation that is not positive.
    """
    positive("q.std", q.std)
    positive("p.std", p.std)
    ratio = q.std / p.std
    shift = (q.mean - p.mean) / p.std
    return 0.5 * (ratio * ratio + shift * shift - 1 - 2 * ratio.log()).sum(-1)


def positive(name: str, std: Float[Tensor, "..."], most: float = math.inf) -> None:
    """``ValueError`` for a standard deviation that is not positive, or larger than ``most``."""
    value = std.value if isinstance(std, Jet) else std
    if not bool(((value > 0) & (value <= most)).all()):
        upper = f", of at most {most:g}" if math.isfinite(most) else ""
        raise ValueError(
            f"{name}: expected positive numbers{upper}, got from {float(value.min())} to {float(value.max())}"
        )
