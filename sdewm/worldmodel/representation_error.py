"""The error that a perturbation of the images makes in the encoder's latent: its drift and its diffusion.

A frame s is perturbed K times, s_1, …, s_K, and the encoder asked for the posterior N(μ_k, std_k²) of each, at any h.
With means over k, and N(μ, std²) of the clean frame,

    σ(t, h, s) = mean μ_k − μ                                                                 the drift
    σ̄(t, h, s) = ( √(mean std_k²) − std , (μ_k − mean μ_k)/√(K − 1) for each k )              the diffusion

The first part of σ̄ rides on the encoder's own noise. The others have one Brownian motion for each draw, so that what
they add to z has the covariance of the μ_k, correlations included, and no matrix has to be factored. Nothing but the
encoder is asked, and no loss is measured.

The theory takes increments to be normal, and independent from step to step. Both are measured here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import scipy
import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from sdewm import arguments
from sdewm.arrays import Array
from sdewm.estimate.estimates import Estimate
from sdewm.systems.in_time import InTime
from sdewm.worldmodel.gaussian import Gaussian
from sdewm.worldmodel.perturbations import Perturbation
from sdewm.worldmodel.replay import Episode, to_sequences
from sdewm.worldmodel.seeds import derived_seed
from sdewm.worldmodel.world_model import WorldModel

LAGS = 5  # steps over which dependence is looked for
ENCODED = 512  # frames that are encoded together
LEAST_DRAWS = 8


@dataclass(frozen=True)
class ErrorCoefficients:
    """σ and σ̄ along one episode, as :meth:`sdewm.LatentSDE.encoder_error` takes them, and how many channels of its
    own σ̄ has: the ``error_channels`` of the model that they are for."""

    sigma: InTime
    sigma_bar: InTime
    error_channels: int


@dataclass(frozen=True)
class EpisodeError:
    """One episode's frames as the encoder hands them on to the posterior, clean (T, n) and perturbed (K, T, n), and
    the posterior of each along the h that filtering the clean frames makes: (T, stoch) and (K, T, stoch).

    K is 1 where all draws of a perturbation are the same.
    """

    clean_embedding: Float[Tensor, "times n"]
    drawn_embedding: Float[Tensor, "draws times n"]
    clean: Gaussian
    drawn: Gaussian

    @property
    def drift(self) -> Float[Tensor, "times z"]:
        """σ along the filtered h, (T, stoch)."""
        return self.drawn.mean.mean(0) - self.clean.mean

    @property
    def variance(self) -> Float[Tensor, "times z"]:
        """Of z beyond the clean posterior's, along the filtered h: what σ̄ makes of it. (T, stoch), below 0 too."""
        return self.moved.square().sum(0) + self.drawn.std.square().mean(0) - self.clean.std.square()

    @property
    def moved(self) -> Float[Tensor, "draws times z"]:
        """(μ_k − mean μ_k)/√(K − 1); empty where there is one draw."""
        return _columns(self.drawn.mean, torch.ones(len(self.drawn.mean), dtype=self.drawn.mean.dtype))

    @property
    def drift_stderr(self) -> Float[Tensor, "times z"]:
        """Of the drift, from the draws' own spread, (T, stoch)."""
        return (self.moved.square().sum(0) / len(self.drawn.mean)).sqrt()


