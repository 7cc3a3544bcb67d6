"""Exact variances and covariances of Lévy areas, unconditional and given the increments."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from sdewm.noise.levy import check_increments, check_span


def area_variance(h: float) -> float:
    """Var A_kl = h²/4 for k ≠ l. A_kl/h has density sech(πx) (P. Lévy 1951)."""
    return h**2 / 4


def conditional_area_covariance(
    dB: Float[Tensor, "paths channels"], h: float
) -> Float[Tensor, "paths channels channels channels channels"]:
    """Cov(A_kl, A_ij | ΔB), shape ``(paths, m, m, m, m)``, in units of h²; the mean E[A | ΔB] is zero.

    On antisymmetric matrices this is h²/12 (I + L), L(G) = G w wᵀ + w wᵀ G with w = ΔB/√h.
    """
    m = check_increments(dB)
    check_span(m, h)
    unit = torch.eye(m, dtype=torch.float64, device=dB.device)
    full = 0.5 * unit + dB[:, :, None] * dB[:, None, :] / h
    # Cov = h²/12 (δ_ki F_lj + F_ki δ_lj − δ_kj F_li − F_kj δ_li) with F = I/2 + w wᵀ.
    one = torch.einsum("ki,plj->pklij", unit, full) + torch.einsum("pki,lj->pklij", full, unit)
    return h**2 / 12 * (one - one.transpose(-1, -2))


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
