"""Collect, train, log, evaluate, checkpoint: one loop, from top to bottom.

A run alternates: the agent plays one episode with what it has learned so far, then does the updates that the episode
pays for (one for ``train_every`` steps). So nothing of a simulator is open when a checkpoint is written, and a run that
is taken up from its checkpoint goes on bitwise as if it had not stopped (one thread, one machine).

A run's folder:

    checkpoint.safetensors   weights, optimizers, random state, and the run's place in the loop
    replay/NNNNNN.npy        one episode each
    metrics.jsonl            one JSON object a line; what is measured in seconds is not repeatable, the rest is
    tensorboard/             where tensorboard is installed
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sdewm.worldmodel.checkpoint import CheckpointError, load_checkpoint, save_checkpoint, with_prefix
from sdewm.worldmodel.dreamer.agent import Agent, Learner
from sdewm.worldmodel.dreamer.config import Config
from sdewm.worldmodel.dreamer.environments import (
    EnvironmentFailure,
    MakeEnvironment,
    check_spaces,
    make_environment,
)
from sdewm.worldmodel.dreamer.episodes import derived_seed, evaluate, play, random_policy
from sdewm.worldmodel.dreamer.errors import EncoderError
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
    replay: list[tuple[int, int]] = field(default_factory=list)


def train(
    run: Path | str,
    config: Config,
    make: MakeEnvironment | None = None,
    *,
    report: Callable[[dict[str, Any]], None] | None = None,
) -> Agent:
    """Train to ``config.frames`` frames in the folder ``run``; a run found there is taken up from its checkpoint.

    ``make`` makes the environment, the one that the configuration names by default. ``report`` is given
    every line of metrics.

    Raises
    ------
    ValueError : environment and configuration do not fit.
    CheckpointError : the checkpoint is damaged, foreign or of other settings, or it cannot be written (then the one
        before is intact).
    EnvironmentFailure : the environment failed in ``config.max_failures`` episodes in a row.
    """
    run = Path(run)
    run.mkdir(parents=True, exist_ok=True)
    make = make or (lambda: make_environment(config))
    environment = make()
    check_spaces(environment, config)
    learner = Learner(config, environment.observation_shape, environment.action_size)
    agent, error = learner.agent, EncoderError.of(config)
    replay, progress = Replay(run / "replay", config.capacity), Progress()
    checkpoint = run / "checkpoint.safetensors"
    if checkpoint.exists():
        progress = _take_up(checkpoint, learner)
    replay.restore(progress.replay)
    log = Log(run, report, taken_up=progress.metrics_bytes, update=progress.update)
    clock = _Clock(progress, config.frames)

    while progress.frames < config.frames or progress.owed >= 1:
        if progress.owed < 1:
            # Collect an episode. Its seed depends on the run's and on its number alone.
            seed = derived_seed(config.seed, "collect", progress.attempts)
            progress.attempts += 1
            random = progress.episodes < config.prefill
            policy = (
                random_policy(environment.action_size, seed)
                if random
                else agent.policy(explore=True, error=error, seed=seed)
            )
            try:
                episode = play(environment, policy, seed)
            except EnvironmentFailure as failure:
                progress.discarded += 1
                progress.failed_in_a_row += 1
                log.write("discarded", progress.update, {"reason": str(failure), "discarded": progress.discarded})
                if progress.failed_in_a_row >= config.max_failures:
                    raise EnvironmentFailure(
                        f"{progress.failed_in_a_row} episodes in a row failed; the last: {failure}"
                    ) from failure
                environment = make()
                continue
            replay.add(progress.episodes, episode)
            steps = len(episode) - 1
            progress.failed_in_a_row = 0
            progress.episodes += 1
            progress.frames += steps * config.action_repeat
            if not random:
                progress.owed += steps / config.train_every
            elif progress.episodes == config.prefill:
                agent.world_model.fit_observations(_observations(replay))
                progress.owed += config.pretrain
            line = {"return": float(episode["reward"].sum(dtype=np.float64)), "steps": steps, "random": random}
            log.write("episode", progress.update, line | clock.rates(progress))
            continue

        # One update.
        metrics = learner.update(replay.sample(config.batch, config.length, learner.generator))
        progress.update += 1
        progress.owed -= 1
        values = _finite({name: float(value) for name, value in metrics.items()})
        if progress.update % config.log_every == 0:
            log.write("train", progress.update, values | clock.rates(progress))
        if config.evaluate_every and progress.update % config.evaluate_every == 0:
            seed = derived_seed(config.seed, "evaluation", progress.update)
            result = evaluate(agent, make, episodes=config.evaluate_episodes, seed=seed, error=error)
            scores = {"return": result.estimate.mean, "discarded": result.discarded, "frames": progress.frames}
            log.write("evaluation", progress.update, scores)
        if progress.update % config.checkpoint_every == 0:
            _save(checkpoint, learner, replay, progress, clock, log)
    _save(checkpoint, learner, replay, progress, clock, log)
    log.close()
    return agent


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


class _Clock:
    """Seconds of a run over all its parts, frames per second of this one, and the time that is left at that pace."""

    def __init__(self, progress: Progress, frames: int) -> None:
        self._began, self._before, self._frames = time.perf_counter(), progress.seconds, frames
        self._cpu_began, self._cpu_before = time.process_time(), progress.cpu_seconds
        self._first_frame = progress.frames

    @property
    def seconds(self) -> float:
        return round(self._before + time.perf_counter() - self._began, 1)

    @property
    def cpu_seconds(self) -> float:
        """Of all threads: what a run costs, whatever else the machine does."""
        return round(self._cpu_before + time.process_time() - self._cpu_began, 1)

    def rates(self, progress: Progress) -> dict[str, Any]:
        pace = (progress.frames - self._first_frame) / max(time.perf_counter() - self._began, 1e-9)
        return {
            "episodes": progress.episodes,
            "frames": progress.frames,
            "seconds": self.seconds,
            "cpu_seconds": self.cpu_seconds,
            "frames_per_second": round(pace, 1),
            "seconds_left": round(max(self._frames - progress.frames, 0) / max(pace, 1e-9)),
        }


def _observations(replay: Replay) -> torch.Tensor:
    return torch.from_numpy(np.concatenate([replay.episode(number)["observation"] for number, _ in replay.index]))


def _finite(metrics: dict[str, float]) -> dict[str, float]:
    bad = [name for name, value in metrics.items() if not np.isfinite(value)]
    if bad:
        raise FloatingPointError(
            f"training: expected finite numbers, got others in {', '.join(bad)}; the last checkpoint is from before"
        )
    return metrics


def _save(path: Path, learner: Learner, replay: Replay, progress: Progress, clock: _Clock, log: Log) -> None:
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
    replay.tidy()


def _take_up(path: Path, learner: Learner) -> Progress:
    """Put a checkpoint's state into the learner; return the place in the loop."""
    tensors, metadata = load_checkpoint(path)
    theirs, shape, actions = _description(path, metadata)
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
    progress = Progress(**metadata["progress"])
    learner.restore(tensors, progress.update)
    return progress


def _description(path: Path, metadata: dict[str, Any]) -> tuple[Config, tuple[int, ...], int]:
    if metadata.get("kind") != KIND:
        raise CheckpointError(f"{path}: kind {metadata.get('kind')!r}; expected {KIND!r}, an agent's checkpoint")
    try:
        return Config.from_dict(metadata["config"]), tuple(metadata["observation_shape"]), metadata["action_size"]
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: does not describe an agent ({error})") from error