@dataclass(frozen=True)
class RepresentationError:
    """What :func:`representation_error` found: the error as coefficients of (5), and how far it is what they assume.

    Attributes
    ----------
    size : root mean square of μ_k − μ over draws, times and coordinates, in units of the latent's spread.
    drift : the same of its mean over draws: the part of ``size`` that does not average out. What the draws' number
        adds to it is taken off, so that it may be 0.
    correlation : of what is left of μ_k from one step to the next few, by lag from 1 on. The theory takes it to be 0.
    excess : excess kurtosis of the same, 0 where it is normal.
    episodes : one :class:`EpisodeError` for each.
    """

    model: WorldModel = field(repr=False)
    perturbation: Perturbation
    draws: int
    seed: int
    size: Estimate
    drift: Estimate
    correlation: tuple[Estimate, ...]
    excess: Estimate
    episodes: tuple[EpisodeError, ...] = field(repr=False)

    def coefficients(self, number: int, keep: Sequence[int] | None = None) -> ErrorCoefficients:
        """σ and σ̄ along the episode of this number, at its whole steps; with ``keep``, of those draws alone.

        The functions take (t, h, s) and know the frame by t. ``ValueError`` at any other time.

        Example: ``found = error.coefficients(0)``; ``sde = agent.as_sde(observations, actions=actions,
        error_channels=found.error_channels)``; ``sde.encoder_error(found.sigma, found.sigma_bar)``.
        """
        of, model = self.episodes[number], self.model
        draws = len(of.drawn_embedding)
        weights = of.clean_embedding.new_zeros(draws)
        weights[list(range(draws)) if keep is None or draws == 1 else list(keep)] = 1.0

        def posteriors(t: Tensor, h: Tensor) -> tuple[Gaussian, Gaussian]:
            n = round(float(t))
            if abs(float(t) - n) > 1e-6 or not 0 <= n < len(of.clean_embedding):
                last = len(of.clean_embedding) - 1
                raise ValueError(f"t: expected a whole step of the episode, 0 to {last}, got {float(t):g}")
            from_h = model.posterior_from_h(h)
            clean = model.posterior_head(model.activation(from_h + of.clean_embedding[n]))
            mixed = from_h.unsqueeze(0) + of.drawn_embedding[:, n].unsqueeze(1)
            return clean, model.posterior_head(model.activation(mixed))

        def sigma(t: Tensor, h: Tensor, s: Tensor) -> Tensor:
            clean, drawn = posteriors(t, h)
            return _mean(drawn.mean, weights) - clean.mean

        def sigma_bar(t: Tensor, h: Tensor, s: Tensor) -> Tensor:
            clean, drawn = posteriors(t, h)
            shared = _mean(drawn.std * drawn.std, weights).sqrt() - clean.std
            diagonal = shared.unsqueeze(-1) * torch.eye(shared.shape[-1], dtype=weights.dtype)
            if draws == 1:
                return diagonal
            return torch.cat([diagonal, _columns(drawn.mean, weights).permute(1, 2, 0)], -1)

        return ErrorCoefficients(InTime(sigma), InTime(sigma_bar), 0 if draws == 1 else draws)

    @property
    def constant(self) -> tuple[Float[Tensor, " z"], Float[Tensor, " z"]]:
        """Drift and variance as if they were the same at all times of all the episodes: (stoch,) each."""
        return _pooled([e.drift for e in self.episodes]), _pooled([e.variance for e in self.episodes])

    def __str__(self) -> str:
        lags = ", ".join(f"{e:.3f}" for e in self.correlation)
        drawn = f"{self.draws} draws of {len(self.episodes)} episodes"
        return "\n".join(
            [
                f"error of the encoder under {self.perturbation!r}, {drawn}",
                f"  size         {self.size:.4f}  of the latent's spread",
                f"  drift        {self.drift:.4f}  of it does not average out",
                f"  correlation  {lags}  from step to step, at lags 1 to {LAGS}; the theory has 0",
                f"  excess       {self.excess:.3f}  kurtosis; a normal error has 0",
            ]
        )


