"""Environments by name: Gymnasium's, and functions of the user's."""

import json
from dataclasses import replace

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from support import library_with, refuses
from training_runs import DEBUG

from sdewm.cli import main
from sdewm.worldmodel import PointMass, load_agent, make_environment, play, random_policy, train
from sdewm.worldmodel.environments.images import as_observation
from sdewm.worldmodel.environments.registry import register

PENDULUM = replace(DEBUG, task="gymnasium:Pendulum-v1", action_repeat=2)


class Toy(gymnasium.Env):
    """Observes {position, time}; pays the action; terminal past position 3, a time limit after 6 frames."""

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012
    render_mode = "rgb_array"
    observation_space = spaces.Dict({"position": spaces.Box(-9, 9, (2,)), "time": spaces.Discrete(7)})
    action_space = spaces.Box(np.array([[0.0, -2.0]]), np.array([[1.0, 6.0]]), dtype=np.float64)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.position, self.time = self.np_random.uniform(-1, 1, 2), 0
        return self.seen(), {}

    def step(self, action):
        assert self.action_space.contains(action)
        self.position, self.time = self.position + action[0], self.time + 1
        return self.seen(), float(action[0, 1]), bool(self.position[1] > 3), self.time >= 6, {}

    def seen(self):
        return {"position": self.position.astype(np.float32), "time": np.int64(self.time)}

    def render(self):
        image = np.zeros((20, 40, 3), np.uint8)
        image[:, :20] = (200, 100, 50)
        return image


def make_toy(config):
    return Toy()


def make_point(config):
    return PointMass(0, config.action_repeat)


class Line(Toy):
    """Two numbers seen, one action."""

    observation_space, action_space = spaces.Box(-9, 9, (2,)), spaces.Box(-1, 1, (1,))

    def step(self, action):
        self.position, self.time = self.position + action[0], self.time + 1
        return self.seen(), float(action[0]), False, self.time >= 6, {}

    def seen(self):
        return self.position.astype(np.float32)


def make_flat_gymnasium(config):
    return Line()


def make_nothing(config):
    return 3


def test_a_state_is_the_flattened_observation_and_actions_reach_the_bounds():
    environment = make_environment(replace(DEBUG, task=f"{__name__}:make_toy", action_repeat=2))
    assert environment.observation_shape == (9,) and environment.action_size == 2 and environment.action_repeat == 2
    start = environment.reset(3)
    np.testing.assert_array_equal(start.observation, environment.reset(3).observation)
    np.testing.assert_allclose(start.observation[2:], np.eye(7)[0])  # a Discrete space is flattened to a unit vector
    step = environment.step(np.array([1.0, -0.75]))  # 1 and −1 in the space's own bounds, twice
    np.testing.assert_allclose(step.observation[:2], start.observation[:2] + np.array([2, -2]), rtol=1e-6)
    assert step.reward == pytest.approx(-2) and not step.terminal and not step.last


def test_termination_is_terminal_and_truncation_is_not():
    environment = make_environment(replace(DEBUG, task=f"{__name__}:make_toy"))
    ended = play(environment, lambda s: np.ones(2), seed=0)
    assert len(ended) == 2 and ended["terminal"].tolist() == [False, True]
    cut = play(environment, lambda s: np.array([1.0, -0.5]), seed=0)
    assert len(cut) == 7 and not cut["terminal"].any()


def test_pictures_are_rendered_and_resized():
    config = replace(DEBUG, task=f"{__name__}:make_toy", observation="pixels", image_size=16,
                     encoder_kernels=(4, 4), decoder_kernels=(4, 4), channels=3)  # fmt: skip
    environment = make_environment(config)
    assert environment.observation_shape == (3, 16, 16)
    image = environment.reset(0).observation
    assert image.dtype == np.uint8 and (image[:, :, :8] == np.array([200, 100, 50])[:, None, None]).all()
    assert (image[:, :, 8:] == 0).all() and environment.render(64).shape == (64, 64, 3)
    grey = make_environment(replace(config, channels=1)).reset(0).observation
    assert grey[0, 0, 0] == round(0.299 * 200 + 0.587 * 100 + 0.114 * 50)


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ("gymnasium:CartPole-v1", "task: expected bounded continuous actions, got Discrete(2)"),
        ("gymnasium:NoSuchThing-v0", "task: expected an environment that Gymnasium can make, got 'NoSuchThing-v0'"),
        (f"{__name__}:make_nothing", "to return an Environment or a Gymnasium environment, got int without observ"),
        (f"{__name__}:no_such", "task: expected MODULE:FUNCTION, got"),
        (":make", "task: expected MODULE:FUNCTION, got ':make'"),
    ],
)
def test_what_cannot_be_learned_from_is_refused(task, message):
    with refuses(ValueError, message):
        make_environment(replace(DEBUG, task=task))


