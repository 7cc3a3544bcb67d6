"""Rollouts (19) of a world model under its actor, z̃ from the prior, from filtered states of recorded episodes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from sdewm.worldmodel.agent import Agent
from sdewm.worldmodel.gaussian import Gaussian
from sdewm.worldmodel.replay import Episode, to_sequences

HORIZON = 15  # steps of a rollout: DreamerV2's imagination horizon
STARTS = (10, 30, 50, 70)  # times of each episode that rollouts start from


class Latent(NamedTuple):
    """A state of (19), or many: h (…, deter) and z̃ (…, stoch)."""

    h: Float[Tensor, "... h"]
    z: Float[Tensor, "... z"]


class Dynamics(NamedTuple):
    """What of a model (19) needs: the cell (h, z, a) -> h, the prior h -> z̃ and the policy (h, z) -> a."""

    sequence: Callable[
        [Float[Tensor, "... h"], Float[Tensor, "... z"], Float[Tensor, "... actions"]], Float[Tensor, "... h"]
    ]
    prior: Callable[[Float[Tensor, "... h"]], Gaussian]
    policy: Callable[[Float[Tensor, "... h"], Float[Tensor, "... z"]], Float[Tensor, "... actions"]]


def rollout(model: Dynamics, start: Latent, noise: Float[Tensor, "steps batch z"], dt: float = 1.0) -> Latent:
    """(19) from ``start`` (B, ·) under standard normal ``noise`` (N, B, stoch): all N + 1 states, (N + 1, B, ·).

    Euler steps, z̃ seeing the new h. With ``dt`` = 1 they are the model's own.
    """
    h, z = start
    states = [start]
    for xi in noise:
        h = h + dt * (closed_loop(model, h, z) - h)
        prior = model.prior(h)
        z = z + dt * (prior.mean - z) + dt**0.5 * prior.std * xi
        states.append(Latent(h, z))
    return Latent(*(torch.stack(parts) for parts in zip(*states, strict=True)))


def closed_loop(model: Dynamics, h: Float[Tensor, "... h"], z: Float[Tensor, "... z"]) -> Float[Tensor, "... h"]:
    """f(h, z, π(h, z)): the cell under the model's own behaviour."""
    return model.sequence(h, z, model.policy(h, z))


def dynamics(agent: Agent) -> Dynamics:
    """Of an agent, under its actor's mode."""
    return Dynamics(agent.world_model.sequence, agent.world_model.prior, agent.actor.mode)


@torch.no_grad()
def starting_states(agent: Agent, episodes: Sequence[Episode]) -> Latent:
    """Filtered states at the times :data:`STARTS` of each episode's records, z at the posterior's mean.

    ``ValueError`` where an episode ends before a rollout from the last of them would.
    """
    model, least = agent.world_model, max(STARTS) + HORIZON + 1
    if short := [len(e) for e in episodes if len(e) < least]:
        raise ValueError(f"episodes: expected at least {least} steps in each, got {min(short)}")
    filtered = model.filter(to_sequences(np.stack([e[:least] for e in episodes]), model.latent_spread.dtype))
    return Latent(*(part[:, list(STARTS)].flatten(0, 1) for part in (filtered.h, filtered.z)))


def repeated(states: Latent, times: int) -> Latent:
    """Each state ``times`` times, one after another."""
    return Latent(*(part.repeat_interleave(times, 0) for part in states))


def normal(generator: torch.Generator, *shape: int, like: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """Standard normal numbers of the shape, in the dtype of ``like``."""
    return torch.randn(shape, generator=generator, dtype=like.dtype)