@torch.no_grad()
def representation_error(
    model: WorldModel, perturbation: Perturbation, episodes: Sequence[Episode], *, draws: int = 64, seed: int = 0
) -> RepresentationError:
    """Fit drift and diffusion of the latent error that a perturbation causes, from the encoder alone.

    Parameters
    ----------
    model : a world model in float64.
    perturbation : (frame, rng) -> frame: one of :mod:`sdewm.worldmodel.perturbations`, or a function of yours. Images
        are float32 (channels, size, size) in [0, 1], states as they are. An episode's frames come in order, with one
        generator for each draw of the whole episode, so that a perturbation that stays may keep what it drew.
    episodes : records of episodes.
    draws : perturbed copies of each frame. Of 8 the noise in σ reverses the sign of small effects.
    seed : of the draws.

    Raises
    ------
    ValueError : names the argument; a perturbation that returns another shape or no number.

    Example: ``print(representation_error(agent.world_model, GaussianNoise(0.0, 0.02**2), episodes[:2]))``.
    """
    arguments.function("perturbation", perturbation, "(frame, rng)")
    draws, seed = arguments.integer("draws", draws, LEAST_DRAWS), arguments.integer("seed", seed, 0)
    if not len(episodes):
        raise ValueError("episodes: expected at least one, got none")
    found = tuple(
        _of_episode(model, perturbation, records, draws, derived_seed(seed, "representation error", number))
        for number, records in enumerate(episodes)
    )
    spread = model.latent_spread
    return RepresentationError(
        model, perturbation, draws, seed, _size(found, spread, seed), _drift(found, spread, seed),
        _correlation(found, spread, seed), _excess(found, spread, seed), found,
    )  # fmt: skip


def perturbed_frames(
    model: WorldModel, perturbation: Perturbation, observations: Shaped[np.ndarray, "times ..."], draws: int, seed: int
) -> Shaped[np.ndarray, "draws times ..."]:
    """``draws`` independent perturbations of a stretch of frames (T, ...): (draws, T, ...) float32, images in [0, 1].

    One generator for each draw, fixed by (seed, draw). ``ValueError`` where the perturbation returns another shape, or
    what is no number.
    """
    frames = observations.astype(np.float32) / 255 if observations.dtype == np.uint8 else observations
    if frames.shape[1:] != model.observation_shape:
        raise ValueError(f"episodes: expected observations {model.observation_shape}, got {frames.shape[1:]}")
    found = np.empty((draws, *frames.shape), np.float32)
    for draw in range(draws):
        rng = np.random.default_rng([seed, draw])
        for t, frame in enumerate(frames):
            seen = np.asarray(perturbation(frame.copy(), rng))
            if seen.shape != frame.shape:
                raise ValueError(f"perturbation: expected a frame of shape {frame.shape} back, got {seen.shape}")
            found[draw, t] = seen
    if not np.isfinite(found).all():
        raise ValueError("perturbation: expected finite numbers back, got others")
    return found


@torch.no_grad()
def posterior_embedding(model: WorldModel, frames: Shaped[np.ndarray, "..."]) -> Float[Tensor, "... n"]:
    """What the posterior takes of frames (..., *observation_shape), before it has seen h: (..., n)."""
    leading = frames.shape[: frames.ndim - len(model.observation_shape)]
    flat = torch.from_numpy(np.ascontiguousarray(frames)).reshape(-1, *model.observation_shape)
    if flat.dtype != torch.uint8:
        flat = flat.to(model.latent_spread.dtype)
    parts = [model.posterior_from_s(model.embed(part)) for part in flat.split(ENCODED)]
    return torch.cat(parts).reshape(*leading, -1)


def _of_episode(
    model: WorldModel, perturbation: Perturbation, records: np.ndarray, draws: int, seed: int
) -> EpisodeError:
    observations = records["observation"]
    frames = perturbed_frames(model, perturbation, observations, draws, seed)
    if (frames == frames[:1]).all():
        frames = frames[:1]
    clean, drawn = posterior_embedding(model, observations), posterior_embedding(model, frames)
    filtered = model.filter(to_sequences(records[None], model.latent_spread.dtype))
    h = filtered.h[0]
    posterior = Gaussian(filtered.posterior.mean[0], filtered.posterior.std[0])
    return EpisodeError(clean, drawn, posterior, model.posterior_of(h, drawn))


def _mean(values: Tensor, weights: Tensor) -> Tensor:
    """Over the draws of weight 1, (K, ...) to (...)."""
    if len(weights) == 1:
        return values[0]
    return (values * (weights / weights.sum()).view(-1, 1, 1)).sum(0)


