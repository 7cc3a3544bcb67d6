"""Train an agent on fixed episodes: nothing is collected, so that runs that differ in a setting have the same data.

Runs of one seed draw the same batches and the same noise, so that they are compared in pairs.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from sdewm import arguments
from sdewm.worldmodel.agent import Agent
from sdewm.worldmodel.config import Config
from sdewm.worldmodel.environments import check_observations
from sdewm.worldmodel.learner import Learner
from sdewm.worldmodel.prediction import heldout_scores
from sdewm.worldmodel.replay import Replay, split
from sdewm.worldmodel.run import Run


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
    RunInUse, CheckpointError : as :class:`Run`; the latter also for an episode that is damaged.
    """
    updates = arguments.integer("updates", updates, 0)
    arguments.function("report", report, "(a dict)", optional=True)
    arguments.function("stop", stop, "nothing")
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
    model, kept = learner.agent.world_model, [episodes[number] for number in last]

    with Run(run, learner, source, report) as this:
        if this.new:
            model.fit_observations(source.observations())
        while this.progress.update < updates and not stop():
            metrics = this.update()
            update, measured = (
                this.progress.update,
                {"seconds": this.clock.seconds, "cpu_seconds": this.clock.cpu_seconds},
            )
            if update % config.log_every == 0:
                this.log("train", metrics | measured)
            if config.evaluate_every and update % config.evaluate_every == 0:
                this.log("heldout", heldout_scores(model, kept) | measured)
            if update % config.checkpoint_every == 0:
                this.save()
        this.save()
    return learner.agent
