"""An environment from a function of the user's, named ``MODULE:FUNCTION``."""

from __future__ import annotations

import importlib

from sdewm.worldmodel.config import Config
from sdewm.worldmodel.environments.gymnasium import GymnasiumEnvironment, is_gymnasium
from sdewm.worldmodel.environments.protocol import Environment


def from_function(config: Config) -> Environment:
    """What the function named by ``config.task`` makes of the configuration.

    Raises
    ------
    ValueError : there is no such function, or what it returns is no environment.
    ImportError : the module cannot be imported.
    """
    module, _, name = config.task.partition(":")
    make = getattr(importlib.import_module(module), name, None) if module else None
    if not callable(make):
        raise ValueError(f"task: expected MODULE:FUNCTION, got {config.task!r}; {module!r} has no function {name!r}")
    environment = make(config)
    if is_gymnasium(environment):
        return GymnasiumEnvironment(environment, config)
    missing = [
        part
        for part in ("observation_shape", "action_size", "action_repeat", "reset", "step")
        if not hasattr(environment, part)
    ]
    if missing:
        raise ValueError(
            f"task: expected {config.task} to return an Environment or a Gymnasium environment, got "
            f"{type(environment).__name__} without {', '.join(missing)}"
        )
    return environment
