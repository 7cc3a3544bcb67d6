"""Collect, train, log, evaluate, checkpoint: one loop, from top to bottom.

A run alternates: the agent plays one episode with what it has learned so far, then does the updates that the episode
pays for (one for ``train_every`` steps). So nothing of a simulator is open when a checkpoint is written, and a run that
is resumed from its checkpoint goes on bitwise as if it had not stopped (one thread, one machine).

A run's folder:

    run.json                 says that the folder is a run's
    checkpoint.safetensors   weights, optimizers, random state, and the run's place in the loop
    replay/NNNNNN.npy        one episode each
    metrics.jsonl            one JSON object a line; what is measured in seconds is not repeatable, the rest is
    tensorboard/             where tensorboard is installed
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from sdewm.worldmodel.agent import Agent, Learner
from sdewm.worldmodel.config import Config
from sdewm.worldmodel.encoder_error import EncoderError
from sdewm.worldmodel.environments import (
    Environment,
    EnvironmentFailure,
    MakeEnvironment,
    check_spaces,
    make_environment,
)
from sdewm.worldmodel.episodes import evaluate, play, random_policy
from sdewm.worldmodel.logs import Log
from sdewm.worldmodel.replay import Replay
from sdewm.worldmodel.run_folder import RunFolder
from sdewm.worldmodel.runs import Clock, Progress, finite, resume, save
from sdewm.worldmodel.seeds import derived_seed


def train(
    run: Path | str,
    config: Config,
    make: MakeEnvironment | None = None,
    *,
    report: Callable[[dict[str, Any]], None] | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Agent:
    """Train to ``config.frames`` frames in the folder ``run``; a run found there is resumed from its checkpoint.

    ``make`` makes the environment, the one that the configuration names by default. ``report`` is given
    every line of metrics. ``stop`` is asked between episodes and between updates; once it says yes, the checkpoint is
    written and the agent returned as it is. An episode that is found damaged is left out, with a line "damaged" in the
    metrics.

    Raises
    ------
    ValueError : environment and configuration do not fit, or the folder holds something else than a run.
    RunInUse : another process is training in the folder.
    CheckpointError : the checkpoint is missing, damaged, foreign or of other settings, or it cannot be written (then
        the one before is intact).
    EnvironmentFailure : the environment failed in ``config.max_failures`` episodes in a row.
    """
    make = make or (lambda: make_environment(config))
    environment = make()
    check_spaces(environment, config)
    learner = Learner(config, environment.observation_shape, environment.action_size)
    with RunFolder(run) as folder:
        return _train(folder, learner, environment, make, report, stop)


def _train(
    folder: RunFolder,
    learner: Learner,
    environment: Environment,
    make: MakeEnvironment,
    report: Callable[[dict[str, Any]], None] | None,
    stop: Callable[[], bool],
) -> Agent:
    config, agent = learner.config, learner.agent
    error, progress = EncoderError.of(config), Progress()
    if folder.checkpoint.exists():
        progress = resume(folder, learner, offline=False)
    replay = Replay(folder.replay, config.capacity)
    damaged = replay.restore(progress.replay)
    log = Log(folder.path, report, resumed=progress.metrics_bytes, update=progress.update)
    for reason in damaged:
        progress.damaged += 1
        log.write("damaged", progress.update, {"reason": reason, "damaged": progress.damaged})
    clock, first_frame = Clock(progress), progress.frames

    def rates() -> dict[str, Any]:
        pace = (progress.frames - first_frame) / clock.part
        return {
            "episodes": progress.episodes,
            "frames": progress.frames,
            "seconds": clock.seconds,
            "cpu_seconds": clock.cpu_seconds,
            "frames_per_second": round(pace, 1),
            "seconds_left": round(max(config.frames - progress.frames, 0) / max(pace, 1e-9)),
        }

    def keep() -> None:
        save(folder, learner, replay, progress, clock, log)
        replay.tidy()

    while (progress.frames < config.frames or progress.owed >= 1) and not stop():
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
                agent.world_model.fit_observations(replay.observations())
                progress.owed += config.pretrain
            line = {"return": float(episode["reward"].sum(dtype=np.float64)), "steps": steps, "random": random}
            log.write("episode", progress.update, line | rates())
            continue

        # One update.
        metrics = learner.update(replay.sample(config.batch, config.length, learner.generator))
        progress.update += 1
        progress.owed -= 1
        values = finite(metrics)
        if progress.update % config.log_every == 0:
            log.write("train", progress.update, values | rates())
        if config.evaluate_every and progress.update % config.evaluate_every == 0:
            seed = derived_seed(config.seed, "evaluation", progress.update)
            result = evaluate(agent, make, episodes=config.evaluate_episodes, seed=seed, error=error)
            scores = {"return": result.estimate.mean, "discarded": result.discarded, "frames": progress.frames}
            log.write("evaluation", progress.update, scores)
        if progress.update % config.checkpoint_every == 0:
            keep()
    keep()
    log.close()
    return agent
