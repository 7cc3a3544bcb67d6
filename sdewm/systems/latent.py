"""The latent dynamics model (5)–(8) as one SDE."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor

from sdewm import arguments
from sdewm.systems.blocks import (
    Block,
    BlockNoise,
    Blocks,
    BlockSizes,
    BlockSlices,
    apply_block,
    check_block,
    plain_zeros,
)
from sdewm.systems.encoder_error import EncoderErrorSDE
from sdewm.systems.in_time import TwoInputs, at_time
from sdewm.systems.sde import SDE, diffusion_matrix, diffusion_product
from sdewm.systems.stages import Stage


class LatentSDE:
    """The latent dynamics model (5)–(8) with state x = (z, h, z̃, s̃) and no representation error.

    ::

        dz = (q_enc(h, s_t) − leak z) dt + q_enc_bar(h, s_t) dB^enc
        dh = (f(h, z, a) − leak h) dt    + f_bar(h, z, a) dB^seq,      a = policy(h, z)
        dz̃ = (p(h) − leak z̃) dt          + p_bar(h) dB^pred
        ds̃ = (q_dec(h, z̃) − leak s̃) dt   + q_dec_bar(h, z̃) dB^dec

    Parameters
    ----------
    q_enc, q_enc_bar, f, f_bar, p, p_bar, q_dec, q_dec_bar : the eight coefficient functions. A drift returns
        ``(paths, size)``. A diffusion returns ``(paths, size)``, one channel for each coordinate, or
        ``(paths, size, channels)``, and may be ``None`` for none at all.
    policy : π(h, z) -> actions, or :class:`InTime` of a function (t, h, z), such as the actions of a record.
    observation : s_t; a function of t, a :class:`RecordedObservation`, or an SDE, simulated alongside with channels
        of its own (its state becomes a fifth block). A vector s_t ``(size,)`` reaches the coefficients as
        ``(paths, size)``, like h and z, so that ``torch.cat([h, s], -1)`` works; an image (more than one axis) as it
        is, without an axis of paths, so that it can be encoded once for all of them.
    sizes : :class:`BlockSizes`.
    leak : 0 for the paper's (5)–(8). With 1 a coefficient is the value that its block relaxes to, and one step of the
        method "euler-sequential" with Δt = 1 is the step of a recurrent state-space model: h, then z, z̃ and s̃,
        each drawn from its new distribution. Any other method with leak·Δt = 1 steps through another model, and a
        warning says so.
    observation0 : the observation SDE's initial state ``(size,)``; required with an SDE, refused without.
    error_channels : Brownian motions that the model itself does not hear, the last of all, for an error that has noise
        of its own: see :meth:`encoder_error`.

    Raises
    ------
    ValueError : on the first use, if a coefficient returns the wrong shape; the coefficient is named.

    >>> model = LatentSDE(
    ...     q_enc=lambda h, s: torch.tanh(h + s),
    ...     q_enc_bar=lambda h, s: 0.1 * torch.ones_like(h),
    ...     f=lambda h, z, a: torch.tanh(h + z + a),
    ...     p=lambda h: torch.tanh(h),
    ...     p_bar=lambda h: 0.1 * torch.ones_like(h),
    ...     q_dec=lambda h, z: h + z,
    ...     policy=lambda h, z: torch.sin(h),
    ...     observation=lambda t: torch.ones(2, dtype=torch.float64),
    ...     sizes=BlockSizes(z=2, h=2, z_tilde=2, s_tilde=2),
    ...     leak=1.0,
    ... )
    >>> start = model.state(*torch.zeros(4, 2, dtype=torch.float64))
    >>> solve(model, start, TimeGrid(0.0, 4.0, 4), method="euler-sequential", paths=16).shape
    torch.Size([16, 8])
    """

    sde_type = "ito"
    noise_type = "general"

    def __init__(
        self,
        *,
        q_enc: TwoInputs,
        q_enc_bar: TwoInputs | None,
        f: Callable[[Float[Tensor, "paths h"], Float[Tensor, "paths z"], Block], Float[Tensor, "paths h"]],
        f_bar: Callable[[Float[Tensor, "paths h"], Float[Tensor, "paths z"], Block], BlockNoise] | None = None,
        p: Callable[[Float[Tensor, "paths h"]], Block],
        p_bar: Callable[[Float[Tensor, "paths h"]], BlockNoise] | None,
        q_dec: TwoInputs,
        q_dec_bar: TwoInputs | None = None,
        policy: TwoInputs,
        observation: Callable[[Float[Tensor, ""]], Float[Tensor, "..."]] | SDE,
        sizes: BlockSizes,
        leak: float = 0.0,
        observation0: Float[Tensor, " size"] | None = None,
        error_channels: int = 0,
    ) -> None:
        required = {"q_enc": q_enc, "f": f, "p": p, "q_dec": q_dec, "policy": policy}
        optional = {"q_enc_bar": q_enc_bar, "f_bar": f_bar, "p_bar": p_bar, "q_dec_bar": q_dec_bar}
        for name, given in (required | optional).items():
            arguments.function(name, given, "the blocks that it reads", optional=name in optional)
        self.q_enc, self.q_enc_bar = q_enc, q_enc_bar
        self.f_seq, self.f_seq_bar = f, f_bar
        self.p, self.p_bar = p, p_bar
        self.q_dec, self.q_dec_bar = q_dec, q_dec_bar
        self.policy, self.observation = policy, observation
        blocks = arguments.integers("sizes", sizes, 1)
        if len(blocks) != 4:
            raise ValueError(f"sizes: expected four, those of z, h, z̃ and s̃, got {list(blocks)}")
        self.sizes, self.leak = BlockSizes(*blocks), arguments.real("leak", leak)
        if observation0 is not None:
            observation0 = arguments.tensor("observation0", observation0)
        self.observation0 = observation0
        self.error_channels = arguments.integer("error_channels", error_channels, 0)
        self.simulated = isinstance(observation, SDE)
        if not self.simulated:
            arguments.function("observation", observation, "t, or an SDE")
        if self.simulated != (observation0 is not None):
            raise ValueError(
                "observation0: expected an initial state if and only if the observation is an SDE, "
                f"got observation0={'None' if observation0 is None else tuple(observation0.shape)} "
                f"with {type(observation).__name__}"
            )
        ends = torch.tensor(self.sizes).cumsum(0).tolist()
        z, h, z_tilde, s_tilde = (slice(e - n, e) for n, e in zip(self.sizes, ends, strict=True))
        self.block_slices = BlockSlices(z, h, z_tilde, s_tilde)
        # An RSSM's step: the recurrent state first, from the old z; the rest sees it, and the new observation.
        self.stages: tuple[Stage, ...] = (
            Stage(h, "start"),
            Stage(z, "end"),
            Stage(z_tilde, "end"),
            Stage(s_tilde, "end"),
        )
        self.dimension = ends[-1]
        if observation0 is not None:
            observed = slice(self.dimension, self.dimension + len(observation0))
            self.stages = (Stage(observed, "start"), *self.stages)
            self.dimension = observed.stop
        self._channel_slices: tuple[slice, ...] | None = None

    # -- the state ---------------------------------------------------------------------------------------------------

    def blocks(self, x: Float[Tensor, "*paths n"]) -> Blocks:
        """The four blocks of states ``(..., n)``."""
        return Blocks(*(x[..., b] for b in self.block_slices))

    def state(
        self,
        z: Float[Tensor, "*paths z"],
        h: Float[Tensor, "*paths h"],
        z_tilde: Float[Tensor, "*paths z_tilde"],
        s_tilde: Float[Tensor, "*paths s_tilde"],
    ) -> Float[Tensor, "*paths n"]:
        """A state ``(..., n)`` from its blocks; the observation's initial state is appended where it is simulated."""
        parts = [z, h, z_tilde, s_tilde]
        for name, part, size in zip(BlockSizes._fields, parts, self.sizes, strict=True):
            if part.shape[-1] != size:
                raise ValueError(f"{name}: expected {size} coordinates, got shape {tuple(part.shape)}")
        if self.observation0 is not None:
            parts.append(self.observation0.expand(*z.shape[:-1], -1))
        return torch.cat(parts, -1)

    @property
    def _observation_sde(self) -> SDE:
        """The observation where it is simulated."""
        return cast(SDE, self.observation)

    @property
    def _recorded(self) -> Callable[[Tensor], Tensor]:
        """The observation where it is not."""
        return cast(Callable[[Tensor], Tensor], self.observation)

    def observed(self, t: Float[Tensor, ""], x: Float[Tensor, "*paths n"]) -> Float[Tensor, "..."]:
        """s_t: a vector as ``(paths, size)``, the same for every path unless it is simulated; an image as recorded."""
        if self.simulated:
            return x[..., self.stages[0].block]
        s = self._recorded(t)
        # A view, so that torch.cat([h, s], -1) is right and nothing is copied; an image is better encoded once.
        return s.expand(*x.shape[:-1], -1) if s.ndim == 1 else s

    def encoder_error(self, sigma: TwoInputs | None = None, sigma_bar: TwoInputs | None = None) -> EncoderErrorSDE:
        """The representation error of (5) as an SDE: drift (σ(h, s), 0, 0, 0), diffusion (σ̄(h, s), 0, 0, 0) dB^enc.

        Either is a function (h, s), or :class:`InTime` of a function (t, h, s). ``sigma_bar`` returns the shape that
        ``q_enc_bar`` does, or ``(paths, size, channels)`` with the encoder's channels first and the model's
        ``error_channels`` after them: what an error adds on noise of its own is independent of the encoder's. ``None``
        stands for zero.
        """
        return EncoderErrorSDE(self, sigma, sigma_bar)

    # -- the SDE protocol --------------------------------------------------------------------------------------------

    def f(self, t: Float[Tensor, ""], x: Float[Tensor, "paths n"]) -> Float[Tensor, "paths n"]:
        parts = [self._drift(block, t, x) for block in range(4)]
        if self.simulated:
            s = self.observed(t, x)
            parts.append(self._observation_sde.f(t, s))
        return torch.cat(parts, -1)

    def g_prod(
        self, t: Float[Tensor, ""], x: Float[Tensor, "paths n"], dB: Float[Tensor, "paths channels"]
    ) -> Float[Tensor, "paths n"]:
        parts = [self._diffusion_product(block, t, x, dB) for block in range(4)]
        if self.simulated:
            channels = self.channel_slices(t, x)[4]
            parts.append(diffusion_product(self._observation_sde, t, self.observed(t, x), dB[..., channels]))
        return torch.cat(parts, -1)

    def g(self, t: Float[Tensor, ""], x: Float[Tensor, "paths n"]) -> Float[Tensor, "paths n channels"]:
        matrices = [self._as_matrix(self._diffusion(block, t, x), x, self.sizes[block]) for block in range(4)]
        if self.simulated:
            matrices.append(diffusion_matrix(self._observation_sde, t, self.observed(t, x)))
        total = sum(m.shape[-1] for m in matrices) + self.error_channels
        rows, offset = [], 0
        for m in matrices:
            left = plain_zeros(x, len(x), m.shape[-2], offset)
            right = plain_zeros(x, len(x), m.shape[-2], total - offset - m.shape[-1])
            rows.append(torch.cat([left, m, right], -1))
            offset += m.shape[-1]
        return torch.cat(rows, -2)

    def noise_channels(self, t: Float[Tensor, ""], x: Float[Tensor, "paths n"]) -> int:
        """m; checks every coefficient's shape on the way."""
        return self.channel_slices(t, x)[-1].stop

    # -- stage by stage, for the sequential stepper ------------------------------------------------------------------

    def f_stage(self, stage: int, t: Float[Tensor, ""], x: Float[Tensor, "paths n"]) -> Float[Tensor, "paths size"]:
        block = self._block_of_stage(stage)
        if block == 4:
            return self._observation_sde.f(t, self.observed(t, x))
        return self._drift(block, t, x)

    def g_prod_stage(
        self, stage: int, t: Float[Tensor, ""], x: Float[Tensor, "paths n"], dB: Float[Tensor, "paths channels"]
    ) -> Float[Tensor, "paths size"]:
        block = self._block_of_stage(stage)
        if block == 4:
            channels = self.channel_slices(t, x)[4]
            return diffusion_product(self._observation_sde, t, self.observed(t, x), dB[..., channels])
        return self._diffusion_product(block, t, x, dB)

    def _block_of_stage(self, stage: int) -> int:
        order = (1, 0, 2, 3)
        return (4, *order)[stage] if self.simulated else order[stage]

    # -- coefficients ------------------------------------------------------------------------------------------------

    def _target(self, block: int, t: Tensor, x: Tensor) -> Tensor:
        z, h, z_tilde, _ = self.blocks(x)
        match block:
            case 0:
                return self.q_enc(h, self.observed(t, x))
            case 1:
                return self.f_seq(h, z, at_time(self.policy, t, h, z))
            case 2:
                return self.p(h)
            case _:
                return self.q_dec(h, z_tilde)

    def _drift(self, block: int, t: Tensor, x: Tensor) -> Tensor:
        self.channel_slices(t, x)  # names a coefficient of the wrong shape, which broadcasting could hide
        target = self._target(block, t, x)
        own = x[..., self.block_slices[block]]
        return target - self.leak * own if self.leak else target.expand(own.shape)

    def _diffusion(self, block: int, t: Tensor, x: Tensor) -> Tensor | None:
        z, h, z_tilde, _ = self.blocks(x)
        match block:
            case 0:
                return None if self.q_enc_bar is None else self.q_enc_bar(h, self.observed(t, x))
            case 1:
                return None if self.f_seq_bar is None else self.f_seq_bar(h, z, at_time(self.policy, t, h, z))
            case 2:
                return None if self.p_bar is None else self.p_bar(h)
            case _:
                return None if self.q_dec_bar is None else self.q_dec_bar(h, z_tilde)

    def _diffusion_product(self, block: int, t: Tensor, x: Tensor, dB: Tensor) -> Tensor:
        g = self._diffusion(block, t, x)
        if g is None:
            return plain_zeros(x, *dB.shape[:-1], self.sizes[block])
        return apply_block(g, dB[..., self.channel_slices(t, x)[block]])

    def channel_slices(self, t: Float[Tensor, ""], x: Float[Tensor, "paths n"]) -> tuple[slice, ...]:
        """Which of the m increments drive z, h, z̃, s̃ (and s where it is simulated), and an error alone where there
        are ``error_channels``; found once, from shapes."""
        if self._channel_slices is None:
            probe = x[:1]
            counts = []
            for block, name in enumerate(("q_enc", "f", "p", "q_dec")):
                size = self.sizes[block]
                check_block(name, self._target(block, t, probe), [(1, size), (size,)])
                g = self._diffusion(block, t, probe)
                if g is not None:
                    allowed = [(1, size), (size,), (1, size, *getattr(g, "shape", ())[-1:])]
                    check_block(name + "_bar", g, allowed)
                counts.append(0 if g is None else g.shape[-1])
            if self.simulated:
                counts.append(diffusion_matrix(self._observation_sde, t, self.observed(t, probe)).shape[-1])
            if self.error_channels:
                counts.append(self.error_channels)
            ends = torch.tensor(counts).cumsum(0).tolist()
            self._channel_slices = tuple(slice(e - c, e) for c, e in zip(counts, ends, strict=True))
        return self._channel_slices

    @staticmethod
    def _as_matrix(g: Tensor | None, x: Tensor, size: int) -> Tensor:
        if g is None:
            return plain_zeros(x, len(x), size, 0)
        return g if g.ndim == 3 else torch.diag_embed(g.expand(len(x), size))
