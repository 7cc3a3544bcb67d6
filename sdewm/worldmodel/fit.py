"""Train an agent on a fixed replay: nothing is collected, so that runs that differ in a setting have the same data.

Runs of one seed draw the same batches and the same noise, so that they are compared in pairs. A run's folder is that of
:mod:`sdewm.worldmodel.train` without a replay of its own, and its checkpoint is read by the same functions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sdewm.worldmodel.agent import Agent, Learner
from sdewm.worldmodel.checkpoint import CheckpointError
from sdewm.worldmodel.config import Config
from sdewm.worldmodel.environments import check_observations
from sdewm.worldmodel.logs import Log
from sdewm.worldmodel.prediction import open_loop_error, windows
from sdewm.worldmodel.replay import Replay, same_episodes
from sdewm.worldmodel.run_folder import RunFolder
from sdewm.worldmodel.runs import Clock, Progress, finite, resume, save
from sdewm.worldmodel.world_model import WorldModel

CONTEXT, HORIZON = 10, 30  # steps of a held-out window that are seen, and that are then predicted
SCORED = (1, 5, 15, 30)  # steps ahead


def split(folder: Path | str, heldout: int) -> tuple[list[int], list[int]]:
    """Numbers of the episodes in a replay's folder: all but the last ``heldout``, and those."""
    numbers = sorted(int(file.stem) for file in Path(folder).glob("*.npy"))
    if not 0 < heldout < len(numbers):
        raise ValueError(
            f"heldout: expected 1 or more, less than the {len(numbers)} episodes in {folder}, got {heldout}"
        )
    return numbers[:-heldout], numbers[-heldout:]


def fit(
    run: Path | str,
    config: Config,
    replay: Path | str,
    *,
    heldout: int,
    updates: int,
    report: Callable[[dict[str, Any]], None] | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Agent:
    """Do ``updates`` updates on the episodes in the folder ``replay`` but the last ``heldout``, in the folder ``run``.

    A run found there is resumed from its checkpoint, bitwise. Of the configuration's schedule the intervals count:
    every ``evaluate_every`` updates there is a line "heldout" of :func:`heldout_scores`. The replay is only read.
    ``report`` is given every line of metrics. ``stop`` is asked between updates; once it says yes, the checkpoint is
    written and the agent returned as it is.

    Raises
    ------
    ValueError : the episodes do not fit the configuration, or not each other; or the folder ``run`` holds something
        else than a run.
    RunInUse, CheckpointError : as :func:`sdewm.worldmodel.train`; also for a run that was fitted to other
        episodes, and for an episode that is damaged.
    """
    numbers, last = split(replay, heldout)
    source = Replay(replay, config.capacity)
    episodes = {number: source.episode(number) for number in (*numbers, *last)}
    record = episodes[numbers[0]].dtype
    if any(episode.dtype != record for episode in episodes.values()):
        raise ValueError(f"replay: expected episodes of one environment, got several kinds in {replay}")
    shape, (action_size,) = record["observation"].shape, record["action"].shape
    check_observations(shape, config)
    source.hold(numbers)
    learner = Learner(config, shape, action_size)
    with RunFolder(run) as folder:
        return _fit(folder, learner, source, [episodes[number] for number in last], updates, report, stop)


def _fit(
    folder: RunFolder,
    learner: Learner,
    source: Replay,
    heldout: Sequence[np.ndarray],
    updates: int,
    report: Callable[[dict[str, Any]], None] | None,
    stop: Callable[[], bool],
) -> Agent:
    config, model, progress = learner.config, learner.agent.world_model, Progress(offline=True)
    if folder.checkpoint.exists():
        progress = resume(folder, learner, offline=True)
        if not same_episodes(progress.replay, source.index):
            raise CheckpointError(
                f"{folder.checkpoint}: was fitted to other episodes than the first {len(source.index)} in "
                f"{source.folder}"
            )
    else:
        model.fit_observations(source.observations())
    log = Log(folder.path, report, resumed=progress.metrics_bytes, update=progress.update)
    clock = Clock(progress)

    while progress.update < updates and not stop():
        metrics = finite(learner.update(source.sample(config.batch, config.length, learner.generator)))
        progress.update += 1
        measured = {"seconds": clock.seconds, "cpu_seconds": clock.cpu_seconds}
        if progress.update % config.log_every == 0:
            log.write("train", progress.update, metrics | measured)
        if config.evaluate_every and progress.update % config.evaluate_every == 0:
            scores = heldout_scores(model, heldout)
            log.write("heldout", progress.update, scores | measured)
        if progress.update % config.checkpoint_every == 0:
            save(folder, learner, source, progress, clock, log)
    save(folder, learner, source, progress, clock, log)
    log.close()
    return learner.agent


@torch.no_grad()
def heldout_scores(model: WorldModel, episodes: Sequence[np.ndarray]) -> dict[str, float]:
    """The objective's parts on windows of episodes, z at the posterior's mean, and the error of open loops.

    ``open_N``: of :func:`open_loop_error`, N steps after :data:`CONTEXT` observations seen; ``held_N``: of the last of
    these, left where it is. All in nats per step.
    """
    batch = windows(episodes, CONTEXT + HORIZON, model.latent_spread.dtype)
    noise = model.latent_spread.new_zeros(*batch.rewards.shape, model.config.stoch)
    rollout = model.observe(batch.observations, batch.actions, batch.first, noise)
    scores = {name: float(part.mean()) for name, part in model.terms(batch, rollout)._asdict().items()}
    error = open_loop_error(model, batch, CONTEXT)
    for n in SCORED:
        scores |= {f"open_{n}": float(error.predicted[n - 1]), f"held_{n}": float(error.held[n - 1])}
    return scores
