"""A scripted behaviour of dm_control's walker, to record episodes that a world model is fitted to."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Num

from sdewm.worldmodel.environments import DeepMindControl, Environment

GAIT_SEED = 42  # chosen by trial for a gait that keeps the walker moving
VELOCITIES_FROM = 8  # where the velocities begin in what the gait sees


class ScriptedGait:
    """A policy that keeps the walker moving most of the time: feedback, gait and exploration.

        a_t = clip( tanh(W o_t + b + A sin(2π f t + φ + ψ)) + n_t , −1, 1 )

    o_t holds the joints' sines, the torso's cosine and squashed velocities, read from the simulator and not from the
    observation. W, b, A, φ are drawn once from :data:`GAIT_SEED`; the gait's frequency f, its starting phase ψ and the
    strength of the Ornstein–Uhlenbeck noise n are drawn anew for each episode from ``seed``.

    Raises
    ------
    ValueError : the environment is no task of dm_control's walker.
    """

    def __init__(self, environment: Environment, seed: int) -> None:
        if not isinstance(environment, DeepMindControl) or environment.domain != "walker":
            raise ValueError("policy: expected a task of dm_control's walker for the scripted gait, got another task")
        self._environment, self._rng = environment, np.random.default_rng(seed)
        actions, fixed = environment.action_size, np.random.default_rng(GAIT_SEED)
        self._feedback = 0.5 * fixed.normal(size=(actions, len(self._seen())))
        self._feedback[:, VELOCITIES_FROM:] *= 0.4  # stronger velocity feedback thrashes
        self._bias = 0.3 * fixed.normal(size=actions)
        self._amplitude = 0.8 * fixed.uniform(0.3, 0.9, actions)
        self._phases = fixed.uniform(0, 2 * np.pi, actions)
        self._frequency = self._rng.uniform(0.5, 1.0)  # Hz
        self._start = self._rng.uniform(0, 2 * np.pi)
        self._noise_scale = self._rng.uniform(0.05, 0.25)  # stationary standard deviation
        self._noise = np.zeros(actions)
        self._time = 0.0

    def __call__(self, observation: Num[np.ndarray, "..."]) -> Float[np.ndarray, " actions"]:
        persistence = 0.9  # of the exploration noise, from one agent step to the next
        innovation = self._noise_scale * np.sqrt(1 - persistence**2)
        self._noise = persistence * self._noise + innovation * self._rng.normal(size=self._noise.shape)
        gait = np.sin(2 * np.pi * self._frequency * self._time + self._start + self._phases)
        drive = self._feedback @ self._seen() + self._bias + self._amplitude * gait
        self._time += self._environment.step_seconds
        return np.clip(np.tanh(drive) + self._noise, -1, 1).astype(np.float32)

    def _seen(self) -> np.ndarray:
        data = self._environment.physics.data
        angles, velocities = data.qpos[2:], data.qvel
        return np.concatenate([np.sin(angles), np.cos(angles[:1]), np.tanh(velocities / 5)])
