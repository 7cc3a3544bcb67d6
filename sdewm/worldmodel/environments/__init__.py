"""What an agent acts in, by name: a task of dm_control, a Gymnasium environment, a function of one's own."""

from __future__ import annotations

import importlib
import pkgutil

from sdewm.worldmodel.config import Config
from sdewm.worldmodel.environments.dm_control import DeepMindControl
from sdewm.worldmodel.environments.gymnasium import GymnasiumEnvironment
from sdewm.worldmodel.environments.named import from_function
from sdewm.worldmodel.environments.point_mass import PointMass
from sdewm.worldmodel.environments.protocol import (
    Environment,
    EnvironmentFailure,
    MakeEnvironment,
    Policy,
    Renderable,
    TimeStep,
    check_observations,
    check_spaces,
    check_step,
)
from sdewm.worldmodel.environments.registry import register, registered

__all__ = [
    "DeepMindControl",
    "Environment",
    "EnvironmentFailure",
    "GymnasiumEnvironment",
    "MakeEnvironment",
    "PointMass",
    "Policy",
    "Renderable",
    "TimeStep",
    "check_observations",
    "check_spaces",
    "check_step",
    "make_environment",
    "needs_code",
    "register",
]

for _module in pkgutil.iter_modules(__path__):  # each enters what it has; a file that is put here is found
    importlib.import_module(f"{__name__}.{_module.name}")


def make_environment(config: Config) -> Environment:
    """The environment that ``config.task`` names.

    One that is registered, such as ``point-mass`` or ``gymnasium:ID``; else ``MODULE:FUNCTION``, a function of yours
    that is given the configuration and returns an :class:`Environment` or a Gymnasium environment; else
    ``DOMAIN-TASK``, a task of dm_control's suite.

    Raises
    ------
    ValueError : nothing has that name, or its spaces are not ones that can be learned from.
    ImportError : the package that it needs is not installed.
    """
    make = registered(config.task)
    if make is not None:
        return make(config)
    if ":" in config.task:
        return from_function(config)
    return DeepMindControl(config)


def needs_code(task: str) -> bool:
    """Whether making the task's environment imports a module that the task names."""
    return ":" in task and registered(task) is None
