"""The latent dynamics model (5)–(8) as one SDE, and the observation paths s_t that drive its encoder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, cast

import torch
from jaxtyping import Float
from torch import Tensor

from sdewm import arguments
from sdewm.systems.sde import SDE, diffusion_matrix, diffusion_product
from sdewm.systems.stages import Stage


@dataclass(frozen=True)
class InTime:
    """A function of the time too: ``function(t, …)`` where a model otherwise calls ``function(…)``.

    For a policy that follows a record, and for an error that differs from frame to frame.

    >>> recorded = InTime(lambda t, h, z: torch.full_like(h, float(t)))
    >>> recorded(torch.tensor(3.0), torch.zeros(1, 2), torch.zeros(1, 2))
    tensor([[3., 3.]])
    """

    function: Callable[..., Float[Tensor, "..."]]

    def __call__(self, t: Float[Tensor, ""], *blocks: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        return self.function(t, *blocks)


Block = Float[Tensor, "paths size"]
BlockNoise = Float[Tensor, " size"] | Float[Tensor, "paths size *channels"]
TwoInputs = Callable[[Block, Block], Block | BlockNoise] | InTime


class BlockSizes(NamedTuple):
    """Dimensions of z, h, z̃ and s̃.

    >>> sum(BlockSizes(z=8, h=32, z_tilde=8, s_tilde=24))
    72
    """

    z: int
    h: int
    z_tilde: int
    s_tilde: int


class Blocks(NamedTuple):
    """The four parts of a state, each ``(paths, size)``."""

    z: Float[Tensor, "*paths z"]
    h: Float[Tensor, "*paths h"]
    z_tilde: Float[Tensor, "*paths z_tilde"]
    s_tilde: Float[Tensor, "*paths s_tilde"]


class RecordedObservation:
    """A recorded observation path, interpolated linearly in time.

    Parameters
    ----------
    times : increasing, ``(T,)``.
    values : ``(T, *shape)``.

    Calling it outside ``[times[0], times[-1]]`` raises ``ValueError``.

    >>> s = RecordedObservation(torch.tensor([0.0, 1.0]), torch.tensor([[0.0], [2.0]]))
    >>> s(0.25)
    tensor([0.5000])
    """

    def __init__(self, times: Float[Tensor, " times"], values: Float[Tensor, "times ..."]) -> None:
        # A time that is not finite is named by its place.
        times = times if isinstance(times, Tensor) else torch.tensor(arguments.reals("times", times))
        if times.dtype == torch.bool or times.is_complex():
            raise ValueError(f"times: expected increasing numbers, got {arguments.shown(times)}")
        values = arguments.tensor("values", values) if not isinstance(values, Tensor) else values
        if values.ndim < 1 or not values.is_floating_point():
            raise ValueError(f"values: expected floating-point numbers (T, *shape), got {arguments.shown(values)}")
        if times.ndim != 1 or len(times) < 2:
            raise ValueError(f"times: expected at least two increasing numbers, got shape {tuple(times.shape)}")
        finite_and_increasing = torch.isfinite(times[1:]) & (times.diff() > 0)
        if not bool(finite_and_increasing.all()):
            i = int((~finite_and_increasing).nonzero()[0])
            raise ValueError(
                f"times: expected finite, increasing numbers, got {float(times[i])}, {float(times[i + 1])} at index {i}"
            )
        if len(values) != len(times):
            raise ValueError(f"values: expected {len(times)} entries, one per time, got {len(values)}")
        if not bool(torch.isfinite(values).all()):
            first = int((~torch.isfinite(values)).nonzero()[0][0])
            raise ValueError(f"values: expected finite numbers, got a non-finite one at time {float(times[first]):g}")
        self.times, self.values = times, values

    def __call__(self, t: Float[Tensor, ""] | float) -> Float[Tensor, "..."]:
        t = arguments.real("t", t)
        first, last = float(self.times[0]), float(self.times[-1])
        # A grid accumulates its times, and a last step may overshoot by rounding alone.
        slack = 1e-9 * (last - first)
        if not first - slack <= t <= last + slack:
            raise ValueError(f"t: expected a time in the recorded [{first:g}, {last:g}], got {t:g}")
        i = int(torch.searchsorted(self.times, t, right=True).clamp(1, len(self.times) - 1))
        left, right = float(self.times[i - 1]), float(self.times[i])
        weight = min(max((t - left) / (right - left), 0.0), 1.0)
        return self.values[i - 1] + weight * (self.values[i] - self.values[i - 1])


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
        self.block_slices = Blocks(z, h, z_tilde, s_tilde)  # type: ignore[arg-type]
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

    def encoder_error(self, sigma: TwoInputs | None = None, sigma_bar: TwoInputs | None = None) -> _EncoderError:
        """The representation error of (5) as an SDE: drift (σ(h, s), 0, 0, 0), diffusion (σ̄(h, s), 0, 0, 0) dB^enc.

        Either is a function (h, s), or :class:`InTime` of a function (t, h, s). ``sigma_bar`` returns the shape that
        ``q_enc_bar`` does, or ``(paths, size, channels)`` with the encoder's channels first and the model's
        ``error_channels`` after them: what an error adds on noise of its own is independent of the encoder's. ``None``
        stands for zero.
        """
        return _EncoderError(self, sigma, sigma_bar)

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
            left = _zeros(x, len(x), m.shape[-2], offset)
            right = _zeros(x, len(x), m.shape[-2], total - offset - m.shape[-1])
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
            return _zeros(x, *dB.shape[:-1], self.sizes[block])
        return apply_block(g, dB[..., self.channel_slices(t, x)[block]])

    def channel_slices(self, t: Float[Tensor, ""], x: Float[Tensor, "paths n"]) -> tuple[slice, ...]:
        """Which of the m increments drive z, h, z̃, s̃ (and s where it is simulated), and an error alone where there
        are ``error_channels``; found once, from shapes."""
        if self._channel_slices is None:
            probe = x[:1]
            counts = []
            for block, name in enumerate(("q_enc", "f", "p", "q_dec")):
                size = self.sizes[block]
                _check_shape(name, self._target(block, t, probe), [(1, size), (size,)])
                g = self._diffusion(block, t, probe)
                if g is not None:
                    allowed = [(1, size), (size,), (1, size, *getattr(g, "shape", ())[-1:])]
                    _check_shape(name + "_bar", g, allowed)
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
            return _zeros(x, len(x), size, 0)
        return g if g.ndim == 3 else torch.diag_embed(g.expand(len(x), size))


class _EncoderError:
    """(σ, 0, 0, 0) and (σ̄, 0, 0, 0), on the channels of the encoder."""

    sde_type = "ito"
    noise_type = "general"

    def __init__(self, model: LatentSDE, sigma: TwoInputs | None, sigma_bar: TwoInputs | None) -> None:
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
            _check_shape("sigma", at_time(self.sigma, t, h, s), [(1, size), (size,)])
        if self.sigma_bar is not None:
            encoder, own = self.model.channel_slices(t, probe)[0], self.model.error_channels
            channels = encoder.stop - encoder.start
            if channels + own == 0:
                raise ValueError("sigma_bar: expected None where q_enc_bar is None, as it rides on the encoder's noise")
            allowed = [(1, size), (size,)] if channels == size else []
            allowed += [(1, size, n) for n in dict.fromkeys((channels, channels + own)) if n]
            _check_shape("sigma_bar", at_time(self.sigma_bar, t, h, s), allowed)

    def _in_z(self, value: Tensor, x: Tensor) -> Tensor:
        if value.ndim == 1:
            value = value.expand(len(x), -1)
        return torch.cat([value, _zeros(x, len(value), x.shape[-1] - self.model.sizes.z)], -1)

    def f(self, t: Tensor, x: Tensor) -> Tensor:
        drift = self._row(self.sigma, t, x)
        return _zeros(x, *x.shape) if drift is None else self._in_z(drift, x)

    def _heard(self, g: Tensor, t: Tensor, x: Tensor, dB: Tensor) -> Tensor:
        """The increments that σ̄ rides on: the encoder's, and those of the error alone where it has columns for them."""
        slices = self.model.channel_slices(t, x)
        encoder = dB[..., slices[0]]
        own = g.ndim == 3 and g.shape[-1] > encoder.shape[-1]
        return torch.cat([encoder, dB[..., slices[-1]]], -1) if own else encoder

    def g_prod(self, t: Tensor, x: Tensor, dB: Tensor) -> Tensor:
        g = self._row(self.sigma_bar, t, x)
        if g is None:
            return _zeros(x, *x.shape)
        return self._in_z(apply_block(g, self._heard(g, t, x, dB)), x)

    def g(self, t: Tensor, x: Tensor) -> Tensor:
        g = self._row(self.sigma_bar, t, x)
        channels = self.model.noise_channels(t, x)
        if g is None:
            return _zeros(x, len(x), x.shape[-1], channels)
        g = g if g.ndim == 3 else torch.diag_embed(g.expand(len(x), self.model.sizes.z))
        encoder = self.model.channel_slices(t, x)[0].stop
        between = _zeros(x, len(x), self.model.sizes.z, channels - g.shape[-1])
        g = torch.cat([g[..., :encoder], between, g[..., encoder:]], -1)
        return torch.cat([g, _zeros(x, len(x), x.shape[-1] - self.model.sizes.z, channels)], -2)

    # The error sits in z alone: the other stages have none of it.
    def f_stage(self, stage: int, t: Tensor, x: Tensor) -> Tensor:
        drift = self._row(self.sigma, t, x) if self._is_z(stage) else None
        block = x[..., self.model.stages[stage].block]
        return _zeros(x, *block.shape) if drift is None else drift.expand(block.shape)

    def g_prod_stage(self, stage: int, t: Tensor, x: Tensor, dB: Tensor) -> Tensor:
        g = self._row(self.sigma_bar, t, x) if self._is_z(stage) else None
        if g is None:
            block = self.model.stages[stage].block
            return _zeros(x, *x.shape[:-1], block.stop - block.start)
        return apply_block(g, self._heard(g, t, x, dB))

    def _is_z(self, stage: int) -> bool:
        return self.model.stages[stage].block == self.model.block_slices.z


