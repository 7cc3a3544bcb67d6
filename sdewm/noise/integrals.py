"""Iterated integrals of a Brownian motion from its increments and Lévy areas."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from sdewm.noise.levy import check_increments


def iterated_integrals(
    dB: Float[Tensor, "paths channels"], h: float, area: Float[Tensor, "paths channels channels"]
) -> Float[Tensor, "paths channels channels"]:
    """Itô's I ``(paths, m, m)``: I_kl = ∫_{s<u<t} dB^k(u) dB^l(t) = ½(ΔB^k ΔB^l − h δ_kl) + A_kl.

    The first index belongs to the inner integral, so a Milstein step adds Σ_kl (∂g_l/∂x · g_k) I_kl.
    """
    return stratonovich_integrals(dB, area) - 0.5 * h * torch.eye(dB.shape[-1], dtype=area.dtype, device=area.device)


def stratonovich_integrals(
    dB: Float[Tensor, "paths channels"], area: Float[Tensor, "paths channels channels"]
) -> Float[Tensor, "paths channels channels"]:
    """Stratonovich's J ``(paths, m, m)``: J_kl = ∫_{s<u<t} ∘dB^k(u) ∘dB^l(t) = ½ ΔB^k ΔB^l + A_kl.

    The first index belongs to the inner integral.
    """
    m = check_increments(dB)
    if area.shape != (len(dB), m, m):
        raise ValueError(f"area: expected shape {(len(dB), m, m)}, got {tuple(area.shape)}")
    return 0.5 * dB[:, :, None] * dB[:, None, :] + area


def chen(
    dB1: Float[Tensor, "*steps paths channels"],
    A1: Float[Tensor, "*steps paths channels channels"],
    dB2: Float[Tensor, "*steps paths channels"],
    A2: Float[Tensor, "*steps paths channels channels"],
) -> Float[Tensor, "*steps paths channels channels"]:
    """The area ``(…, m, m)`` over a step made of two, from increments ``(…, m)`` and areas of the first and the second.

    A(s,u) = A(s,t) + A(t,u) + ½(ΔB(s,t) ⊗ ΔB(t,u) − ΔB(t,u) ⊗ ΔB(s,t)) (K.-T. Chen, Ann. of Math. 65 (1957) 163–178).
    """
    cross = dB1[..., :, None] * dB2[..., None, :]
    return A1 + A2 + 0.5 * (cross - cross.mT)