def _columns(values: Tensor, weights: Tensor) -> Tensor:
    """(v_k − mean v)/√(K − 1) of the K draws of weight 1, and 0 for the others: (K, ...) as they came."""
    if len(weights) == 1:
        return values[:0]
    scale = weights / (weights.sum() - 1).sqrt()
    return (values - _mean(values, weights).unsqueeze(0)) * scale.view(-1, 1, 1)


def _pooled(values: Sequence[Tensor]) -> Tensor:
    return torch.cat(list(values)).mean(0)


def _deviations(found: Sequence[EpisodeError], spread: Tensor, draws: int) -> tuple[Array, ...]:
    """(μ_k − μ) in units of the spread, (K, T, stoch) for each episode."""
    return tuple(((e.drawn.mean - e.clean.mean) / spread).expand(draws, -1, -1).numpy() for e in found)


def _size(found: Sequence[EpisodeError], spread: Tensor, seed: int) -> Estimate:
    draws = max(len(e.drawn.mean) for e in found)
    squares = np.mean([np.square(d).mean((1, 2)) for d in _deviations(found, spread, draws)], 0)
    return _root(float(squares.mean()), _stderr(squares), draws, seed)


def _drift(found: Sequence[EpisodeError], spread: Tensor, seed: int) -> Estimate:
    """From products of two different draws, whose mean is the square of the drift without the draws' noise."""
    draws = max(len(e.drawn.mean) for e in found)
    deviations = _deviations(found, spread, draws)
    if draws == 1:
        return _size(found, spread, seed)
    products = np.mean([(d * (d.sum(0) - d)).mean((1, 2)) / (draws - 1) for d in deviations], 0)
    return _root(float(products.mean()), 2 * _stderr(products), draws, seed)


def _correlation(found: Sequence[EpisodeError], spread: Tensor, seed: int) -> tuple[Estimate, ...]:
    draws = max(len(e.drawn.mean) for e in found)
    left = [d - d.mean(0) for d in _deviations(found, spread, draws)]
    variance = np.mean([np.square(d).mean((1, 2)) for d in left], 0)
    lags = range(1, LAGS + 1)
    if not variance.mean() > 0:
        return tuple(Estimate(0.0, 0.0, draws, max(draws - 1, 1), seed) for _ in lags)
    rows = []
    for lag in lags:
        common = np.mean([(d[:, lag:] * d[:, :-lag]).mean((1, 2)) for d in left], 0)
        r = common.mean() / variance.mean()
        stderr = _stderr(common - r * variance) / variance.mean()
        rows.append(Estimate(float(r), float(stderr), draws, draws - 1, seed))
    return tuple(rows)


def _excess(found: Sequence[EpisodeError], spread: Tensor, seed: int) -> Estimate:
    """A mean over coordinates, in the proportion of their variances, and over times, whose spread is the error bar."""
    draws = max(len(e.drawn.mean) for e in found)
    if draws == 1:
        return Estimate(0.0, 0.0, 1, 1, seed)
    values = np.concatenate(_deviations(found, spread, draws), 1)
    weights = values.var(0)
    seen = weights.sum(1) > 0
    if not seen.any():
        return Estimate(0.0, 0.0, draws, 1, seed)
    of_each = np.nan_to_num(scipy.stats.kurtosis(values[:, seen], axis=0, bias=False))
    by_time = (of_each * weights[seen]).sum(1) / weights[seen].sum(1)
    return Estimate(float(by_time.mean()), _stderr(by_time), draws, max(len(by_time) - 1, 1), seed)


def _stderr(values: Array) -> float:
    return float(np.std(values, ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else 0.0


def _root(square: float, stderr: float, draws: int, seed: int) -> Estimate:
    """Of a mean square that may come out below 0."""
    root = math.sqrt(max(square, 0.0))
    least = max(root, math.sqrt(stderr))
    return Estimate(root, stderr / (2 * least) if least else 0.0, draws, max(draws - 1, 1), seed)
