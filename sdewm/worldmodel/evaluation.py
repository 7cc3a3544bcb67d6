"""How well an agent does: returns of episodes, clean or perturbed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from sdewm import arguments
from sdewm.estimate.estimates import Estimate
from sdewm.worldmodel.agent import Agent
from sdewm.worldmodel.encoder_error import EncoderError
from sdewm.worldmodel.environments import Environment, EnvironmentFailure, MakeEnvironment
from sdewm.worldmodel.episodes import play
from sdewm.worldmodel.perturbations import Perturbation, seen_through
from sdewm.worldmodel.seeds import derived_seed


@dataclass(frozen=True)
class Evaluation:
    """The sums of rewards of episodes, one seed each, and how many episodes were discarded."""

    returns: tuple[float, ...]
    discarded: int
    seed: int

    @property
    def estimate(self) -> Estimate:
        """Mean and standard error over episodes; of one episode the error is not known (nan)."""
        n = len(self.returns)
        stderr = float(np.std(self.returns, ddof=1) / n**0.5) if n > 1 else float("nan")
        return Estimate(float(np.mean(self.returns)), stderr, n, max(n - 1, 1), self.seed)


def evaluate(
    agent: Agent,
    make: MakeEnvironment,
    *,
    count: int,
    seed: int,
    error: EncoderError | None = None,
    perturbation: Perturbation | None = None,
    report: Callable[[dict[str, Any]], None] | None = None,
) -> Evaluation:
    """Play ``count`` episodes with the actor's mode and z at its posterior's mean.

    Episode n's seed depends on (seed, n) alone, and with it the start, the encoder's ``error`` (given μ, σ²: the noise)
    and the noise of the ``perturbation``: agents evaluated at one seed meet the same. An episode in which the
    environment fails is discarded and counted; after as many in a row as the configuration allows,
    :class:`EnvironmentFailure`. ``ValueError`` where the environment's spaces are not the agent's.
    """
    arguments.function("make", make, "nothing")
    count, seed = arguments.integer("count", count, 1), arguments.integer("seed", seed, 0)
    arguments.function("perturbation", perturbation, "(image, rng)", optional=True)
    arguments.function("report", report, "(a dict)", optional=True)
    error = EncoderError() if error is None else error
    arguments.instance("error", error, EncoderError, "EncoderError(kind, …)")
    environment = make()
    check_agent(environment, agent)
    returns: list[float] = []
    number = discarded = in_a_row = 0
    while len(returns) < count:
        episode_seed = derived_seed(seed, "evaluate", number)
        number += 1
        policy = agent.policy(explore=False, error=error, seed=episode_seed)
        if perturbation is not None:
            policy = seen_through(perturbation, policy, episode_seed)
        try:
            episode = play(environment, policy, episode_seed)
        except EnvironmentFailure as failure:
            discarded, in_a_row = discarded + 1, in_a_row + 1
            if in_a_row >= agent.config.max_failures:
                raise EnvironmentFailure(f"{in_a_row} episodes in a row failed; the last: {failure}") from failure
            environment = make()
            continue
        in_a_row = 0
        returns.append(float(episode["reward"].sum(dtype=np.float64)))
        if report is not None:
            report({"episode": number - 1, "return": returns[-1], "steps": len(episode) - 1})
    return Evaluation(tuple(returns), discarded, seed)


def check_agent(environment: Environment, agent: Agent) -> None:
    """The environment's observations and actions are the agent's, or ``ValueError``."""
    model = agent.world_model
    ours, theirs = (
        (model.observation_shape, model.action_size),
        (environment.observation_shape, environment.action_size),
    )
    if (tuple(theirs[0]), theirs[1]) != ours:
        raise ValueError(
            f"environment: expected observations {ours[0]} and {ours[1]} actions as the agent's, got {theirs[0]} and "
            f"{theirs[1]}"
        )
