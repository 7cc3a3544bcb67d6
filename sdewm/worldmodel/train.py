"""Collect, train, log, evaluate, checkpoint: one loop, from top to bottom.

A run alternates: the agent plays one episode with what it has learned so far, then does the updates that the episode
pays for (one for ``train_every`` steps). So nothing of a simulator is open when a checkpoint is written, and a run that
is resumed from its checkpoint goes on bitwise as if it had not stopped (one thread, one machine).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from sdewm.worldmodel.agent import Agent
from sdewm.worldmodel.config import Config
from sdewm.worldmodel.encoder_error import EncoderError
from sdewm.worldmodel.environments import (
    EnvironmentFailure,
    MakeEnvironment,
    Policy,
    check_spaces,
    make_environment,
)
from sdewm.worldmodel.episodes import play, random_policy
from sdewm.worldmodel.evaluation import evaluate
from sdewm.worldmodel.learner import Learner
from sdewm.worldmodel.run import Run
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

    ``make`` makes the environment, the one that the configuration names by default. ``report`` is given every line of
    metrics. ``stop`` is asked between episodes and between updates; once it says yes, the checkpoint is written and the
    agent returned as it is.

    Raises
    ------
    ValueError : environment and configuration do not fit, or the actor learns by imitation, which needs episodes of
        others (see :func:`fit`); or the folder holds something else than a run.
    RunInUse, CheckpointError : as :class:`Run`; the latter also where the checkpoint cannot be written.
    EnvironmentFailure : the environment failed in ``config.max_failures`` episodes in a row.
    """
    if config.behaviour == "imitation":
        raise ValueError(
            "behaviour: expected imagination to collect and learn, got imitation, which is for `sdewm fit`"
        )
    make = make or (lambda: make_environment(config))
    environment = make()
    check_spaces(environment, config)
    learner = Learner(config, environment.observation_shape, environment.action_size)
    agent, error = learner.agent, EncoderError.of(config)

    def policy(random: bool, seed: int) -> Policy:
        if random:
            return random_policy(environment.action_size, seed)
        return agent.policy(explore=True, error=error, seed=seed)

    with Run(run, learner, report=report) as this:
        progress, first_frame = this.progress, this.progress.frames

        def rates() -> dict[str, Any]:
            pace = (progress.frames - first_frame) / this.clock.part
            return {
                "episodes": progress.episodes,
                "frames": progress.frames,
                "seconds": this.clock.seconds,
                "cpu_seconds": this.clock.cpu_seconds,
                "frames_per_second": round(pace, 1),
                "seconds_left": round(max(config.frames - progress.frames, 0) / max(pace, 1e-9)),
            }

        while (progress.frames < config.frames or progress.owed >= 1) and not stop():
            if progress.owed < 1:
                # Collect an episode. Its seed depends on the run's and on its number alone.
                seed = derived_seed(config.seed, "collect", progress.attempts)
                progress.attempts += 1
                random = progress.episodes < config.prefill
                try:
                    episode = play(environment, policy(random, seed), seed)
                except EnvironmentFailure as failure:
                    progress.discarded += 1
                    progress.failed_in_a_row += 1
                    this.log("discarded", {"reason": str(failure), "discarded": progress.discarded})
                    if progress.failed_in_a_row >= config.max_failures:
                        raise EnvironmentFailure(
                            f"{progress.failed_in_a_row} episodes in a row failed; the last: {failure}"
                        ) from failure
                    environment = make()
                    continue
                this.replay.add(progress.episodes, episode)
                steps = len(episode) - 1
                progress.failed_in_a_row = 0
                progress.episodes += 1
                progress.frames += steps * config.action_repeat
                if not random:
                    progress.owed += steps / config.train_every
                elif progress.episodes == config.prefill:
                    agent.world_model.fit_observations(this.replay.observations())
                    progress.owed += config.pretrain
                line = {"return": float(episode["reward"].sum(dtype=np.float64)), "steps": steps, "random": random}
                this.log("episode", line | rates())
                continue

            # One update.
            metrics = this.update()
            progress.owed -= 1
            if progress.update % config.log_every == 0:
                this.log("train", metrics | rates())
            if config.evaluate_every and progress.update % config.evaluate_every == 0:
                seed = derived_seed(config.seed, "evaluation", progress.update)
                result = evaluate(agent, make, count=config.evaluate_episodes, seed=seed, error=error)
                scores = {"return": result.estimate.mean, "discarded": result.discarded, "frames": progress.frames}
                this.log("evaluation", scores)
            if progress.update % config.checkpoint_every == 0:
                this.save()
        this.save()
    return agent
