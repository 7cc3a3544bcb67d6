"""The losses of a world model that is read as an SDE: reconstruction, reward, consistency, along a recorded episode.

Each is a function (t, x) -> (paths,) of a state x of :func:`sdewm.worldmodel.sde.as_sde` and the time, in agent steps.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from sdewm.systems.blocks import Blocks
from sdewm.systems.observations import RecordedObservation
from sdewm.worldmodel.gaussian import kl_divergence
from sdewm.worldmodel.replay import Sequences
from sdewm.worldmodel.sde import block_sizes
from sdewm.worldmodel.world_model import WorldModel

RunningLoss = Callable[[Tensor | float, Tensor], Tensor]


def reconstruction_loss(model: WorldModel, episode: Sequences) -> RunningLoss:
    """J_O(t, x) = ½ · mean over the observation's numbers of (s̃ − s_t)², standardized.

    A mean, not a sum: times their number it is the training objective's nats. ``episode`` is a batch of one. Where the
    decoder speaks in an image basis it is computed in coordinates, equal to rounding.
    """
    seen, basis = _in_time(model.standardize(episode.observations[0]).flatten(1)), model.basis

    def loss(t: Tensor | float, x: Tensor) -> Tensor:
        error = _blocks(model, x).s_tilde - seen(t)
        return 0.5 * (error * error).mean(-1)

    def loss_in_coordinates(t: Tensor | float, x: Tensor) -> Tensor:
        assert basis is not None
        s = seen(t)
        target = basis.coordinates(s)
        unreachable = s.square().mean() - target.square().sum()
        error = _blocks(model, x).s_tilde - target
        return 0.5 * (error * error).sum(-1) + 0.5 * unreachable

    return loss if basis is None else loss_in_coordinates


def reward_loss(model: WorldModel, episode: Sequences) -> RunningLoss:
    """J_R(t, x) = ½ (r̂(h, z) − r_t)², r_t the reward collected on the way into t, scaled as the model predicts it."""
    rewards = _in_time(model.reward_target(episode.rewards[0]))

    def loss(t: Tensor | float, x: Tensor) -> Tensor:
        state = _blocks(model, x)
        error = model.reward(state.h, state.z) - rewards(t)
        return 0.5 * (error * error)

    return loss


def consistency_loss(model: WorldModel, episode: Sequences) -> RunningLoss:
    """J_D(t, x) = KL( q(· | h, s_t) ‖ p(· | h) ) in closed form, in nats."""
    seen = _in_time(model.standardize(episode.observations[0]))

    def loss(t: Tensor | float, x: Tensor) -> Tensor:
        h = _blocks(model, x).h
        embedding = model.encoder(seen(t).unsqueeze(0)).expand(h.shape[0], -1)
        return kl_divergence(model.posterior(h, embedding), model.prior(h))

    return loss


def _in_time(values: Tensor) -> RecordedObservation:
    return RecordedObservation(torch.arange(len(values), dtype=values.dtype), values)


def _blocks(model: WorldModel, x: Tensor) -> Blocks:
    return Blocks(*torch.split(x, list(block_sizes(model)), -1))
