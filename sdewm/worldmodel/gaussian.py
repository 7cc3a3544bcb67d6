"""Diagonal normal distributions, and how far one is from another."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Gaussian(NamedTuple):
    """A diagonal normal distribution: mean and standard deviation, both (..., n)."""

    mean: Tensor
    std: Tensor


def kl_divergence(q: Gaussian, p: Gaussian) -> Tensor:
    """KL(q ‖ p) of diagonal normal distributions in closed form, in nats: (..., n) to (...)."""
    ratio = q.std / p.std
    shift = (q.mean - p.mean) / p.std
    return 0.5 * (ratio * ratio + shift * shift - 1 - 2 * ratio.log()).sum(-1)
