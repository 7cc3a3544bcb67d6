"""The bias of Corollary 3.8 of a trained model: the increase of the loss, for small errors."""

import pytest
from small_agents import WALKER, random_episode, tiny_agent

from sdewm.worldmodel import drift_error


def test_bias_is_the_increase_for_a_small_error(monkeypatch):
    monkeypatch.setattr(drift_error, "STARTS", (2, 5))
    agent, episodes = tiny_agent(WALKER), [random_episode(WALKER, 4)]
    left = []
    for error in (0.02, 0.01):
        monkeypatch.setattr(drift_error, "ERROR", error)
        found = drift_error.drift_error_bias(agent, episodes, 0)
        left.append(abs(found["bias"] - found["increase"]))
        assert left[-1] < 0.01 * found["increase"]
    assert left[0] / left[1] == pytest.approx(8, rel=0.2)  # third order
