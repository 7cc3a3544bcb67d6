"""A run's folder: its checkpoint, its place in the loop and its clock; what collecting and offline training share."""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from sdewm.worldmodel.agent import Agent, Learner
from sdewm.worldmodel.checkpoint import CheckpointError, load_checkpoint, restored, save_checkpoint, with_prefix
from sdewm.worldmodel.config import Config
from sdewm.worldmodel.logs import Log
from sdewm.worldmodel.replay import Held, Replay
from sdewm.worldmodel.run_folder import RunFolder

KIND = "dreamer-1"  # of checkpoint
# What may be changed when a run is resumed: how long it goes on, and what leaves its course as it is.
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
    damaged: int = 0  # episodes that were found damaged or missing when the run was resumed
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    metrics_bytes: int = 0
    offline: bool = False  # fitted to a fixed replay
    replay: list[Held] = field(default_factory=list)

    @staticmethod
    def from_dict(values: Any) -> Progress:
        """From a checkpoint's metadata; ``ValueError`` where a name or a type is not as above."""
        known: dict[str, Any] = {f.name: type(f.default) for f in fields(Progress) if f.name != "replay"}
        if not isinstance(values, dict) or not values.keys() <= known.keys() | {"replay"}:
            raise ValueError(f"progress: expected an object with the names {', '.join(known)} and replay, got {values}")
        for name, kind in known.items():
            value = values.get(name, kind())
            right = type(value) is kind or (kind is float and type(value) is int)
            if not right or not math.isfinite(value) or value < 0:
                raise ValueError(f"progress: {name}: expected {kind.__name__} of at least 0, got {value!r}")
        replay = values.get("replay", [])
        whole = all(
            isinstance(entry, list) and len(entry) in (2, 3) and all(type(v) is int and v >= 0 for v in entry)
            for entry in (replay if isinstance(replay, list) else [None])
        )
        if not whole:
            raise ValueError("progress: replay: expected number, length and checksum of each episode")
        return Progress(**(values | {"replay": [Held(*entry) for entry in replay]}))


def load_agent(path: Path | str) -> Agent:
    """The agent of a run's folder, or of its checkpoint file, frozen; :class:`CheckpointError` for anything else."""
    path = Path(path)
    path = path / "checkpoint.safetensors" if path.is_dir() else path
    tensors, metadata = load_checkpoint(path)
    description = _description(path, metadata)
    return restored(path, lambda: Agent(*description), with_prefix(tensors, "agent.")).requires_grad_(False)


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


def save(folder: RunFolder, learner: Learner, replay: Replay, progress: Progress, clock: Clock, log: Log) -> None:
    """Write a run's checkpoint; where it cannot be written, :class:`CheckpointError`, and the one before is intact."""
    progress.seconds, progress.cpu_seconds = clock.seconds, clock.cpu_seconds
    progress.metrics_bytes, progress.replay = log.sync(), list(replay.index)
    model = learner.agent.world_model
    metadata = {
        "kind": KIND,
        "config": learner.config.as_dict(),
        "observation_shape": list(model.observation_shape),
        "action_size": model.action_size,
        "progress": asdict(progress),
    }
    try:
        save_checkpoint(folder.checkpoint, learner.tensors(), metadata)
        folder.saved()
    except OSError as error:
        raise CheckpointError(
            f"{folder.checkpoint}: cannot be written ({error}); the checkpoint before it is intact, and the run can be "
            "resumed from there"
        ) from error


def resume(folder: RunFolder, learner: Learner, *, offline: bool) -> Progress:
    """Put the state of the run's checkpoint into the learner; return the place in the loop.

    :class:`CheckpointError` for the checkpoint of another environment, of other settings, or of the other way of
    training: a run that collects cannot go on ``offline``, nor the reverse.
    """
    path = folder.checkpoint
    try:
        tensors, metadata = load_checkpoint(path)
    except CheckpointError as error:
        raise CheckpointError(f"{error}; {folder.what_is_left()}") from error
    theirs, shape, actions = _description(path, metadata)
    try:
        progress = Progress.from_dict(metadata.get("progress"))
    except ValueError as error:
        raise CheckpointError(f"{path}: {error}") from error
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
        config, shape, actions = (metadata[name] for name in ("config", "observation_shape", "action_size"))
        if not isinstance(shape, list) or len(shape) not in (1, 3):
            raise ValueError(f"observation_shape: expected one or three sizes, got {shape}")
        if not all(type(size) is int and size > 0 for size in (*shape, actions)):
            raise ValueError(f"observation_shape, action_size: expected positive whole numbers, got {shape}, {actions}")
        return Config.from_dict(config), tuple(shape), actions
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(f"{path}: does not describe an agent ({error})") from error
