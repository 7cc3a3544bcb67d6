"""Predictive rollouts (19): the sequence model and the predictor by themselves, with no encoder to correct them."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from sdewm import arguments
from sdewm.systems.blocks import apply_block
from sdewm.systems.in_time import InTime
from sdewm.systems.latent import LatentSDE
from sdewm.systems.stages import Stage


class LatentRollout:
    """Equations (19) of a latent model, an SDE in x = (h, z̃).

    ::

        dh = (f(h, z̃, π(h, z̃)) − leak h) dt,    dz̃ = (p(h) − leak z̃) dt + p̄(h) dB

    Parameters
    ----------
    model : where the coefficients, the policy and the leak come from. (19) has no noise in h: a model with ``f_bar``
        raises ``ValueError``, and so does one whose policy is :class:`~sdewm.systems.in_time.InTime`.

    With ``leak`` = 1, one step of "euler-sequential" with Δt = 1 is an imagined step of a recurrent state-space model.

    >>> rollout = LatentRollout(model)
    >>> rollout.dimension == model.sizes.h + model.sizes.z_tilde
    True
    """

    sde_type = "ito"
    noise_type = "general"

    def __init__(self, model: LatentSDE) -> None:
        arguments.instance("model", model, LatentSDE, "a LatentSDE")
        if model.f_seq_bar is not None:
            raise ValueError("model: expected no sequence noise (f_bar=None), as (19) has none, got a model with one")
        if isinstance(model.policy, InTime):
            raise ValueError("model: expected a policy (h, z), as (19) acts by itself, got one that follows the time")
        self.model = model
        hidden, latent = model.sizes.h, model.sizes.z_tilde
        self.h, self.z_tilde = slice(0, hidden), slice(hidden, hidden + latent)
        self.dimension = hidden + latent
        self.stages: tuple[Stage, ...] = (Stage(self.h, "start"), Stage(self.z_tilde, "end"))
        self._channels: int | None = None

    def state(self, x: Float[Tensor, "*paths n"]) -> Float[Tensor, "*paths rollout"]:
        """The rollout's state ``(..., h + z̃)`` out of a state of the whole model ``(..., n)``."""
        blocks = self.model.blocks(x)
        return torch.cat([blocks.h, blocks.z_tilde], -1)

    def perturbation(self, eps: Float[Tensor, "*paths z_tilde"]) -> Float[Tensor, "*paths rollout"]:
        """ε in z̃ ``(..., z̃)`` as a perturbation of x(0), ``(..., h + z̃)``: h(0) has no error."""
        if eps.shape[-1] != self.model.sizes.z_tilde:
            raise ValueError(f"eps: expected {self.model.sizes.z_tilde} coordinates, got shape {tuple(eps.shape)}")
        return torch.cat([eps.new_zeros(*eps.shape[:-1], self.model.sizes.h), eps], -1)

    def f(self, t: Float[Tensor, ""], x: Float[Tensor, "paths n"]) -> Float[Tensor, "paths n"]:
        return torch.cat([self.f_stage(0, t, x), self.f_stage(1, t, x)], -1)

    def g(self, t: Float[Tensor, ""], x: Float[Tensor, "paths n"]) -> Float[Tensor, "paths n channels"]:
        bar = self._bar(x)
        if bar is None:
            return torch.zeros(len(x), self.dimension, 0, dtype=x.dtype, device=x.device)
        matrix = bar if bar.ndim == 3 else torch.diag_embed(bar.expand(len(x), self.model.sizes.z_tilde))
        return torch.cat([_zeros(x, len(x), self.model.sizes.h, matrix.shape[-1]), matrix], -2)

    def g_prod(
        self, t: Float[Tensor, ""], x: Float[Tensor, "paths n"], dB: Float[Tensor, "paths channels"]
    ) -> Float[Tensor, "paths n"]:
        return torch.cat([self.g_prod_stage(0, t, x, dB), self.g_prod_stage(1, t, x, dB)], -1)

    def noise_channels(self, t: Float[Tensor, ""], x: Float[Tensor, "paths n"]) -> int:
        if self._channels is None:
            bar = self._bar(x[:1])
            self._channels = 0 if bar is None else bar.shape[-1]
        return self._channels

    def f_stage(self, stage: int, t: Float[Tensor, ""], x: Float[Tensor, "paths n"]) -> Float[Tensor, "paths size"]:
        h, z = x[..., self.h], x[..., self.z_tilde]
        if stage == 0:
            return self.model.f_seq(h, z, self.model.policy(h, z)) - self.model.leak * h
        return self.model.p(h) - self.model.leak * z

    def g_prod_stage(
        self, stage: int, t: Float[Tensor, ""], x: Float[Tensor, "paths n"], dB: Float[Tensor, "paths channels"]
    ) -> Float[Tensor, "paths size"]:
        bar = None if stage == 0 else self._bar(x)
        size = self.model.sizes[1 if stage == 0 else 2]
        return _zeros(x, *x.shape[:-1], size) if bar is None else apply_block(bar, dB)

    def _bar(self, x: Tensor) -> Tensor | None:
        return None if self.model.p_bar is None else self.model.p_bar(x[..., self.h])


def _zeros(like: Tensor, *shape: int) -> Tensor:
    # A plain tensor even beside jets: a constant costs them nothing.
    return torch.zeros(shape, dtype=like.dtype, device=like.device)
