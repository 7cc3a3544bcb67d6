"""Record episodes of a scripted walker, one file each, written as they finish."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sdewm.worldmodel.files import write_whole
from sdewm.worldmodel.walker_environment import EnvironmentConfig, TimeStep, WalkerEnvironment

BEHAVIOUR_SEED = 42  # chosen by trial for a gait that keeps the walker moving
VELOCITIES_FROM = 8  # where the velocities begin in a behaviour observation


@dataclass(frozen=True)
class Episode:
    """Consecutive steps of one episode, index t = 0, 1, ….

    ``frames[t]`` (size, size) uint8 is seen at t; ``actions[t]`` (action_size,) float32 is chosen there and
    leads from t to t + 1; ``rewards[t]`` float32 is the reward collected on the way into t (0 at a reset).
    """

    frames: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray

    def __post_init__(self) -> None:
        if not len(self.frames) == len(self.actions) == len(self.rewards):
            raise ValueError(
                f"frames, actions and rewards differ in length: {len(self.frames)}, {len(self.actions)}, "
                f"{len(self.rewards)}"
            )

    def __len__(self) -> int:
        return len(self.frames)

    def window(self, start: int, stop: int) -> Episode:
        """The steps start, …, stop − 1."""
        return Episode(self.frames[start:stop], self.actions[start:stop], self.rewards[start:stop])


class ScriptedGait:
    """A behaviour policy that keeps the walker moving most of the time: feedback, gait and exploration.

        a_t = clip( tanh(W o_t + b + A sin(2π f t + φ + ψ)) + n_t , −1, 1 )

    o_t holds the joints' sines, the torso's cosine and squashed velocities. W, b, A, φ are drawn once from
    ``BEHAVIOUR_SEED``; the gait's frequency f, its starting phase ψ and the strength of the
    Ornstein–Uhlenbeck noise n are drawn anew for each episode from ``rng``.
    """

    def __init__(self, action_size: int, observation_size: int, step_seconds: float,
                 rng: np.random.Generator) -> None:  # fmt: skip
        fixed = np.random.default_rng(BEHAVIOUR_SEED)
        self._feedback = 0.5 * fixed.normal(size=(action_size, observation_size))
        self._feedback[:, VELOCITIES_FROM:] *= 0.4  # stronger velocity feedback thrashes
        self._bias = 0.3 * fixed.normal(size=action_size)
        self._amplitude = 0.8 * fixed.uniform(0.3, 0.9, action_size)
        self._phases = fixed.uniform(0, 2 * np.pi, action_size)
        self._frequency = rng.uniform(0.5, 1.0)  # Hz
        self._start = rng.uniform(0, 2 * np.pi)
        self._noise_scale = rng.uniform(0.05, 0.25)  # stationary standard deviation
        self._noise = np.zeros(action_size)
        self._rng = rng
        self._step_seconds = step_seconds
        self._time = 0.0

    def __call__(self, step: TimeStep) -> np.ndarray:
        persistence = 0.9  # of the exploration noise, from one agent step to the next
        innovation = self._noise_scale * np.sqrt(1 - persistence**2)
        self._noise = persistence * self._noise + innovation * self._rng.normal(size=self._noise.shape)
        gait = np.sin(2 * np.pi * self._frequency * self._time + self._start + self._phases)
        drive = self._feedback @ behaviour_observation(step) + self._bias + self._amplitude * gait
        self._time += self._step_seconds
        return np.clip(np.tanh(drive) + self._noise, -1, 1).astype(np.float32)


def behaviour_observation(step: TimeStep) -> np.ndarray:
    """Joint sines, the torso's cosine and squashed velocities, one vector."""
    angles, velocities = step.joint_angles, step.velocities
    return np.concatenate([np.sin(angles), np.cos(angles[:1]), np.tanh(velocities / 5)])


def record(
    out: Path | str,
    *,
    episodes: int,
    steps: int,
    seed: int = 0,
    config: EnvironmentConfig | None = None,
    report: Callable[[dict[str, Any]], None] | None = None,
) -> list[Path]:
    """Record ``episodes`` × ``steps`` agent steps into ``out``/episode_NNNN.npz; return the files.

    Every file is complete or absent: it is written aside and renamed when its episode has finished, and an
    episode already there is kept, so that a recording that stopped can be taken up again. Episode n depends
    on (seed, n) alone. ``report`` is called after each episode with its number, steps, mean reward and file.
    """
    config = config or EnvironmentConfig()
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    files = [out / f"episode_{number:04d}.npz" for number in range(episodes)]
    for number, file in enumerate(files):
        if file.exists():
            continue
        environment_seed, behaviour = np.random.SeedSequence([seed, number]).spawn(2)
        environment = WalkerEnvironment(config, seed=int(environment_seed.generate_state(1)[0]))
        step = environment.reset()
        policy = ScriptedGait(
            environment.action_size, len(behaviour_observation(step)), environment.step_seconds,
            np.random.default_rng(behaviour),
        )  # fmt: skip
        seen, actions = [step], [policy(step)]
        for _ in range(steps - 1):
            seen.append(environment.step(actions[-1]))
            actions.append(policy(seen[-1]))
        episode = Episode(
            frames=np.stack([s.frame for s in seen]),
            actions=np.stack(actions),
            rewards=np.array([s.reward for s in seen], np.float32),
        )
        save_episodes(file, [episode], config.as_dict() | {"step_seconds": environment.step_seconds})
        if report:
            mean_reward = float(episode.rewards.mean())
            report({"episode": number, "steps": steps, "mean_reward": mean_reward, "file": str(file)})
    return files


def save_episodes(path: Path | str, episodes: list[Episode], environment: dict[str, Any]) -> None:
    """Write episodes and the environment's configuration into one compressed .npz, atomically."""
    arrays = {"environment": np.array(json.dumps(environment))}
    for number, episode in enumerate(episodes):
        arrays[f"frames_{number}"] = episode.frames
        arrays[f"actions_{number}"] = episode.actions
        arrays[f"rewards_{number}"] = episode.rewards
    write_whole(path, lambda stream: np.savez_compressed(stream, **arrays))  # type: ignore[arg-type]


def load_episodes(path: Path | str) -> tuple[list[Episode], dict[str, Any]]:
    """Read what :func:`save_episodes` wrote: the episodes and the environment's configuration."""
    with np.load(path, allow_pickle=False) as arrays:
        environment = json.loads(str(arrays["environment"]))
        count = sum(name.startswith("frames_") for name in arrays.files)
        episodes = [
            Episode(arrays[f"frames_{n}"], arrays[f"actions_{n}"], arrays[f"rewards_{n}"]) for n in range(count)
        ]
    return episodes, environment
