"""What an agent acts in, by name: a task of dm_control, a Gymnasium environment, a function of one's own."""

from __future__ import annotations

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
    Step,
    check_observations,
    check_spaces,
    check_step,
)

__all__ = [
    "DeepMindControl",
    "Environment",
    "EnvironmentFailure",
    "GymnasiumEnvironment",
    "MakeEnvironment",
    "PointMass",
    "Policy",
    "Renderable",
    "Step",
    "check_observations",
    "check_spaces",
    "check_step",
    "make_environment",
    "needs_code",
]

GYMNASIUM = "gymnasium:"


def make_environment(config: Config) -> Environment:
    """The environment that ``config.task`` names.

    ``point-mass``; ``DOMAIN-TASK``, a task of dm_control's suite; ``gymnasium:ID``, an environment that Gymnasium
    knows; ``MODULE:FUNCTION``, a function of yours that is given the configuration and returns an
    :class:`Environment` or a Gymnasium environment.

    Raises
    ------
    ValueError : nothing has that name, or its spaces are not ones that can be learned from.
    ImportError : the package that it needs is not installed.
    """
    if config.task == "point-mass":
        return PointMass(config.image_size if config.observation == "pixels" else 0, config.action_repeat)
    if config.task.startswith(GYMNASIUM):
        return GymnasiumEnvironment.of(config.task.removeprefix(GYMNASIUM), config)
    if ":" in config.task:
        return from_function(config)
    return DeepMindControl(config)


def needs_code(task: str) -> bool:
    """Whether making the task's environment imports a module that the task names."""
    return ":" in task.removeprefix(GYMNASIUM)
