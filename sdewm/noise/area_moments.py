"""Exact variances of Lévy areas, unconditional and given the increments."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from sdewm.noise.levy import check_increments, check_span


def area_variance(h: float) -> float:
    """Var A_kl = h²/4 for k ≠ l. A_kl/h has density sech(πx) (P. Lévy 1951)."""
    return h**2 / 4


def conditional_area_variance(
    dB: Float[Tensor, "paths channels"], h: float
) -> Float[Tensor, "paths channels channels"]:
    """Var(A_kl | ΔB) = h²/12 + h((ΔB^k)² + (ΔB^l)²)/12 for k ≠ l and 0 for k = l, shape ``(paths, m, m)``.

    Its mean is :func:`area_variance`.
    """
    m = check_increments(dB)
    check_span(m, h)
    squares = dB.to(torch.float64) ** 2
    variance = h**2 / 12 + h * (squares[:, :, None] + squares[:, None, :]) / 12
    return variance * (1 - torch.eye(m, dtype=torch.float64, device=dB.device))
