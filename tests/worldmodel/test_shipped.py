"""The agents that ship."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from support import refuses

import sdewm.worldmodel
from sdewm.worldmodel import load_trained
from sdewm.worldmodel.prediction import open_loop_error, windows
from sdewm.worldmodel.shipped import LEAN, LEAN_REGULARIZED, training_metrics


@pytest.fixture(scope="module")
def pair() -> list:
    return [load_trained(name) for name in (LEAN, LEAN_REGULARIZED)]


def test_the_pair_that_ships_differs_in_the_penalty_alone(pair):
    (plain, episodes), (regularized, others) = pair
    assert replace(regularized.config, jacobian_weight=0.0) == plain.config
    assert regularized.config.jacobian_weight == 1.0
    for agent, _ in pair:
        assert agent.world_model.observation_mean.dtype == torch.float64
        assert not any(p.requires_grad for p in agent.parameters())
    for a, b in zip(episodes, others, strict=True):
        np.testing.assert_array_equal(a, b)
    means = [agent.world_model.observation_mean for agent, _ in pair]
    assert torch.equal(*means)  # fitted to the same episodes
    differing = plain.world_model.cell.from_state.weight - regularized.world_model.cell.from_state.weight
    assert differing.abs().max() > 1e-3


def test_the_pair_needs_no_dm_control():
    code = (
        "import sys; sys.modules['dm_control'] = None; sys.modules['mujoco'] = None\n"
        "from sdewm.worldmodel import load_trained\n"
        "agent, episodes = load_trained('cartpole_balance_jacobian_1')\n"
        "print(type(agent).__name__, len(episodes))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.startswith("Agent"), done.stderr


def test_what_ships_fits_the_package():
    folder = Path(sdewm.worldmodel.__file__).parent / "data"
    assert sum(file.stat().st_size for file in folder.iterdir()) < 6e6
    with refuses(ValueError, "name: expected one of cartpole_balance_jacobian_0, ", "walker_walk", "got 'quadruped'"):
        load_trained("quadruped")


def test_the_walker_foresees_better_than_the_last_frame():
    agent, episodes = load_trained()
    error = open_loop_error(agent.world_model, windows(episodes, 20, torch.float64), 5)
    assert error.predicted[4] < 0.8 * error.held[4]
    assert not any(p.requires_grad for p in agent.parameters())
    assert training_metrics()[-1]["update"] == 5000
