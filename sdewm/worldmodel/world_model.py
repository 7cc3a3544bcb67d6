"""The world model: a recurrent state-space model with Gaussian latents, its heads and its objective.

Indices, for the step from t to t + 1 (columns are times; a_t acts between t and t + 1):

    recorded      s_0, r_0, c_0      s_1, r_1, c_1            s_2, r_2, c_2
                         a_0 ----↘          a_1 ----↘
    state         h_0 = 0            h_1 = f(h_0, z_0, a_0)   h_2 = f(h_1, z_1, a_1)
    posterior     z_0 | h_0, s_0     z_1 | h_1, s_1           z_2 | h_2, s_2
    prior         p(· | h_0)         p(· | h_1)               p(· | h_2)
    targets       s_0, r_0, c_0      s_1, r_1, c_1            s_2, r_2, c_2

Targets are those of decoder, reward head and discount head, functions of (h_t, z_t): the observation seen at t, the
reward collected on the way into t, and c_t = 1 unless t is terminal. Where t begins an episode, h_t = 0: neither
h_{t−1}, z_{t−1} nor a_{t−1} has to do with it.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Num
from torch import Tensor, nn
from torch.nn import functional as F

from sdewm.worldmodel.config import Config
from sdewm.worldmodel.gaussian import Gaussian, kl_divergence
from sdewm.worldmodel.image_basis import ImageBasis
from sdewm.worldmodel.jacobian import INPUTS, as_drift, jacobian_penalty
from sdewm.worldmodel.networks import ACTIVATIONS, CELLS, GaussianHead, ImageDecoder, ImageEncoder, mlp
from sdewm.worldmodel.replay import Sequences

SPREAD_MOMENTUM = 0.99  # of the running spread of z, per update
LEAST_SPREAD = 1e-3  # of an observation's coordinate, so that one that never varies is not blown up


class FilteredStates(NamedTuple):
    """A filtered sequence, time in the second dimension: h (B, T, deter), z (B, T, stoch) and q(z | h, s)."""

    h: Float[Tensor, "batch times h"]
    z: Float[Tensor, "batch times z"]
    posterior: Gaussian


class ObjectiveTerms(NamedTuple):
    """The parts of the objective at each step, all (B, T), in nats and without constants.

    ``reconstruction``, ``reward``: ½ squared errors, in the configuration's units; ``discount``: the cross-entropy of
    going on; ``kl``: KL(q ‖ p). Their sum is the negative evidence lower bound where all weights are 1.
    """

    reconstruction: Float[Tensor, "batch times"]
    reward: Float[Tensor, "batch times"]
    discount: Float[Tensor, "batch times"]
    kl: Float[Tensor, "batch times"]


class WorldModel(nn.Module):
    """The model of this module's docstring, for observations ``(n,)`` or ``(channels, size, size)``.

    Images are given in uint8, or as floats in [0, 1]; states as they are. Both are standardized inside, and the
    decoder speaks in standardized observations, in which it is a normal distribution of unit variance:
    (s − ``observation_mean``) / ``observation_scale``.

    The decoder of images may speak in the coordinates of ``basis`` instead, 24 numbers for a thousand pixels, say.

    ``latent_spread`` (stoch,): standard deviation of each coordinate of z over the training data, a running mean.
    """

    observation_mean: Float[Tensor, "..."]
    observation_scale: Float[Tensor, "..."]
    latent_spread: Float[Tensor, " z"]

    def __init__(self, config: Config, observation_shape: tuple[int, ...], action_size: int) -> None:
        super().__init__()
        self.config, self.observation_shape, self.action_size = config, tuple(observation_shape), action_size
        deter, stoch, hidden, kind = config.deter, config.stoch, config.hidden, config.activation
        widths = [config.units] * config.layers
        self.images = len(self.observation_shape) == 3
        centre = 0.5 if self.images and not config.standardize else 0.0
        self.register_buffer("observation_mean", torch.full(self.observation_shape, centre))
        self.register_buffer("observation_scale", torch.full(self.observation_shape, config.unit))
        self.register_buffer("latent_spread", torch.ones(stoch))
        self.encoder: nn.Sequential
        self.decoder: nn.Sequential
        self.basis: ImageBasis | None = None
        if self.images:
            channels, size, _ = self.observation_shape
            encoder = ImageEncoder(
                channels, size, config.depth, config.encoder_kernels, config.padding, kind, config.embed
            )
            self.encoder, embed = encoder, encoder.outputs
            if config.image_basis:
                self.basis = ImageBasis(config.image_basis, channels * size**2)
                self.decoder = mlp(deter + stoch, widths, config.image_basis, kind)
            else:
                self.decoder = ImageDecoder(
                    deter + stoch,
                    encoder.flat,
                    channels,
                    size,
                    config.depth,
                    config.decoder_kernels,
                    config.padding,
                    kind,
                )
        else:
            (n,), embed = self.observation_shape, config.units
            self.encoder = nn.Sequential(*mlp(n, widths[:-1], embed, kind), ACTIVATIONS[kind]())
            self.decoder = mlp(deter + stoch, widths, n, kind)
        self.activation = ACTIVATIONS[kind]()
        # A linear map of several inputs is kept as one map for each, so that what is known for all times before the
        # recurrence begins (actions, embeddings) is mapped for all times at once.
        self.cell_from_z = nn.Linear(stoch, hidden)
        self.cell_from_a = nn.Linear(action_size, hidden, bias=False)
        self.cell = CELLS[config.cell](hidden, deter)
        self.posterior_from_h = nn.Linear(deter, hidden)
        self.posterior_from_s = nn.Linear(embed, hidden, bias=False)
        self.posterior_head = GaussianHead(hidden, stoch, config.min_std)
        self.prior_hidden = nn.Linear(deter, hidden)
        self.prior_head = GaussianHead(hidden, stoch, config.min_std)
        self.reward_head = mlp(deter + stoch, widths, 1, kind, zero=True)
        self.discount_head = mlp(deter + stoch, widths, 1, kind, zero=True) if config.discount_weight else None

    # The coefficient functions. h: (..., deter), z: (..., stoch), a: (..., action_size), s: (..., *observation_shape).

    def embed(self, s: Num[Tensor, "..."]) -> Float[Tensor, "... embedding"]:
        """The encoder's embedding of observations, (..., embed)."""
        leading = s.shape[: s.ndim - len(self.observation_shape)]
        flat = self.standardize(s).reshape(-1, *self.observation_shape)
        return self.encoder(flat).unflatten(0, leading) if leading else self.encoder(flat)[0]

    def posterior(self, h: Float[Tensor, "... h"], embedding: Float[Tensor, "... embedding"]) -> Gaussian:
        """q(z | h, s), s through its embedding."""
        return self.posterior_of(h, self.posterior_from_s(embedding))

    def prior(self, h: Float[Tensor, "... h"]) -> Gaussian:
        """p(z̃ | h)."""
        return self.prior_head(self.activation(self.prior_hidden(h)))

    def sequence(
        self, h: Float[Tensor, "... h"], z: Float[Tensor, "... z"], a: Float[Tensor, "... actions"]
    ) -> Float[Tensor, "... h"]:
        """The next h of a step that starts from h and z and takes action a."""
        return self._sequence(h, z, self.cell_from_a(a))

    def s_tilde(self, h: Float[Tensor, "... h"], z: Float[Tensor, "... z"]) -> Float[Tensor, "... s_tilde"]:
        """What the decoder says, flat: a standardized observation, or its coordinates in ``basis``, (..., s_tilde)."""
        return self._head(self.decoder, h, z)

    def decode(self, h: Float[Tensor, "... h"], z: Float[Tensor, "... z"]) -> Float[Tensor, "..."]:
        """The mean of the standardized observation, (..., *observation_shape)."""
        s = self.s_tilde(h, z)
        return (s if self.basis is None else self.basis.images(s)).unflatten(-1, self.observation_shape)

    def reward(self, h: Float[Tensor, "... h"], z: Float[Tensor, "... z"]) -> Float[Tensor, "..."]:
        """Expected reward collected on the way here, scaled and clipped as configured, (...)."""
        return self.reward_head(torch.cat([h, z], -1)).squeeze(-1)

    def discount(self, h: Float[Tensor, "... h"], z: Float[Tensor, "... z"]) -> Float[Tensor, "..."]:
        """γ times the probability that the episode goes on from here, (...)."""
        if self.discount_head is None:
            return torch.full_like(h[..., 0], self.config.discount)
        return self.config.discount * torch.sigmoid(self.discount_head(torch.cat([h, z], -1)).squeeze(-1))

    # Observations and rewards.

    def standardize(self, s: Num[Tensor, "..."]) -> Float[Tensor, "..."]:
        """Observations as the model sees them; uint8 images are brought to [0, 1] first."""
        if s.dtype == torch.uint8:
            s = s.to(self.observation_mean.dtype) / 255
        return (s - self.observation_mean) / self.observation_scale

    def observations(self, standardized: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """The inverse: images in [0, 1] but for overshoot, or states."""
        return standardized * self.observation_scale + self.observation_mean

    def reward_target(self, rewards: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """Rewards as the reward head predicts them."""
        scaled = rewards * self.config.reward_scale
        return torch.tanh(scaled) if self.config.reward_clip == "tanh" else scaled

    @torch.no_grad()
    def fit_observations(self, s: Num[Tensor, "count ..."]) -> None:
        """Take the mean, of a state each coordinate's spread, and the basis, from observations (N, *observation_shape).

        A configuration that does not ask for it leaves mean and spread as they are.
        """
        s = s.to(self.observation_mean.dtype) / (255 if s.dtype == torch.uint8 else 1)
        if self.config.standardize:
            self.observation_mean.copy_(s.mean(0))
            if not self.images:
                self.observation_scale.copy_(self.config.unit * s.std(0).clamp(min=LEAST_SPREAD))
        if self.basis is not None:
            self.basis.fit(self.standardize(s).flatten(1))

    def double(self) -> WorldModel:
        """To float64, with the basis orthonormal to the rounding of float64 and not of float32."""
        super().double()
        if self.basis is not None:
            self.basis.orthonormalize()
        return self

    # Sequences, batch first.

    def observe(
        self,
        s: Num[Tensor, "batch times ..."],
        actions: Float[Tensor, "batch times actions"],
        resets: Bool[Tensor, "batch times"],
        noise: Float[Tensor, "batch times z"],
        shift: Float[Tensor, "batch times z"] | None = None,
    ) -> FilteredStates:
        """Filter observations (B, T, ...) under actions (B, T, action_size), from h = 0 at the first time.

        ``resets`` (B, T): where h is zero again. ``noise`` (B, T, stoch), standard normal, draws z from the posterior;
        zeros give its mean. ``shift`` (B, T, stoch) is added to z, and goes wherever z goes. The action at t acts
        between t and t + 1, so the last one is not used.
        """
        from_s = self.posterior_from_s(self.embed(s)).unbind(1)
        from_a = self.cell_from_a(actions).unbind(1)
        going_on = (~resets).to(actions.dtype).unsqueeze(-1).unbind(1)
        resetting = resets.any(0).tolist()
        noises, shifts = noise.unbind(1), shift.unbind(1) if shift is not None else None
        h = actions.new_zeros(len(actions), self.config.deter)
        z = actions.new_zeros(len(actions), self.config.stoch)
        history = []
        for t in range(actions.shape[1]):
            if t > 0:
                h = self._sequence(h, z, from_a[t - 1])
                if resetting[t]:
                    h = h * going_on[t]
            mean, std = self.posterior_of(h, from_s[t])
            z = torch.addcmul(mean, std, noises[t])
            if shifts is not None:
                z = z + shifts[t]
            history.append((h, z, mean, std))
        h, z, mean, std = (torch.stack(parts, 1) for parts in zip(*history, strict=True))
        return FilteredStates(h, z, Gaussian(mean, std))

    def filter(self, batch: Sequences) -> FilteredStates:
        """:meth:`observe` of a batch without randomness, z at the posterior's mean."""
        noise = batch.actions.new_zeros(*batch.rewards.shape, self.config.stoch)
        return self.observe(batch.observations, batch.actions, batch.first, noise)

    @torch.no_grad()
    def predict(
        self,
        h: Float[Tensor, "batch h"],
        z: Float[Tensor, "batch z"],
        actions: Float[Tensor, "batch times actions"],
        noise: Float[Tensor, "batch times z"] | None = None,
    ) -> tuple[Float[Tensor, "batch times h"], Float[Tensor, "batch times z"]]:
        """Open loop from h (B, deter) and z (B, stoch) under actions (B, T, action_size).

        Returns h (B, T, deter) and z̃ (B, T, stoch) after each action, z̃ at the prior's mean or drawn with ``noise``
        (B, T, stoch).
        """
        hs, zs = [], []
        for t in range(actions.shape[1]):
            h = self.sequence(h, z, actions[:, t])
            mean, std = self.prior(h)
            z = mean if noise is None else mean + std * noise[:, t]
            hs.append(h)
            zs.append(z)
        return torch.stack(hs, 1), torch.stack(zs, 1)

    # The objective.

    def terms(self, batch: Sequences, filtered: FilteredStates) -> ObjectiveTerms:
        """The objective's parts along the states that :meth:`observe` makes of the same batch."""
        return self._terms(batch, filtered, self.prior(filtered.h))

    def loss(self, batch: Sequences, filtered: FilteredStates) -> tuple[Float[Tensor, ""], ObjectiveTerms]:
        """The objective, a mean over batch and time, and its parts.

        The KL's gradient is shared between prior and posterior (KL balancing), and each side is not pushed below
        ``free_nats``, a bound on the *average* over the batch, as in DreamerV2: single steps may lie below.
        """
        config, posterior, prior = self.config, filtered.posterior, self.prior(filtered.h)
        parts = self._terms(batch, filtered, prior)
        to_prior = kl_divergence(_detached(posterior), prior).mean().clamp(min=config.free_nats)
        to_posterior = kl_divergence(posterior, _detached(prior)).mean().clamp(min=config.free_nats)
        kl = config.kl_balance * to_prior + (1 - config.kl_balance) * to_posterior
        errors = parts.reconstruction + config.reward_weight * parts.reward + config.discount_weight * parts.discount
        return errors.mean() + config.kl_scale * kl, parts

    def jacobian_penalty(
        self, batch: Sequences, filtered: FilteredStates, generator: torch.Generator
    ) -> Float[Tensor, ""]:
        """The penalty of (20), as configured, of the recurrent cell at the steps of filtered states, all in one batch.

        Steps over the end of an episode are left out: there the cell's value is not used.
        """
        config, goes_on = self.config, ~batch.first[:, 1:]
        inputs = tuple(x[:, :-1][goes_on] for x in (filtered.h, filtered.z, batch.actions))
        function = as_drift(self.sequence) if config.jacobian_target == "drift" else self.sequence
        return jacobian_penalty(function, inputs, INPUTS[config.jacobian_wrt], generator, config.jacobian_form)

    @torch.no_grad()
    def update_spread(self, filtered: FilteredStates) -> None:
        """Let the running spread of z follow a training batch's."""
        spread = filtered.posterior.mean.flatten(0, 1).std(0)
        self.latent_spread.lerp_(spread, 1 - SPREAD_MOMENTUM)

    def posterior_of(self, h: Float[Tensor, "... h"], from_s: Float[Tensor, "... neurons"]) -> Gaussian:
        """q(z | h, s), s through what ``posterior_from_s`` makes of its embedding."""
        return self.posterior_head(self.activation(self.posterior_from_h(h) + from_s))

    def _sequence(self, h: Tensor, z: Tensor, from_a: Tensor) -> Tensor:
        return self.cell(self.activation(self.cell_from_z(z) + from_a), h)

    def _head(self, head: nn.Sequential, h: Tensor, z: Tensor) -> Tensor:
        """A head over any leading dimensions, its output flat: (..., n)."""
        x = torch.cat([h, z], -1)
        return head(x.reshape(-1, x.shape[-1])).reshape(*x.shape[:-1], -1)

    def _terms(self, batch: Sequences, filtered: FilteredStates, prior: Gaussian) -> ObjectiveTerms:
        h, z = filtered.h, filtered.z
        error = self.decode(h, z) - self.standardize(batch.observations)
        reward_error = self.reward(h, z) - self.reward_target(batch.rewards)
        discount = torch.zeros_like(reward_error)
        if self.discount_head is not None:
            logits = self.discount_head(torch.cat([h, z], -1)).squeeze(-1)
            goes_on = (~batch.terminal).to(logits.dtype)
            discount = F.binary_cross_entropy_with_logits(logits, goes_on, reduction="none")
        return ObjectiveTerms(
            reconstruction=0.5 * error.square().flatten(2).sum(-1),
            reward=0.5 * reward_error.square(),
            discount=discount,
            kl=kl_divergence(filtered.posterior, prior),
        )


def _detached(gaussian: Gaussian) -> Gaussian:
    return Gaussian(gaussian.mean.detach(), gaussian.std.detach())
