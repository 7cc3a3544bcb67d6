"""A training run: its folder and lock, its checkpoint, its place in the loop, its log and its clock.

A run's folder:

    run.json                 says that the folder is a run's
    checkpoint.safetensors   weights, optimizers, random state, and the run's place in the loop
    replay/NNNNNN.npy        one episode each, where the run collects them
    metrics.jsonl            one JSON object a line; what is measured in seconds is not repeatable, the rest is
    tensorboard/             where tensorboard is installed
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from torch import Tensor

from sdewm.worldmodel.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from sdewm.worldmodel.clock import Clock
from sdewm.worldmodel.learner import Learner
from sdewm.worldmodel.logs import Log
from sdewm.worldmodel.progress import Progress
from sdewm.worldmodel.replay import Replay, same_episodes, step_dtype
from sdewm.worldmodel.run_folder import RunFolder
from sdewm.worldmodel.saved_agent import description, read_description

# What may be changed when a run is resumed: how long it goes on, and what leaves its course as it is.
CHANGEABLE = ("frames", "log_every", "evaluate_every", "evaluate_episodes", "checkpoint_every", "max_failures")


class Run:
    """A run in the folder ``path``, while it is entered; one that is found there is resumed from its checkpoint.

    ``given`` are the episodes that a run is fitted to, which are only read; without them it has a replay of its own. An
    episode of its own that is found damaged is left out, with a line "damaged" in the metrics. ``report`` is given
    every line of metrics.

    Raises
    ------
    ValueError : the folder holds something else than a run.
    RunInUse : another process is training in the folder.
    CheckpointError : the checkpoint is missing, damaged, foreign, of other settings or of other episodes.
    """

    progress: Progress
    replay: Replay
    clock: Clock
    new: bool  # it was not resumed

    def __init__(
        self,
        folder: Path | str,
        learner: Learner,
        given: Replay | None = None,
        report: Callable[[dict[str, Any]], None] | None = None,
    ) -> None:
        self._folder, self._learner, self._given, self._report = RunFolder(folder), learner, given, report

    def __enter__(self) -> Run:
        self._folder.__enter__()
        try:
            self._begin()
        except BaseException:
            self._folder.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._log.close()
        self._folder.__exit__(kind, error, trace)

    def log(self, kind: str, metrics: dict[str, Any]) -> None:
        """Write a line of metrics."""
        self._log.write(kind, self.progress.update, metrics)

    def update(self) -> dict[str, float]:
        """One update on a batch of the replay; its metrics. ``FloatingPointError`` where one is no finite number."""
        config, learner = self._learner.config, self._learner
        metrics = _finite(learner.update(self.replay.sample(config.batch, config.length, learner.generator)))
        self.progress.update += 1
        return metrics

    def save(self) -> None:
        """Write the checkpoint; where it cannot be written, :class:`CheckpointError`, and the one before is intact."""
        progress, path = self.progress, self._folder.checkpoint
        progress.seconds, progress.cpu_seconds = self.clock.seconds, self.clock.cpu_seconds
        progress.metrics_bytes, progress.replay = self._log.sync(), list(self.replay.index)
        metadata = description(self._learner.agent) | {"progress": asdict(progress)}
        try:
            save_checkpoint(path, self._learner.tensors(), metadata)
            self._folder.saved()
        except OSError as error:
            raise CheckpointError(
                f"{path}: cannot be written ({error}); the checkpoint before it is intact, and the run can be resumed "
                "from there"
            ) from error
        if self._given is None:
            self.replay.tidy()

    def _begin(self) -> None:
        self.new = not self._folder.checkpoint.exists()
        self.progress = Progress(offline=self._given is not None) if self.new else self._resume()
        damaged: list[str] = []
        if self._given is not None:
            self.replay = self._given
            if not self.new and not same_episodes(self.progress.replay, self.replay.index):
                raise CheckpointError(
                    f"{self._folder.checkpoint}: was fitted to other episodes than the first {len(self.replay.index)} "
                    f"in {self.replay.folder}"
                )
        else:
            self.replay = Replay(self._folder.replay, self._learner.config.capacity)
            model = self._learner.agent.world_model
            record = step_dtype(model.observation_shape, model.action_size)
            damaged = self.replay.restore(self.progress.replay, record)
        self._log = Log(
            self._folder.path, self._report, resumed=self.progress.metrics_bytes, update=self.progress.update
        )
        for reason in damaged:
            self.progress.damaged += 1
            self.log("damaged", {"reason": reason, "damaged": self.progress.damaged})
        self.clock = Clock(self.progress)

    def _resume(self) -> Progress:
        """Put the state of the checkpoint into the learner; return the place in the loop."""
        path, learner = self._folder.checkpoint, self._learner
        try:
            tensors, metadata = load_checkpoint(path)
        except CheckpointError as error:
            raise CheckpointError(f"{error}; {self._folder.what_is_left()}") from error
        theirs, shape, actions = read_description(path, metadata)
        try:
            progress = Progress.from_dict(metadata.get("progress"))
        except ValueError as error:
            raise CheckpointError(f"{path}: {error}") from error
        if progress.offline != (self._given is not None):
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


def _finite(metrics: dict[str, Tensor]) -> dict[str, float]:
    values = {name: float(value) for name, value in metrics.items()}
    bad = [name for name, value in values.items() if not np.isfinite(value)]
    if bad:
        raise FloatingPointError(
            f"training: expected finite numbers, got others in {', '.join(bad)}; the last checkpoint is from before"
        )
    return values
