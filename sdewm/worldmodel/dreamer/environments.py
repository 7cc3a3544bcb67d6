"""What the agent acts in: the protocol, dm_control behind it, and a point mass that needs nothing but numpy."""

from __future__ import annotations

import ctypes.util
import os
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

from sdewm.worldmodel.dreamer.config import Config
from sdewm.worldmodel.environment import GREY_WEIGHTS

CAMERAS = {"quadruped": 2}  # the camera that follows; every other domain: 0


class Step(NamedTuple):
    """What an environment returns at one time.

    ``observation``: float32 of a state, uint8 of an image (channels first); ``reward``: collected on the way here, 0 at
    a reset; ``terminal``: no reward will follow, and the value here is 0; ``last``: the episode is over, be it that a
    terminal state or a time limit was reached.
    """

    observation: np.ndarray
    reward: float
    terminal: bool
    last: bool


class Environment(Protocol):
    """What can be learned from. Actions are ``(action_size,)`` in [−1, 1].

    ``observation_shape`` is ``(n,)`` for a state and ``(channels, size, size)`` for an image. ``action_repeat``: how
    many frames of the simulator one step is. An episode depends on its seed and its actions alone. An environment may
    die by any exception: the episode is discarded, and another environment is made.
    """

    observation_shape: tuple[int, ...]
    action_size: int
    action_repeat: int

    def reset(self, seed: int) -> Step: ...

    def step(self, action: np.ndarray) -> Step: ...


@runtime_checkable
class Renderable(Protocol):
    """An environment that can show itself: an image (size, size, 3) uint8."""

    def render(self, size: int) -> np.ndarray: ...


MakeEnvironment = Callable[[], Environment]
Policy = Callable[[np.ndarray], np.ndarray]  # observation to action, within one episode


class EnvironmentFailure(Exception):
    """An environment died, or returned what no environment may return."""


def check_step(environment: Environment, step: Step) -> Step:
    """The step, its observation as float32 or uint8; :class:`EnvironmentFailure` if it is not fit to learn from."""
    observation, shape = np.asarray(step.observation), tuple(environment.observation_shape)
    if observation.shape != shape:
        raise EnvironmentFailure(f"observation: expected shape {shape}, got {observation.shape}")
    if len(shape) == 3 and observation.dtype != np.uint8:
        raise EnvironmentFailure(f"observation: expected an image of uint8, got {observation.dtype}")
    if len(shape) == 1:
        observation = observation.astype(np.float32)
        if not np.isfinite(observation).all():
            raise EnvironmentFailure(f"observation: expected finite numbers, got {observation}")
    reward = float(step.reward)
    if not np.isfinite(reward):
        raise EnvironmentFailure(f"reward: expected a finite number, got {reward}")
    return Step(observation, reward, bool(step.terminal), bool(step.last) or bool(step.terminal))


def check_spaces(environment: Environment, config: Config) -> None:
    """The environment's spaces fit the configuration, or ``ValueError``."""
    actions, repeat = environment.action_size, environment.action_repeat
    check_observations(environment.observation_shape, config)
    if not isinstance(actions, int) or actions < 1:
        raise ValueError(f"action_size: expected a positive number of continuous actions, got {actions!r}")
    if repeat != config.action_repeat:
        raise ValueError(f"action_repeat: expected {config.action_repeat} as configured, got {repeat!r}")


def check_observations(shape: tuple[int, ...], config: Config) -> None:
    """Observations of this shape fit the configuration, or ``ValueError``."""
    expected: tuple[Any, ...] = ("n",)
    fits = len(shape) == 1 and shape[0] > 0
    if config.observation == "pixels":
        expected = (config.channels, config.image_size, config.image_size)
        fits = tuple(shape) == expected
    if not fits:
        raise ValueError(f"observation_shape: expected {expected} for observation={config.observation}, got {shape}")


def make_environment(config: Config) -> Environment:
    """The environment that a configuration names."""
    if config.task == "point-mass":
        return PointMass(config.image_size if config.observation == "pixels" else 0, config.action_repeat)
    return DeepMindControl(config)


