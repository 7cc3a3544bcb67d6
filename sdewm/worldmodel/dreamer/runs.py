"""A run's folder: its checkpoint, its place in the loop and its clock; what collecting and offline training share."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from sdewm.worldmodel.checkpoint import CheckpointError, load_checkpoint, save_checkpoint, with_prefix
from sdewm.worldmodel.dreamer.agent import Agent, Learner
from sdewm.worldmodel.dreamer.config import Config
from sdewm.worldmodel.dreamer.logs import Log
from sdewm.worldmodel.dreamer.replay import Replay

KIND = "dreamer-1"  # of checkpoint
# What may be changed when a run is taken up: how long it goes on, and what leaves its course as it is.
CHANGEABLE = ("frames", "log_every", "evaluate_every", "evaluate_episodes", "checkpoint_every", "max_failures")


@dataclass
class Progress:
    """Where a run is in its loop."""

    update: int = 0
    owed: float = 0.0  # updates that the episodes played so far have paid for and that are not done
    attempts: int = 0  # episodes begun
    episodes: int = 0  # episodes in the replay, dropped ones included
    frames: int = 0
    discarded: int = 0
    failed_in_a_row: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    metrics_bytes: int = 0
    offline: bool = False  # fitted to a fixed replay
    replay: list[tuple[int, int]] = field(default_factory=list)


def load_agent(path: Path | str) -> Agent:
    """The agent of a run's folder, or of its checkpoint file, frozen; :class:`CheckpointError` for anything else."""
    path = Path(path)
    path = path / "checkpoint.safetensors" if path.is_dir() else path
    tensors, metadata = load_checkpoint(path)
    agent = Agent(*_description(path, metadata))
    try:
        agent.load_state_dict(with_prefix(tensors, "agent."))
    except RuntimeError as error:
        raise CheckpointError(f"{path}: does not hold the agent that it describes ({error})") from error
    return agent.requires_grad_(False)


def configuration(path: Path | str) -> Config:
    """The configuration that a checkpoint's run was trained with."""
    config, _, _ = _description(Path(path), load_checkpoint(path)[1])
    return config


class Clock:
    """Seconds of a run: of all its parts, and of ``part``, this one."""

    def __init__(self, progress: Progress) -> None:
        self._began, self._before = time.perf_counter(), progress.seconds
        self._cpu_began, self._cpu_before = time.process_time(), progress.cpu_seconds

    @property
    def part(self) -> float:
        return max(time.perf_counter() - self._began, 1e-9)

    @property
    def seconds(self) -> float:
        return round(self._before + self.part, 1)

    @property
    def cpu_seconds(self) -> float:
        """Of all threads: what a run costs, whatever else the machine does."""
        return round(self._cpu_before + time.process_time() - self._cpu_began, 1)


def finite(metrics: dict[str, Tensor]) -> dict[str, float]:
    """An update's metrics as numbers; ``FloatingPointError`` where one is none."""
    values = {name: float(value) for name, value in metrics.items()}
    bad = [name for name, value in values.items() if not np.isfinite(value)]
    if bad:
        raise FloatingPointError(
            f"training: expected finite numbers, got others in {', '.join(bad)}; the last checkpoint is from before"
        )
    return values


def save(path: Path, learner: Learner, replay: Replay, progress: Progress, clock: Clock, log: Log) -> None:
    """Write a run's checkpoint; where it cannot be written, :class:`CheckpointError`, and the one before is intact."""
    progress.seconds, progress.cpu_seconds = clock.seconds, clock.cpu_seconds
    progress.metrics_bytes, progress.replay = log.size, list(replay.index)
    model = learner.agent.world_model
    metadata = {
        "kind": KIND,
        "config": learner.config.as_dict(),
        "observation_shape": list(model.observation_shape),
        "action_size": model.action_size,
        "progress": asdict(progress),
    }
    try:
        save_checkpoint(path, learner.tensors(), metadata)
    except OSError as error:
        raise CheckpointError(
            f"{path}: cannot be written ({error}); the checkpoint before it is intact: the run can be taken up there"
        ) from error


def take_up(path: Path, learner: Learner, *, offline: bool) -> Progress:
    """Put a checkpoint's state into the learner; return the place in the loop.

    :class:`CheckpointError` for the checkpoint of another environment, of other settings, or of the other way of
    training: a run that collects cannot go on ``offline``, nor the reverse.
    """
    tensors, metadata = load_checkpoint(path)
    theirs, shape, actions = _description(path, metadata)
    progress = Progress(**metadata["progress"])
    if progress.offline != offline:
        ways = ("collects its episodes", "was fitted to a fixed replay")
        raise CheckpointError(f"{path}: the run {ways[progress.offline]}, and can only go on so")
    model = learner.agent.world_model
    if (shape, actions) != (model.observation_shape, model.action_size):
        raise CheckpointError(
            f"{path}: expected an environment with observations {shape} and {actions} actions, got "
            f"{model.observation_shape} and {model.action_size}"
        )
    ours = learner.config.as_dict()
    changed = sorted(n for n, v in theirs.as_dict().items() if n not in CHANGEABLE and v != ours[n])
    if changed:
        raise CheckpointError(f"{path}: was trained with other settings, differing in: {', '.join(changed)}")
    learner.restore(tensors, progress.update)
    return progress


def _description(path: Path, metadata: dict[str, Any]) -> tuple[Config, tuple[int, ...], int]:
    if metadata.get("kind") != KIND:
        raise CheckpointError(f"{path}: kind {metadata.get('kind')!r}; expected {KIND!r}, an agent's checkpoint")
    try:
        return Config.from_dict(metadata["config"]), tuple(metadata["observation_shape"]), metadata["action_size"]
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: does not describe an agent ({error})") from error
