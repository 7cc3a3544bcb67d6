"""The representation error of the encoder, (5), as an SDE beside its latent model."""

from __future__ import annotations

from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from sdewm.systems.blocks import Blocks, BlockSizes, BlockSlices, apply_block, check_block, plain_zeros
from sdewm.systems.in_time import TwoInputs, at_time
from sdewm.systems.stages import Stage


class EncodedModel(Protocol):
    """What the error of an encoder reads of its model: see :class:`~sdewm.systems.latent.LatentSDE`."""

    sizes: BlockSizes
    stages: tuple[Stage, ...]
    block_slices: BlockSlices
    error_channels: int

    def blocks(self, x: Float[Tensor, "*paths n"]) -> Blocks: ...

    def observed(self, t: Float[Tensor, ""], x: Float[Tensor, "*paths n"]) -> Float[Tensor, "..."]: ...

    def channel_slices(self, t: Float[Tensor, ""], x: Float[Tensor, "paths n"]) -> tuple[slice, ...]: ...

    def noise_channels(self, t: Float[Tensor, ""], x: Float[Tensor, "paths n"]) -> int: ...


class EncoderErrorSDE:
    """The SDE with drift (σ, 0, 0, 0) and diffusion (σ̄, 0, 0, 0): see :meth:`sdewm.LatentSDE.encoder_error`."""

    sde_type = "ito"
    noise_type = "general"

    def __init__(self, model: EncodedModel, sigma: TwoInputs | None, sigma_bar: TwoInputs | None) -> None:
        self.model, self.sigma, self.sigma_bar = model, sigma, sigma_bar
        self._checked = False

    def _row(self, coefficient: TwoInputs | None, t: Tensor, x: Tensor) -> Tensor | None:
        if coefficient is None:
            return None
        if not self._checked:
            self._check(t, x[:1])
            self._checked = True
        return at_time(coefficient, t, self.model.blocks(x).h, self.model.observed(t, x))

    def _check(self, t: Tensor, probe: Tensor) -> None:
        h, s = self.model.blocks(probe).h, self.model.observed(t, probe)
        size = self.model.sizes.z
        if self.sigma is not None:
            check_block("sigma", at_time(self.sigma, t, h, s), [(1, size), (size,)])
        if self.sigma_bar is not None:
            encoder, own = self.model.channel_slices(t, probe)[0], self.model.error_channels
            channels = encoder.stop - encoder.start
            if channels + own == 0:
                raise ValueError("sigma_bar: expected None where q_enc_bar is None, as it rides on the encoder's noise")
            allowed = [(1, size), (size,)] if channels == size else []
            allowed += [(1, size, n) for n in dict.fromkeys((channels, channels + own)) if n]
            check_block("sigma_bar", at_time(self.sigma_bar, t, h, s), allowed)

    def _in_z(self, value: Tensor, x: Tensor) -> Tensor:
        if value.ndim == 1:
            value = value.expand(len(x), -1)
        return torch.cat([value, plain_zeros(x, len(value), x.shape[-1] - self.model.sizes.z)], -1)

    def f(self, t: Float[Tensor, ""], x: Float[Tensor, "paths n"]) -> Float[Tensor, "paths n"]:
        drift = self._row(self.sigma, t, x)
        return plain_zeros(x, *x.shape) if drift is None else self._in_z(drift, x)

    def _heard(self, g: Tensor, t: Tensor, x: Tensor, dB: Tensor) -> Tensor:
        """The increments that σ̄ rides on: the encoder's, and those of the error alone where it has columns for them."""
        slices = self.model.channel_slices(t, x)
        encoder = dB[..., slices[0]]
        own = g.ndim == 3 and g.shape[-1] > encoder.shape[-1]
        return torch.cat([encoder, dB[..., slices[-1]]], -1) if own else encoder

    def g_prod(
        self, t: Float[Tensor, ""], x: Float[Tensor, "paths n"], dB: Float[Tensor, "paths channels"]
    ) -> Float[Tensor, "paths n"]:
        g = self._row(self.sigma_bar, t, x)
        if g is None:
            return plain_zeros(x, *x.shape)
        return self._in_z(apply_block(g, self._heard(g, t, x, dB)), x)

    def g(self, t: Float[Tensor, ""], x: Float[Tensor, "paths n"]) -> Float[Tensor, "paths n channels"]:
        g = self._row(self.sigma_bar, t, x)
        channels = self.model.noise_channels(t, x)
        if g is None:
            return plain_zeros(x, len(x), x.shape[-1], channels)
        g = g if g.ndim == 3 else torch.diag_embed(g.expand(len(x), self.model.sizes.z))
        encoder = self.model.channel_slices(t, x)[0].stop
        between = plain_zeros(x, len(x), self.model.sizes.z, channels - g.shape[-1])
        g = torch.cat([g[..., :encoder], between, g[..., encoder:]], -1)
        return torch.cat([g, plain_zeros(x, len(x), x.shape[-1] - self.model.sizes.z, channels)], -2)

    # The error sits in z alone: the other stages have none of it.
    def f_stage(self, stage: int, t: Float[Tensor, ""], x: Float[Tensor, "paths n"]) -> Float[Tensor, "paths size"]:
        drift = self._row(self.sigma, t, x) if self._is_z(stage) else None
        block = x[..., self.model.stages[stage].block]
        return plain_zeros(x, *block.shape) if drift is None else drift.expand(block.shape)

    def g_prod_stage(
        self, stage: int, t: Float[Tensor, ""], x: Float[Tensor, "paths n"], dB: Float[Tensor, "paths channels"]
    ) -> Float[Tensor, "paths size"]:
        g = self._row(self.sigma_bar, t, x) if self._is_z(stage) else None
        if g is None:
            block = self.model.stages[stage].block
            return plain_zeros(x, *x.shape[:-1], block.stop - block.start)
        return apply_block(g, self._heard(g, t, x, dB))

    def _is_z(self, stage: int) -> bool:
        return self.model.stages[stage].block == self.model.block_slices.z
