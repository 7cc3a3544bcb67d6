"""An agent as a model from functions is the agent."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sdewm.adapters import from_agent
from sdewm.adapters.own_agent import as_recording
from sdewm.worldmodel import initial_state, load_trained, open_loop, reconstruction_loss, to_sequences


@pytest.fixture(scope="module")
def shipped():
    return load_trained()


def test_states_losses_and_predictions_are_the_agents_own(shipped):
    agent, episodes = shipped
    model = from_agent(agent)
    episode = model.recording(as_recording(episodes[0], agent))
    filtered, batch = model.filter(episode), to_sequences(episodes[0][None], torch.float64)
    x0 = initial_state(agent.world_model, batch.observations[0], batch.actions[0], t=10)
    torch.testing.assert_close(model.x0(filtered, 10), x0)
    own = reconstruction_loss(agent.world_model, batch)(10.0, x0.unsqueeze(0))
    torch.testing.assert_close(model.losses(episode)["reconstruction"](10.0, x0.unsqueeze(0)), own)
    window = to_sequences(episodes[0][None, :20], torch.float64)
    said = model.predict(filtered.h[9:10], filtered.mean[9:10], episode.actions[9:19].unsqueeze(0))
    torch.testing.assert_close(said, open_loop(agent.world_model, window, 10).flatten(2))


def test_rewards_are_as_the_model_predicts_them(shipped):
    agent, episodes = shipped
    expected = agent.world_model.reward_target(torch.from_numpy(episodes[0]["reward"].astype(np.float64)))
    torch.testing.assert_close(as_recording(episodes[0], agent).rewards, expected)
