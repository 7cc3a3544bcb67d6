"""An agent that was trained here, as a :class:`GaussianRSSM`."""

from __future__ import annotations

import torch

from sdewm.adapters.gaussian_rssm import GaussianRSSM, Recording
from sdewm.worldmodel.agent import Agent
from sdewm.worldmodel.replay import Episode, to_sequences


def from_agent(agent: Agent, name: str = "agent") -> GaussianRSSM:
    """The world model of an agent under its actor's mode. Targets are the model's standardized observations.

    >>> agent, episodes = load_trained()
    >>> from_agent(agent).sizes.h
    48
    """
    model = agent.world_model
    return GaussianRSSM(
        recurrent=model.sequence,
        prior=model.prior,
        posterior=model.posterior,
        decoder=model.s_tilde,
        policy=agent.actor.mode,
        h0=torch.zeros(agent.config.deter, dtype=model.latent_spread.dtype),
        embed=model.embed,
        target=model.standardize,
        to_observation=None if model.basis is None else model.basis.images,
        reward=model.reward,
        name=name,
    )


def as_recording(records: Episode, agent: Agent) -> Recording:
    """An episode's records, as :func:`sdewm.worldmodel.load_trained` gives them; rewards as the model predicts them."""
    episode = to_sequences(records[None], agent.world_model.latent_spread.dtype)
    rewards = agent.world_model.reward_target(episode.rewards[0])
    return Recording(episode.observations[0], episode.actions[0], rewards)
