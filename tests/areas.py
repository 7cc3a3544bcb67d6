"""What tests of Lévy areas share: how they are drawn, their exact covariances, and how many paths show a mistake."""

from __future__ import annotations

import math

import torch
from scipy.special import ndtri
from support import F64, FALSE_ALARM, FALSE_FAILURE
from torch import Tensor

from sdewm.noise.area_plan import plan_areas

H = 0.3
# What torchsde's two areas have for ¼h².
WRONG_VARIANCES = (0.332, 0.2185)


def conditional_area_covariance(dB: Tensor, h: float) -> Tensor:
    """Cov(A_kl, A_ij | ΔB), shape ``(paths, m, m, m, m)``, in units of h²; the mean E[A | ΔB] is zero.

    On antisymmetric matrices this is h²/12 (I + L), L(G) = G w wᵀ + w wᵀ G with w = ΔB/√h.
    """
    unit = torch.eye(dB.shape[1], dtype=F64)
    full = 0.5 * unit + dB[:, :, None] * dB[:, None, :] / h
    # Cov = h²/12 (δ_ki F_lj + F_ki δ_lj − δ_kj F_li − F_kj δ_li) with F = I/2 + w wᵀ.
    one = torch.einsum("ki,plj->pklij", unit, full) + torch.einsum("pki,lj->pklij", full, unit)
    return h**2 / 12 * (one - one.transpose(-1, -2))


def paths_to_see(deviation: float, spread: float, comparisons: int = 1) -> int:
    """Paths with which a z-test for a mean, of standard deviation ``spread``, misses ``deviation`` at FALSE_ALARM."""
    quantiles = ndtri(1 - FALSE_FAILURE / (2 * comparisons)) + ndtri(1 - FALSE_ALARM)
    return math.ceil((quantiles * spread / deviation) ** 2)


def areas(dB: Tensor, h: float, generator: torch.Generator, **options) -> Tensor:
    """Of increments ``(paths, channels)`` over one step."""
    return plan_areas(dB.shape[-1], h, **options).sample(dB, generator)


def critical(comparisons: int = 1) -> float:
    return float(ndtri(1 - FALSE_FAILURE / (2 * comparisons)))
