"""What an agent acts in: the protocol, and the checks of what an environment returns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Num, UInt8

from sdewm.worldmodel.config import Config


class TimeStep(NamedTuple):
    """What an environment returns at one time.

    ``observation``: float32 of a state, uint8 of an image (channels first); ``reward``: collected on the way here, 0 at
    a reset; ``terminal``: no reward will follow, and the value here is 0; ``last``: the episode is over, be it that a
    terminal state or a time limit was reached.
    """

    observation: Num[np.ndarray, "..."]
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

    def reset(self, seed: int) -> TimeStep: ...

    def step(self, action: Float[np.ndarray, " actions"]) -> TimeStep: ...


@runtime_checkable
class Renderable(Protocol):
    """An environment that can show itself: an image (size, size, 3) uint8."""

    def render(self, size: int) -> UInt8[np.ndarray, "rows rows 3"]: ...


MakeEnvironment = Callable[[], Environment]
Policy = Callable[
    [
        Num[np.ndarray, "..."],
    ],
    Float[np.ndarray, " actions"],
]  # observation to action, within one episode


class EnvironmentFailure(Exception):
    """An environment died, or returned what no environment may return."""


def check_step(environment: Environment, step: TimeStep) -> TimeStep:
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
    return TimeStep(observation, reward, bool(step.terminal), bool(step.last) or bool(step.terminal))


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
