"""Tasks of dm_control's suite."""

from __future__ import annotations

import ctypes.util
import os
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from sdewm.worldmodel.config import Config
from sdewm.worldmodel.environments.images import as_observation
from sdewm.worldmodel.environments.protocol import TimeStep
from sdewm.worldmodel.environments.registry import tasks

CAMERAS = {"quadruped": 2}  # the camera that follows; every other domain: 0


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
            raise ValueError(
                f"task: expected {tasks()}, MODULE:FUNCTION or a task of dm_control, such as {known}; "
                f"got {config.task!r}"
            )
        self.domain = domain
        self._environment = suite.load(domain, task, task_kwargs={"random": 0})
        self._camera = CAMERAS.get(domain, 0)
        self._fast = config.rendering == "fast"
        if self._fast:
            model = self._environment.physics.model
            model.vis.quality.offsamples = 0
            model.vis.quality.shadowsize = 0
            model.light_castshadow[:] = 0
        self._size, self._channels, self._supersample = config.image_size, config.channels, config.supersample
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

    @property
    def physics(self) -> Any:
        """The simulator's state, dm_control's ``Physics``."""
        return self._environment.physics

    @property
    def step_seconds(self) -> float:
        """Simulated seconds of one agent step."""
        return float(self._environment.control_timestep()) * self.action_repeat

    def reset(self, seed: int) -> TimeStep:
        self._environment.task.random.seed(seed % 2**32)
        return self._observe(self._environment.reset(), 0.0)

    def step(self, action: Float[np.ndarray, " actions"]) -> TimeStep:
        within = self._low + (np.asarray(action, float) + 1) / 2 * (self._high - self._low)
        reward = 0.0
        for _ in range(self.action_repeat):
            step = self._environment.step(within)
            reward += float(step.reward)
            if step.last():
                break
        return self._observe(step, reward)

    def render(self, size: int) -> UInt8[np.ndarray, "rows rows 3"]:
        """An image (size, size, 3) uint8 of the scene as it is; ``ImportError`` without a renderer."""
        _require_renderer()
        flags = {"shadow": False, "reflection": False} if self._fast else {}
        return self._environment.physics.render(size, size, camera_id=self._camera, render_flag_overrides=flags)

    def _observe(self, step: Any, reward: float) -> TimeStep:
        if self._pixels:
            colour = self.render(self._size * self._supersample)
            observation = as_observation(colour, self._channels, self._supersample)
        else:
            observation = np.concatenate([np.ravel(entry) for entry in step.observation.values()]).astype(np.float32)
        # dm_control ends an episode at its time limit with discount 1, at a terminal state with discount 0.
        return TimeStep(observation, reward, bool(step.last() and step.discount == 0), bool(step.last()))


def _require_renderer() -> None:
    if os.environ["MUJOCO_GL"] == "disabled":
        raise ImportError("images need a renderer, such as libegl1 with MUJOCO_GL=egl or libosmesa6 with osmesa")