def test_an_agent_learns_from_gymnasium(tmp_path):
    train(tmp_path, replace(PENDULUM, frames=500, evaluate_every=0))
    environment = make_environment(load_agent(tmp_path).config)
    episode = play(environment, random_policy(1, seed=0), seed=0)
    assert len(episode) == 101 and episode["observation"].shape == (101, 3)


def test_command_line_asks_before_it_imports_code(tmp_path, capsys):
    run, task = str(tmp_path / "run"), f"{__name__}:make_point"
    main(["train", run, "--preset", "debug", "--task", task, "--frames", "120"])
    for command in (["evaluate", run], ["record", run, "--out", str(tmp_path / "out")], ["train", run]):
        with pytest.raises(SystemExit, match=f"is imported only if you name it: add --task {task}"):
            main(command)
    main(["evaluate", run, "--task", task, "--count", "1"])
    main(["record", run, "--task", task, "--count", "1", "--out", str(tmp_path / "out")])
    assert (tmp_path / "out" / "episode_0000.npy").exists()
    main(["train", run, "--task", task, "--frames", "160"])


def test_an_agent_plays_in_any_environment_that_fits_it_by_any_kind_of_name(whole, tmp_path, capsys):
    for task in ("point-mass", f"{__name__}:make_point", f"{__name__}:make_flat_gymnasium"):
        main(["evaluate", str(whole), "--task", task, "--count", "1"])
        assert json.loads(capsys.readouterr().out.splitlines()[-1])["episodes"] == 1
        main(["record", str(whole), "--task", task, "--count", "1", "--out", str(tmp_path), "--no-video"])
        assert np.load(tmp_path / "episode_0000.npy")["observation"].shape[1:] == (2,)
    for command in ("evaluate", "record"):
        out = ["--out", str(tmp_path)] if command == "record" else []
        message = (
            rf"sdewm {command}: environment: expected observations \(2,\) and 1 actions as the agent's, got \(3,\)"
        )
        with pytest.raises(SystemExit, match=message):
            main([command, str(whole), "--task", "gymnasium:Pendulum-v1", *out])


def test_an_agent_of_gymnasium_is_evaluated_and_recorded_by_its_own_name(tmp_path, capsys):
    run = str(tmp_path / "run")
    main(["train", run, "--preset", "debug", "--task", PENDULUM.task, "--action-repeat", "2", "--frames", "500"])
    capsys.readouterr()
    main(["evaluate", run, "--count", "1"])
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["episodes"] == 1
    main(["record", run, "--count", "1", "--out", str(tmp_path / "out"), "--no-video"])
    assert np.load(tmp_path / "out" / "episode_0000.npy")["observation"].shape == (101, 3)


def test_squares_of_pixels_are_averaged_to_one_and_grey_is_luma():
    colour = np.random.default_rng(0).integers(0, 256, (6, 4, 3), dtype=np.uint8)
    seen = as_observation(colour, channels=3, supersample=2)
    assert seen.shape == (3, 3, 2) and seen.dtype == np.uint8
    assert seen[1, 2, 0] == np.round(colour[4:6, 0:2, 1].mean())
    np.testing.assert_array_equal(as_observation(colour, channels=3), colour.transpose(2, 0, 1))
    grey = as_observation(colour, channels=1)
    np.testing.assert_array_equal(grey[0], np.round(colour @ np.array([0.299, 0.587, 0.114])))


ENVIRONMENT = """
from sdewm.worldmodel.environments.point_mass import PointMass
from sdewm.worldmodel.environments.registry import register

register("two-points", lambda config: PointMass(0, config.action_repeat))
register("point:", lambda config: PointMass(int(config.task.partition(":")[2])))
"""
USE = """
from sdewm.worldmodel import Config, make_environment
from sdewm.worldmodel.environments import needs_code

for task in ("two-points", "point:16"):
    environment = make_environment(Config(task=task, observation="state"))
    print(environment.observation_shape, needs_code(task), needs_code("my:" + task))
"""


def test_an_environment_is_added_by_one_file(tmp_path):
    found = library_with(tmp_path, "worldmodel/environments/points.py", ENVIRONMENT, USE)
    assert found == ["(2,) False True", "(1, 16, 16) False True"]


def test_a_name_is_given_once():
    with refuses(ValueError, "name", "'point-mass'"):
        register("point-mass", lambda config: PointMass())
