"""How the agent acts: on the filtered state, under the error, repeating by its seed."""

import numpy as np
import torch
from small_agents import F64, tiny_agent

from sdewm.worldmodel import EncoderError


def test_the_agent_acts_on_the_filtered_state():
    """The policy's own recursion is the world model's filter, the action it took at t leading to t + 1."""
    agent = tiny_agent()
    observations = torch.randn(6, 3, generator=torch.Generator().manual_seed(0), dtype=F64)
    policy = agent.policy(explore=False, error=EncoderError(), seed=0)
    actions = torch.from_numpy(np.stack([policy(s) for s in observations.numpy()]))
    first = torch.zeros(1, 6, dtype=torch.bool)
    filtered = agent.world_model.observe(observations[None], actions[None], first, torch.zeros(1, 6, 3, dtype=F64))
    torch.testing.assert_close(agent.actor.mode(filtered.h, filtered.z)[0], actions, rtol=1e-11, atol=1e-12)


def test_exploring_draws_from_the_actor_and_repeats_by_seed():
    agent, observation = tiny_agent(), np.zeros(3)
    drawn = [agent.policy(explore=True, error=EncoderError(), seed=seed)(observation) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[0], drawn[2]) and np.abs(drawn).max() <= 1
