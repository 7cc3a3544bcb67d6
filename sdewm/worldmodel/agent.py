"""The agent: world model, actor and critic, and how it acts."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Num
from torch import Tensor, nn

from sdewm.systems.latent import LatentSDE
from sdewm.worldmodel.behaviour import Actor, Critic, action_value
from sdewm.worldmodel.config import Config
from sdewm.worldmodel.encoder_error import EncoderError
from sdewm.worldmodel.environments import Policy
from sdewm.worldmodel.sde import as_sde, recorded_actions
from sdewm.worldmodel.truncated_normal import truncated_normal
from sdewm.worldmodel.world_model import WorldModel


class Agent(nn.Module):
    """World model, actor, critic and slow critic, for a configuration and an environment's spaces.

    A critic starts at zero everywhere, and stays there where the actor learns by imitation.
    """

    return_spread: Float[Tensor, ""]

    def __init__(self, config: Config, observation_shape: tuple[int, ...], action_size: int) -> None:
        super().__init__()
        self.config = config
        self.world_model = WorldModel(config, observation_shape, action_size)
        self.actor = Actor(config, action_size)
        self.critic = Critic(config)
        self.slow_critic = Critic(config).requires_grad_(False)
        self.slow_critic.load_state_dict(self.critic.state_dict())
        self.register_buffer("return_spread", torch.ones(()))

    def policy(self, *, explore: bool, error: EncoderError, seed: int) -> Policy:
        """How the agent acts in one episode: a function of the observations, in order, that remembers (h, z).

        With ``explore`` actions and z are drawn; without, they are the actor's mode and the posterior's mean. ``error``
        is added to z in both. All randomness comes from ``seed``.
        """
        model, actor = self.world_model, self.actor
        generator = torch.Generator().manual_seed(seed)
        errors = error.stream(model.latent_spread, generator)
        state: list[Tensor] = []  # h, z and the action taken there

        @torch.no_grad()
        def act(observation: np.ndarray) -> np.ndarray:
            s = torch.from_numpy(observation).unsqueeze(0)
            if s.is_floating_point():
                s = s.to(model.latent_spread.dtype)
            h = model.sequence(*state) if state else model.latent_spread.new_zeros(1, self.config.deter)
            z, std = model.posterior(h, model.embed(s))
            if explore:
                z = z + std * torch.randn(std.shape, generator=generator, dtype=std.dtype)
            e = next(errors)
            if e is not None:
                z = z + e
            distribution = actor.distribution(h, z)
            action = distribution.mean
            if explore:
                uniform = torch.rand(action.shape, generator=generator, dtype=action.dtype)
                action, _ = truncated_normal(distribution, uniform)
            state[:] = h, z, action
            return action[0].numpy()

        return act

    def action_value(
        self, h: Float[Tensor, "... h"], z: Float[Tensor, "... z"], a: Float[Tensor, "... actions"]
    ) -> Float[Tensor, "..."]:
        """Q(h, z, a) by one step of the model and the critic, (...): see :func:`behaviour.action_value`."""
        return action_value(self.world_model, self.critic, h, z, a)

    def as_sde(
        self,
        observations: Num[Tensor, "times ..."],
        *,
        actions: Float[Tensor, "times actions"] | None = None,
        error_channels: int = 0,
    ) -> LatentSDE:
        """The world model driven by an episode's observations (T, ...), under the actor's mode π(h, z).

        With ``actions`` (T, action_size) it follows those, as they were recorded with the observations. See
        :func:`sdewm.worldmodel.sde.as_sde`. Use an agent in float64: ``agent.double()``.
        """
        policy = self.actor.mode if actions is None else recorded_actions(actions)
        return as_sde(self.world_model, observations, policy, error_channels)

    def double(self) -> Agent:
        """To float64: see :meth:`WorldModel.double`."""
        super().double()
        self.world_model.double()
        return self
