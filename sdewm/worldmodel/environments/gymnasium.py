"""Any Gymnasium environment with bounded continuous actions."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from sdewm.worldmodel.config import Config
from sdewm.worldmodel.environments.images import as_observation
from sdewm.worldmodel.environments.protocol import TimeStep
from sdewm.worldmodel.environments.registry import register


def is_gymnasium(environment: object) -> bool:
    """Whether it is an environment of Gymnasium; no need to import it to know that none is."""
    gymnasium = sys.modules.get("gymnasium")
    return gymnasium is not None and isinstance(environment, gymnasium.Env)


class GymnasiumEnvironment:
    """A Gymnasium environment, seen as its observation's vector or as an image.

    A state is the observation, flattened as ``gymnasium.spaces.flatten`` does. An image is the observation where that
    is one (height, width, 3) of uint8, else what ``render`` returns; it is resized to ``config.image_size``. Actions in
    [−1, 1] are stretched to the bounds of the action space. ``terminated`` is terminal, ``truncated`` is a time limit.

    Raises
    ------
    ValueError : actions are not bounded and continuous, or observations are neither numbers nor images.
    """

    def __init__(self, environment: Any, config: Config) -> None:
        from gymnasium import spaces

        self._environment, self._spaces = environment, spaces
        actions, observations = environment.action_space, environment.observation_space
        if not isinstance(actions, spaces.Box) or not actions.is_bounded():
            raise ValueError(f"task: expected bounded continuous actions, got {actions}")
        self._low, self._high = actions.low.astype(float).ravel(), actions.high.astype(float).ravel()
        self.action_size, self.action_repeat = int(self._low.size), config.action_repeat
        self._size, self._channels = config.image_size, config.channels
        self._pixels = config.observation == "pixels"
        self._seen = isinstance(observations, spaces.Box) and observations.dtype == np.uint8
        if self._pixels:
            self.observation_shape: tuple[int, ...] = (self._channels, self._size, self._size)
            if not self._seen and environment.render_mode != "rgb_array":
                raise ValueError(
                    f"task: expected an environment with render_mode='rgb_array', got {environment.render_mode!r}"
                )
        elif self._seen:
            raise ValueError("observation: expected pixels for an environment that observes images, got state")
        elif not observations.is_np_flattenable:
            raise ValueError(f"observation: expected a space that can be flattened to a vector, got {observations}")
        else:
            self.observation_shape = (int(spaces.flatdim(observations)),)

    @staticmethod
    def of(name: str, config: Config) -> GymnasiumEnvironment:
        """The environment that Gymnasium calls ``name``; ``ValueError`` where it knows none, or cannot make it."""
        try:
            import gymnasium
        except ImportError as error:
            raise ImportError(
                "Gymnasium's environments need an optional package: pip install 'sdewm[gymnasium]'"
            ) from error
        try:
            environment = gymnasium.make(name, render_mode="rgb_array" if config.observation == "pixels" else None)
        except gymnasium.error.Error as error:
            raise ValueError(
                f"task: expected an environment that Gymnasium can make, got {name!r} ({error})"
            ) from error
        return GymnasiumEnvironment(environment, config)

    def reset(self, seed: int) -> TimeStep:
        observation, _ = self._environment.reset(seed=seed)
        return TimeStep(self._observe(observation), 0.0, False, False)

    def step(self, action: Float[np.ndarray, " actions"]) -> TimeStep:
        space = self._environment.action_space
        within = self._low + (np.asarray(action, float) + 1) / 2 * (self._high - self._low)
        total, terminated, truncated = 0.0, False, False
        for _ in range(self.action_repeat):
            observation, reward, terminated, truncated, _ = self._environment.step(
                within.reshape(space.shape).astype(space.dtype)
            )
            total += float(reward)
            if terminated or truncated:
                break
        return TimeStep(self._observe(observation), total, bool(terminated), bool(terminated or truncated))

    def render(self, size: int) -> UInt8[np.ndarray, "rows rows 3"]:
        """An image (size, size, 3) uint8; ``ImportError`` where the environment draws none."""
        if self._environment.render_mode != "rgb_array":
            raise ImportError("pictures need an environment that was made with render_mode='rgb_array'")
        return _resized(self._environment.render(), size)

    def _observe(self, observation: Any) -> np.ndarray:
        if not self._pixels:
            flat = self._spaces.flatten(self._environment.observation_space, observation)
            return np.asarray(flat, np.float32)
        colour = _resized(observation if self._seen else self._environment.render(), self._size)
        return as_observation(colour, self._channels)


def _resized(image: Any, size: int) -> np.ndarray:
    return np.asarray(Image.fromarray(np.asarray(image)).resize((size, size), Image.Resampling.BOX))


register("gymnasium:", lambda config: GymnasiumEnvironment.of(config.task.partition(":")[2], config))
