"""Actor and critic, learned in imagination: DreamerV2's, for continuous actions, by gradients through the dynamics.

Indices of an imagined trajectory of H steps (columns are times; a_i acts between i and i + 1):

    state      (h_0, z_0) given   (h_1, z_1)          …   (h_H, z_H)         z_i ~ p(z | h_i)
    action     a_0 ~ π(h_0, z_0)  a_1 ~ π(h_1, z_1)   …
    reward                        r_1                 …   r_H                collected on the way into i
    discount   d_0                d_1                 …   d_H                γ · probability of going on from i
    value      v_0                v_1                 …   v_H                of what is collected after i
    return     G_0                G_1                 …   (G_H = v_H)        G_i follows a_i, and not r_i
    weight     w_0                w_0 d_1             …                      w_0 = 0 if the start is terminal, else 1
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sdewm import arguments
from sdewm.worldmodel.config import Config
from sdewm.worldmodel.gaussian import Gaussian
from sdewm.worldmodel.networks import mlp
from sdewm.worldmodel.truncated_normal import truncated_normal
from sdewm.worldmodel.world_model import WorldModel

RETURN_MOMENTUM = 0.99  # of the running spread of returns, per update
RETURN_QUANTILES = (0.05, 0.95)


class Imagined(NamedTuple):
    """H imagined steps: h (H + 1, B, deter), z (H + 1, B, stoch), entropy of π at 0, …, H − 1 (H, B)."""

    h: Float[Tensor, "times batch h"]
    z: Float[Tensor, "times batch z"]
    entropy: Float[Tensor, "steps batch"]


class Actor(nn.Module):
    """π(a | h, z): a normal truncated to [−1, 1] in each coordinate, as DreamerV2's for continuous actions."""

    def __init__(self, config: Config, action_size: int) -> None:
        super().__init__()
        widths = [config.units] * config.layers
        self.network = mlp(config.deter + config.stoch, widths, 2 * action_size, config.activation)
        self.min_std = config.min_action_std

    def distribution(self, h: Float[Tensor, "... h"], z: Float[Tensor, "... z"]) -> Gaussian:
        """Mean, inside (−1, 1), and standard deviation before truncation, both (..., action_size)."""
        mean, raw = self.network(torch.cat([h, z], -1)).chunk(2, -1)
        return Gaussian(torch.tanh(mean), 2 * torch.sigmoid(raw / 2) + self.min_std)

    def mode(self, h: Float[Tensor, "... h"], z: Float[Tensor, "... z"]) -> Float[Tensor, "... actions"]:
        """The most probable action, a C^∞ function where the activation is: (..., action_size)."""
        return self.distribution(h, z).mean


class Critic(nn.Module):
    """v(h, z): expected discounted rewards after this time, (...)."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        widths = [config.units] * config.layers
        self.network = mlp(config.deter + config.stoch, widths, 1, config.activation, zero=True)

    def forward(self, h: Float[Tensor, "... h"], z: Float[Tensor, "... z"]) -> Float[Tensor, "..."]:
        return self.network(torch.cat([h, z], -1)).squeeze(-1)


def imagine(
    model: WorldModel,
    actor: Actor,
    h: Float[Tensor, "batch h"],
    z: Float[Tensor, "batch z"],
    uniform: Float[Tensor, "steps batch actions"],
    noise: Float[Tensor, "steps batch z"],
) -> Imagined:
    """Follow the actor through the model from h (B, deter), z (B, stoch).

    ``uniform`` (H, B, action_size) draws the actions, ``noise`` (H, B, stoch) draws z from the prior.
    """
    hs, zs, entropies = [h], [z], []
    for u, n in zip(uniform.unbind(0), noise.unbind(0), strict=True):
        # The actor is not told how its actions change the state in which it acts next but through the model.
        action, entropy = truncated_normal(actor.distribution(h.detach(), z.detach()), u)
        h = model.sequence(h, z, action)
        mean, std = model.prior(h)
        z = torch.addcmul(mean, std, n)
        hs.append(h)
        zs.append(z)
        entropies.append(entropy)
    return Imagined(torch.stack(hs), torch.stack(zs), torch.stack(entropies))


def imitation(
    actor: Actor, h: Float[Tensor, "... h"], z: Float[Tensor, "... z"], actions: Float[Tensor, "... actions"]
) -> Float[Tensor, "..."]:
    """½ |mode of π(h, z) − a|², h (..., deter) and z (..., stoch), of the actions a that were taken there: (...)."""
    return 0.5 * (actor.mode(h, z) - actions).square().sum(-1)


def lambda_returns(
    rewards: Float[Tensor, "times ..."],
    discounts: Float[Tensor, "times ..."],
    values: Float[Tensor, "times ..."],
    trace: float,
) -> Float[Tensor, "steps ..."]:
    """G_0, …, G_{H−1}, time first: (H + 1, ...) each to (H, ...). The rewards and discounts at time 0 are not used.

    G_i = r_{i+1} + d_{i+1} ((1 − λ) v_{i+1} + λ G_{i+1}),    G_H = v_H

    Raises ``ValueError`` for a trace λ outside [0, 1], and for shapes that differ or have fewer than two times.
    """
    if arguments.real("trace", trace, least=0.0) > 1:
        raise ValueError(f"trace: expected a number in [0, 1], got {trace}")
    if not rewards.shape == discounts.shape == values.shape or len(values) < 2:
        shapes = ", ".join(str(tuple(v.shape)) for v in (rewards, discounts, values))
        raise ValueError(f"rewards, discounts, values: expected one shape, of two times at least, got {shapes}")
    following = values[-1]
    returns = []
    for i in reversed(range(len(values) - 1)):
        ahead = torch.lerp(values[i + 1], following, trace)
        following = torch.addcmul(rewards[i + 1], discounts[i + 1], ahead)
        returns.append(following)
    return torch.stack(returns[::-1])


def weights(discounts: Float[Tensor, "times ..."], going_on: Float[Tensor, "..."]) -> Float[Tensor, "steps ..."]:
    """w_i = w_0 d_1 ⋯ d_i for i < H, the discounted chance that time i is reached: (H + 1, ...) to (H, ...).

    ``going_on`` (...): w_0, which is 0 where the start is terminal.
    """
    return torch.cat([going_on.unsqueeze(0), discounts[1:-1]]).cumprod(0)


def action_value(
    model: WorldModel,
    critic: Critic,
    h: Float[Tensor, "... h"],
    z: Float[Tensor, "... z"],
    a: Float[Tensor, "... actions"],
) -> Float[Tensor, "..."]:
    """Q(h, z, a) by one step of the model with z̃ at the prior's mean: r + d v at the state that a leads to, (...)."""
    h = model.sequence(h, z, a)
    z = model.prior(h).mean
    return model.reward(h, z) + model.discount(h, z) * critic(h, z)
