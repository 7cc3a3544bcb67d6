"""dm_control as an environment."""

from dataclasses import replace

import numpy as np
import pytest

from sdewm.worldmodel import play, preset


@pytest.mark.parametrize(
    ("task", "states", "actions"),
    [
        ("cartpole-swingup", 5, 1),
        ("walker-walk", 24, 6),
        ("quadruped-walk", 78, 12),
        ("reacher-easy", 6, 2),
        ("pendulum-swingup", 3, 1),
    ],
)
def test_dm_control_from_its_state(task, states, actions):
    pytest.importorskip("dm_control")
    from sdewm.worldmodel import DeepMindControl

    environment = DeepMindControl(preset("lean-proprio", task=task, action_repeat=2))
    assert environment.observation_shape == (states,) and environment.action_size == actions
    runs = []
    for _ in range(2):  # an episode depends on its seed and its actions alone, whatever came before
        step, rng, seen = environment.reset(11), np.random.default_rng(0), []
        for _ in range(5):
            step = environment.step(rng.uniform(-1, 1, actions))
            seen.append(np.append(step.observation, step.reward))
        runs.append(np.stack(seen))
        environment.reset(12)
        environment.step(np.ones(actions))
    np.testing.assert_array_equal(*runs)
    assert environment.reset(11).observation.tolist() != environment.reset(12).observation.tolist()


def test_action_repeat_sums_rewards_and_stops_at_the_end():
    pytest.importorskip("dm_control")
    from sdewm.worldmodel import DeepMindControl

    episodes = []
    for repeat in (1, 8):
        environment = DeepMindControl(preset("lean-proprio", action_repeat=repeat))
        episodes.append(play(environment, lambda s: np.full(1, 0.3), seed=0))
    assert len(episodes[0]) == 1001 and len(episodes[1]) == 126
    np.testing.assert_allclose(episodes[1]["observation"], episodes[0]["observation"][::8])
    np.testing.assert_allclose(episodes[1]["reward"][1:], episodes[0]["reward"][1:].reshape(-1, 8).sum(1), rtol=1e-5)
    assert not episodes[1]["terminal"].any()


@pytest.mark.parametrize("rendering", ["fast", "default"])
def test_dm_control_through_its_camera(rendering):
    pytest.importorskip("dm_control")
    from sdewm.worldmodel import DeepMindControl

    config = preset("lean-pixels", task="walker-walk", action_repeat=2, rendering=rendering)
    try:
        grey, colour = DeepMindControl(config), DeepMindControl(replace(config, channels=3))
        frames = [environment.reset(3).observation for environment in (grey, colour)]
    except ImportError as error:
        pytest.skip(str(error))
    assert frames[0].shape == (1, 32, 32) and frames[0].dtype == np.uint8 and frames[0].std() > 5
    assert frames[1].shape == (3, 32, 32) and frames[1].flags.c_contiguous
    luma = np.tensordot([0.299, 0.587, 0.114], frames[1].astype(float), 1)
    assert np.abs(luma - frames[0][0]).max() <= 0.5 + 1e-9
    np.testing.assert_array_equal(grey.reset(3).observation, frames[0])
    assert not np.array_equal(grey.step(np.ones(6)).observation, frames[0])
