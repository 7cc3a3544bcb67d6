"""dm_control walker-walk seen through a small grey camera.

Rendering is the "fast" kind: no shadows, no reflections, no multisampling. It changes pixels, so it is part
of the environment's configuration and travels with every recording and every checkpoint.
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from sdewm.worldmodel.environments.protocol import GREY_WEIGHTS


@dataclass(frozen=True)
class EnvironmentConfig:
    """Everything that decides what a frame looks like and what one agent step means."""

    domain: str = "walker"
    task: str = "walk"
    size: int = 32  # frames are size × size pixels
    supersample: int = 2  # rendered at supersample · size, then averaged down: the only anti-aliasing
    action_repeat: int = 2
    rendering: str = "fast"

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class TimeStep:
    """What the agent sees at one time: frame (size, size) uint8; the reward collected on the way here."""

    frame: np.ndarray
    reward: float
    joint_angles: np.ndarray  # (n_joints,) rad
    velocities: np.ndarray  # (n_velocities,) m/s and rad/s


class WalkerEnvironment:
    """A thin wrapper of a dm_control environment: grey frames, action repeat, and nothing hidden.

    ``reset()`` starts an episode and ``step(action)`` holds ``action`` (shape (action_size,), in [−1, 1]) for
    ``action_repeat`` simulator steps and sums their rewards; both return a :class:`TimeStep`. The reward at
    reset is 0.

    Needs the extra ``sdewm[worldmodel]``. Where MUJOCO_GL is not set, EGL is chosen.
    """

    def __init__(self, config: EnvironmentConfig | None = None, *, seed: int = 0) -> None:
        os.environ.setdefault("MUJOCO_GL", "egl")
        try:
            from dm_control import suite
        except ImportError as error:
            raise ImportError(
                "recording needs dm_control, which is optional: pip install 'sdewm[worldmodel]'"
            ) from error
        self.config = config or EnvironmentConfig()
        if self.config.rendering != "fast":
            raise ValueError(f"unknown rendering {self.config.rendering!r}; the only kind is 'fast'")
        self._environment = suite.load(self.config.domain, self.config.task, task_kwargs={"random": seed})
        model = self._environment.physics.model
        model.vis.quality.offsamples = 0
        model.vis.quality.shadowsize = 0
        model.light_castshadow[:] = 0

    @property
    def action_size(self) -> int:
        return int(self._environment.action_spec().shape[0])

    @property
    def step_seconds(self) -> float:
        """Simulated seconds of one agent step."""
        return float(self._environment.control_timestep()) * self.config.action_repeat

    def reset(self) -> TimeStep:
        self._environment.reset()
        return self._observe(reward=0.0)

    def step(self, action: np.ndarray) -> TimeStep:
        reward = 0.0
        for _ in range(self.config.action_repeat):
            reward += float(self._environment.step(action).reward)
        return self._observe(reward)

    def _observe(self, reward: float) -> TimeStep:
        physics = self._environment.physics
        return TimeStep(
            frame=self._frame(),
            reward=reward,
            joint_angles=physics.data.qpos[2:].copy(),
            velocities=physics.data.qvel.copy(),
        )

    def _frame(self) -> np.ndarray:
        size, factor = self.config.size, self.config.supersample
        colour = self._environment.physics.render(
            size * factor, size * factor, camera_id=0,
            render_flag_overrides={"shadow": False, "reflection": False},
        )  # fmt: skip
        grey = (colour @ GREY_WEIGHTS).reshape(size, factor, size, factor).mean(axis=(1, 3))
        return np.round(grey).astype(np.uint8)