def at_time(
    function: Callable[..., Float[Tensor, "..."]], t: Float[Tensor, ""], *blocks: Float[Tensor, "..."]
) -> Float[Tensor, "..."]:
    """A coefficient of some blocks, and of the time where it is :class:`InTime`."""
    return function(t, *blocks) if isinstance(function, InTime) else function(*blocks)


def apply_block(
    g: Float[Tensor, " size"] | Float[Tensor, "paths size *channels"], dB: Float[Tensor, "paths channels"]
) -> Float[Tensor, "paths size"]:
    """A block's diffusion, ``(size,)``, ``(paths, size)`` or ``(paths, size, channels)``, applied to its increments."""
    return (g * dB.unsqueeze(-2)).sum(-1) if g.ndim == 3 else g * dB


def _zeros(like: Tensor, *shape: int) -> Tensor:
    # A plain tensor even beside jets: a constant costs them nothing.
    return torch.zeros(shape, dtype=like.dtype, device=like.device)


def _check_shape(name: str, value: object, allowed: list[tuple[int, ...]]) -> None:
    expected = " or ".join(_shape_text(a) for a in allowed)
    if not isinstance(value, Tensor):
        raise ValueError(f"{name}: expected a tensor of shape {expected}, got {arguments.shown(value)}")
    got = value.shape
    if tuple(got) not in allowed:
        raise ValueError(f"{name}: expected shape {expected}, got {_shape_text(tuple(got))}")


def _shape_text(shape: tuple[int, ...]) -> str:
    return f"(paths, {', '.join(map(str, shape[1:]))})" if len(shape) > 1 else str(shape)