class DeepMindControl:
    """A task of dm_control's suite, as a state vector or through a camera.

    ``rendering="fast"`` leaves out shadows, reflections and multisampling: several times faster, other pixels. It is
    part of the configuration, which travels with every checkpoint. Needs the extra ``sdewm[worldmodel]``; for pixels a
    renderer too (EGL is chosen where MUJOCO_GL is not set and EGL is installed).

    Raises
    ------
    ImportError : without dm_control, or for pixels without a renderer.
    ValueError : for a task that the suite does not have.
    """

    def __init__(self, config: Config) -> None:
        # Once dm_control is imported, its renderer stays: state-only environments choose it too.
        os.environ.setdefault("MUJOCO_GL", "egl" if ctypes.util.find_library("EGL") else "disabled")
        if config.observation == "pixels":
            _require_renderer()
        try:
            from dm_control import suite
        except ImportError as error:
            raise ImportError(
                "dm_control's tasks need an optional package: pip install 'sdewm[worldmodel]'; "
                "the task point-mass needs none"
            ) from error
        domain, _, task = config.task.partition("-")
        if (domain, task) not in suite.ALL_TASKS:
            known = ", ".join(sorted(f"{domain}-{task}" for domain, task in suite.BENCHMARKING))
            raise ValueError(f"task: expected point-mass or one of dm_control's, such as {known}; got {config.task!r}")
        self._environment = suite.load(domain, task, task_kwargs={"random": 0})
        self._camera = CAMERAS.get(domain, 0)
        self._fast = config.rendering == "fast"
        if self._fast:
            model = self._environment.physics.model
            model.vis.quality.offsamples = 0
            model.vis.quality.shadowsize = 0
            model.light_castshadow[:] = 0
        self._size, self._channels = config.image_size, config.channels
        self._pixels = config.observation == "pixels"
        self.action_repeat = config.action_repeat
        actions = self._environment.action_spec()
        self._low, self._high = np.asarray(actions.minimum, float), np.asarray(actions.maximum, float)
        self.action_size = int(np.prod(actions.shape))
        if not np.isfinite([self._low, self._high]).all():
            raise ValueError(f"task: expected bounded continuous actions, got {actions}")
        entries = self._environment.observation_spec().values()
        states = sum(int(np.prod(entry.shape)) for entry in entries)
        image = (self._channels, self._size, self._size)
        self.observation_shape: tuple[int, ...] = image if self._pixels else (states,)

    def reset(self, seed: int) -> Step:
        self._environment.task.random.seed(seed % 2**32)
        return self._observe(self._environment.reset(), 0.0)

    def step(self, action: np.ndarray) -> Step:
        within = self._low + (np.asarray(action, float) + 1) / 2 * (self._high - self._low)
        reward = 0.0
        for _ in range(self.action_repeat):
            step = self._environment.step(within)
            reward += float(step.reward)
            if step.last():
                break
        return self._observe(step, reward)

    def render(self, size: int) -> np.ndarray:
        """An image (size, size, 3) uint8 of the scene as it is; ``ImportError`` without a renderer."""
        _require_renderer()
        flags = {"shadow": False, "reflection": False} if self._fast else {}
        return self._environment.physics.render(size, size, camera_id=self._camera, render_flag_overrides=flags)

    def _observe(self, step: Any, reward: float) -> Step:
        if self._pixels:
            colour = self.render(self._size)
            image = np.round(colour @ GREY_WEIGHTS)[..., None] if self._channels == 1 else colour
            observation = np.ascontiguousarray(image.astype(np.uint8).transpose(2, 0, 1))
        else:
            observation = np.concatenate([np.ravel(entry) for entry in step.observation.values()]).astype(np.float32)
        # dm_control ends an episode at its time limit with discount 1, at a terminal state with discount 0.
        return Step(observation, reward, bool(step.last() and step.discount == 0), bool(step.last()))


def _require_renderer() -> None:
    if os.environ["MUJOCO_GL"] == "disabled":
        raise ImportError("images need a renderer, such as libegl1 with MUJOCO_GL=egl or libosmesa6 with osmesa")


class PointMass:
    """A point on the line pushed by one force: x'' = a − ½ x', reward e^{−8x²} per frame, 0.1 s per frame.

    Leaving [−2, 2] is terminal; 40 frames are the time limit. The state is (x, x'); with ``size`` > 0 the observation
    is an image (1, size, size) instead, a bright blob at x, which does not show the velocity.
    """

    frames = 40

    def __init__(self, size: int = 0, action_repeat: int = 1) -> None:
        self.size, self.action_repeat, self.action_size = size, action_repeat, 1
        self.observation_shape: tuple[int, ...] = (1, size, size) if size else (2,)
        self._position = self._velocity = 0.0
        self._frame = 0

    def reset(self, seed: int) -> Step:
        rng = np.random.default_rng(seed)
        self._position, self._velocity, self._frame = rng.uniform(-1, 1), 0.0, 0
        return Step(self._observe(), 0.0, False, False)

    def step(self, action: np.ndarray) -> Step:
        reward, terminal, last = 0.0, False, False
        for _ in range(self.action_repeat):
            self._velocity += 0.1 * (float(action[0]) - 0.5 * self._velocity)
            self._position += 0.1 * self._velocity
            self._frame += 1
            reward += float(np.exp(-8 * self._position**2))
            terminal = abs(self._position) > 2
            last = terminal or self._frame >= self.frames
            if last:
                break
        return Step(self._observe(), reward, terminal, last)

    def render(self, size: int) -> np.ndarray:
        """An image (size, size, 3) uint8."""
        return np.repeat(self._image(size)[0, :, :, None], 3, axis=2)

    def _observe(self) -> np.ndarray:
        if self.size:
            return self._image(self.size)
        return np.array([self._position, self._velocity], np.float32)

    def _image(self, size: int) -> np.ndarray:
        across = np.linspace(-2, 2, size)
        blob = np.exp(-8 * ((across[None, :] - self._position) ** 2 + across[:, None] ** 2))
        return np.round(255 * blob).astype(np.uint8)[None]
