"""A point mass that needs nothing but numpy."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, UInt8

from sdewm import arguments
from sdewm.worldmodel.config import Config
from sdewm.worldmodel.environments.protocol import TimeStep
from sdewm.worldmodel.environments.registry import register


class PointMass:
    """A point on the line pushed by one force: x'' = a − ½ x', reward e^{−8x²} per frame, 0.1 s per frame.

    Leaving [−2, 2] is terminal; 40 frames are the time limit. The state is (x, x'); with ``size`` > 0 the observation
    is an image (1, size, size) instead, a bright blob at x, which does not show the velocity.
    """

    frames = 40

    def __init__(self, size: int = 0, action_repeat: int = 1) -> None:
        self.size, self.action_repeat = (
            arguments.integer("size", size, 0),
            arguments.integer("action_repeat", action_repeat, 1),
        )
        self.action_size = 1
        self.observation_shape: tuple[int, ...] = (1, size, size) if size else (2,)
        self._position = self._velocity = 0.0
        self._frame = 0

    def reset(self, seed: int) -> TimeStep:
        rng = np.random.default_rng(seed)
        self._position, self._velocity, self._frame = rng.uniform(-1, 1), 0.0, 0
        return TimeStep(self._observe(), 0.0, False, False)

    def step(self, action: Float[np.ndarray, " actions"]) -> TimeStep:
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
        return TimeStep(self._observe(), reward, terminal, last)

    def render(self, size: int) -> UInt8[np.ndarray, "rows rows 3"]:
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


def _make(config: Config) -> PointMass:
    return PointMass(config.image_size if config.observation == "pixels" else 0, config.action_repeat)


register("point-mass", _make)
