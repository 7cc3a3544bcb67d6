"""Environments by the name that a task has; each file of this folder enters its own."""

from __future__ import annotations

from collections.abc import Callable

from sdewm.worldmodel.config import Config
from sdewm.worldmodel.environments.protocol import Environment

Make = Callable[[Config], Environment]
ENVIRONMENTS: dict[str, Make] = {}


def register(name: str, make: Make) -> None:
    """Let ``make(config)`` be had as ``--task name``; with a colon at its end, as every task that begins with it.

    Raises ``ValueError`` if the name is taken.

    >>> register("pendulum", lambda config: Pendulum(config.action_repeat))
    """
    if name in ENVIRONMENTS:
        raise ValueError(f"name: expected one that no environment has yet, got {name!r}")
    ENVIRONMENTS[name] = make


def registered(task: str) -> Make | None:
    """What makes the task's environment, where one of that name is entered."""
    return ENVIRONMENTS.get(task) or ENVIRONMENTS.get(task.partition(":")[0] + ":")


def tasks() -> str:
    """The names for a sentence: "gymnasium:…, point-mass"."""
    return ", ".join(name + "…" * name.endswith(":") for name in sorted(ENVIRONMENTS))
