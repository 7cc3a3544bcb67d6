"""Itô and Stratonovich: one SDE written in the other calculus."""

from __future__ import annotations

from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from sdewm.jets.directional import directional
from sdewm.systems.sde import SDE, check_protocol, diffusion_product, drift, noise_channels


def to_stratonovich(sde: SDE) -> SDE:
    """The Stratonovich SDE with the solutions of ``sde``, an Itô one: its drift is f − ½ Σ_k ∂g_k[g_k].

    Jets pass through. Undoes :func:`to_ito`. Raises ``ValueError`` for an SDE that is not Itô.

    >>> gbm = FunctionSDE(lambda t, x: 0.1 * x, lambda t, x: 0.4 * x)
    >>> to_stratonovich(gbm).f(torch.tensor(0.0), torch.ones(1, 1))  # 0.1 − ½ · 0.4²
    tensor([[0.0200]])
    """
    return _converted(sde, "ito", "stratonovich")


def to_ito(sde: SDE) -> SDE:
    """The Itô SDE with the solutions of ``sde``, a Stratonovich one: its drift is f + ½ Σ_k ∂g_k[g_k].

    Jets pass through. Undoes :func:`to_stratonovich`. Raises ``ValueError`` for an SDE that is not a Stratonovich one.

    >>> gbm = FunctionSDE(lambda t, x: 0.1 * x, lambda t, x: 0.4 * x, sde_type="stratonovich")
    >>> to_ito(gbm).f(torch.tensor(0.0), torch.ones(1, 1))  # 0.1 + ½ · 0.4²
    tensor([[0.1800]])
    """
    return _converted(sde, "stratonovich", "ito")


def _converted(sde: SDE, before: str, after: str) -> SDE:
    check_protocol("sde", sde)
    if sde.sde_type != before:
        raise ValueError(f"sde.sde_type: expected {before!r}, got {sde.sde_type!r}")
    return sde.sde if isinstance(sde, Converted) else Converted(sde, after)


class Converted:
    """The same diffusion, a drift corrected by ±½ Σ_k ∂g_k[g_k]."""

    def __init__(self, sde: SDE, sde_type: str) -> None:
        self.sde, self.sde_type, self.noise_type = sde, sde_type, sde.noise_type
        self.sign = 0.5 if sde_type == "ito" else -0.5

    def f(self, t: Float[Tensor, ""], x: Float[Tensor, "paths n"]) -> Float[Tensor, "paths n"]:
        total = drift(self.sde, t, x)
        if self.noise_type == "additive":
            return total
        channels = noise_channels(self.sde, t, x)
        for k in range(channels):
            unit = torch.zeros(len(x), channels, dtype=x.dtype, device=x.device)
            unit[:, k] = 1
            column = diffusion_product(self.sde, t, x, unit)
            total = total + self.sign * directional(
                partial(diffusion_product, self.sde, t, dB=unit),
                x,
                column,
            )
        return total

    def g(self, t: Float[Tensor, ""], x: Float[Tensor, "paths n"]) -> Float[Tensor, "paths n *channels"]:
        return self.sde.g(t, x)

    def g_prod(
        self, t: Float[Tensor, ""], x: Float[Tensor, "paths n"], dB: Float[Tensor, "paths channels"]
    ) -> Float[Tensor, "paths n"]:
        return diffusion_product(self.sde, t, x, dB)

    def noise_channels(self, t: Float[Tensor, ""], x: Float[Tensor, "paths n"]) -> int:
        return noise_channels(self.sde, t, x)
