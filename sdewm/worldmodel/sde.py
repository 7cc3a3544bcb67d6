"""A world model read as the SDE (5)–(8)."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Float, Num
from torch import Tensor

from sdewm import arguments
from sdewm.systems.blocks import BlockSizes
from sdewm.systems.in_time import InTime
from sdewm.systems.latent import LatentSDE
from sdewm.systems.observations import RecordedObservation
from sdewm.worldmodel.gaussian import Gaussian
from sdewm.worldmodel.world_model import WorldModel


def as_sde(
    model: WorldModel,
    observations: Num[Tensor, "times ..."],
    policy: Callable[[Float[Tensor, "paths h"], Float[Tensor, "paths z"]], Float[Tensor, "paths actions"]] | InTime,
    error_channels: int = 0,
) -> LatentSDE:
    """The learned coefficients as a :class:`LatentSDE` driven by a recorded episode's observations (T, ...).

    Time is counted in agent steps: observation n is s_t at t = n, interpolated linearly in between. With ``leak`` = 1
    each learned map is the value its block relaxes to, and the sequential Euler step with Δt = 1 is the model's own
    step: q_enc and p with their diffusions are means and standard deviations of posterior and prior, f is the recurrent
    cell under ``policy`` (h, z) -> a or under :func:`recorded_actions`, without noise, and q_dec is
    :meth:`WorldModel.s_tilde`. The decoder's own unit variance is left out: additive and independent of everything
    else, it would add a constant to an expected quadratic loss. ``error_channels`` are those of the LatentSDE.

    Use a model in float64. With the default activation every coefficient is C^∞. With the cell "gru" Assumption 3.1's
    boundedness holds where |h| ≤ 1, a set that h never leaves, but for q_dec, which grows linearly in z̃.
    """
    observation = recorded_observation(model, observations)

    def encode(h: Tensor, s: Tensor) -> Gaussian:
        s = s[:1] if s.ndim == 2 and s.stride(0) == 0 else s  # one vector for all paths is embedded once
        from_s = model.posterior_from_s(model.embed(s.reshape(-1, *model.observation_shape)))
        return model.posterior_of(h, from_s.expand(h.shape[0], -1))

    return LatentSDE(
        q_enc=lambda h, s: encode(h, s).mean,
        q_enc_bar=lambda h, s: encode(h, s).std,
        f=model.sequence,
        p=lambda h: model.prior(h).mean,
        p_bar=lambda h: model.prior(h).std,
        q_dec=model.s_tilde,
        policy=policy,
        observation=observation,
        sizes=block_sizes(model),
        leak=1.0,
        error_channels=error_channels,
    )


def recorded_actions(actions: Float[Tensor, "steps actions"]) -> InTime:
    """A policy that does what a record did: row n of actions (T, action_size) from t = n until n + 1.

    Frames were recorded under these actions, so that a loss along them is of the model alone; under a policy of (h, z)
    the model acts otherwise than the frames that it is shown.
    """
    actions = arguments.tensor("actions", actions)
    if actions.ndim != 2 or 0 in actions.shape:
        raise ValueError(f"actions: expected shape (steps, actions), got {tuple(actions.shape)}")

    def policy(t: Tensor, h: Tensor, z: Tensor) -> Tensor:
        n = math.floor(float(t) + 1e-9)  # a grid's times are off by rounding
        if not 0 <= n < len(actions):
            raise ValueError(f"t: expected a time of the recorded actions, 0 to {len(actions) - 1}, got {float(t):g}")
        return actions[n].to(z.dtype).expand(*z.shape[:-1], -1)

    return InTime(policy)


def recorded_observation(model: WorldModel, observations: Num[Tensor, "times ..."]) -> RecordedObservation:
    """s_t of an episode's observations (T, ...), images in [0, 1], in the model's dtype: observation n at t = n."""
    s = observations.to(model.observation_mean.dtype)
    s = s / 255 if observations.dtype == torch.uint8 else s
    return RecordedObservation(torch.arange(len(s), dtype=s.dtype), s)


@torch.no_grad()
def initial_state(
    model: WorldModel, observations: Num[Tensor, "times ..."], actions: Float[Tensor, "steps actions"], t: int = 10
) -> Float[Tensor, " n"]:
    """A typical state x = (z, h, z̃, s̃) of the SDE at an episode's time t, (n,).

    The episode, observations (T, ...) and actions (T, action_size), is filtered from h = 0 at its first time to t
    with z at the posterior's mean; then z̃ is the prior's mean and s̃ its decoding. Start the SDE at time t: around 10
    the state is typical of the middle of an episode, at 0 h is still zero. ``ValueError`` for a t outside.
    """
    t = arguments.integer("t", t)
    if not 0 <= t < len(observations):
        raise ValueError(f"t: expected a time of the episode, 0 to {len(observations) - 1}, got {t}")
    first = torch.zeros(1, t + 1, dtype=torch.bool)
    noise = actions.new_zeros(1, t + 1, model.config.stoch)
    filtered = model.observe(observations[None, : t + 1], actions[None, : t + 1], first, noise)
    h, z = filtered.h[0, -1], filtered.z[0, -1]
    z_tilde = model.prior(h).mean
    return torch.cat([z, h, z_tilde, model.s_tilde(h, z_tilde)])


def block_sizes(model: WorldModel) -> BlockSizes:
    """Dimensions of z, h, z̃, s̃."""
    config = model.config
    numbers = int(torch.tensor(model.observation_shape).prod())
    return BlockSizes(z=config.stoch, h=config.deter, z_tilde=config.stoch, s_tilde=config.image_basis or numbers)
