"""Episodes, played."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from sdewm import arguments
from sdewm.worldmodel.environments import Environment, EnvironmentFailure, Policy, TimeStep, check_step
from sdewm.worldmodel.replay import Episode, to_episode


def play(
    environment: Environment, policy: Policy, seed: int, *, watch: Callable[[TimeStep], None] | None = None
) -> Episode:
    """One episode, as the replay's records. ``watch`` is given every step as it comes.

    :class:`EnvironmentFailure` where the environment raises anything, or returns what it may not.
    """
    arguments.function("policy", policy, "(observation)")
    seed = arguments.integer("seed", seed, 0)
    steps, actions = [_guarded(environment, environment.reset, seed)], []
    while True:
        if watch is not None:
            watch(steps[-1])
        if steps[-1].last:
            break
        actions.append(policy(steps[-1].observation))
        steps.append(_guarded(environment, environment.step, actions[-1]))
    if not actions:
        raise EnvironmentFailure("reset: expected an episode of at least one step, got one that is over at once")
    return to_episode(steps, actions)


def random_policy(action_size: int, seed: int) -> Policy:
    """Actions uniform in [−1, 1], independent."""
    action_size = arguments.integer("action_size", action_size, 1)
    rng = np.random.default_rng(arguments.integer("seed", seed, 0))
    return lambda observation: rng.uniform(-1, 1, action_size).astype(np.float32)


def _guarded(environment: Environment, call: Callable[[Any], TimeStep], argument: Any) -> TimeStep:
    try:
        step = call(argument)
    except Exception as error:
        raise EnvironmentFailure(f"{type(error).__name__}: {error}") from error
    return check_step(environment, step)
