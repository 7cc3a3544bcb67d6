"""Record episodes of a fixed behaviour into a replay's folder, one file each, as they finish."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from sdewm import arguments
from sdewm.files import make_folder
from sdewm.worldmodel.config import Config
from sdewm.worldmodel.environments import Environment, MakeEnvironment, Policy, check_spaces, make_environment
from sdewm.worldmodel.episodes import play, random_policy
from sdewm.worldmodel.gait import ScriptedGait
from sdewm.worldmodel.replay import episode_file, write_episode
from sdewm.worldmodel.seeds import derived_seed

Behaviour = Literal["random", "scripted-gait"]


def collect(
    folder: Path | str,
    config: Config,
    make: MakeEnvironment | None = None,
    *,
    count: int,
    behaviour: Behaviour = "random",
    seed: int = 0,
    report: Callable[[dict[str, Any]], None] | None = None,
) -> list[Path]:
    """Record ``count`` episodes as ``folder``/NNNNNN.npy, which :func:`fit` reads; return the files.

    ``make`` makes the environment, the one that the configuration names by default. ``behaviour`` is "random" or
    "scripted-gait" (:class:`ScriptedGait`, of dm_control's walker). An episode that is already there is kept, so that a
    recording that stopped can be taken up again: episode n depends on (``seed``, n) alone. ``report`` is called after
    each episode.

    Raises
    ------
    ValueError : environment, configuration and behaviour do not fit each other.
    EnvironmentFailure : the environment failed.
    """
    arguments.choice("behaviour", behaviour, get_args(Behaviour))
    count, seed = arguments.integer("count", count, 1), arguments.integer("seed", seed, 0)
    arguments.function("report", report, "(a dict)", optional=True)
    environment = (make or (lambda: make_environment(config)))()
    check_spaces(environment, config)
    make_folder(Path(folder))
    files = [episode_file(folder, number) for number in range(count)]
    for number, file in enumerate(files):
        if file.exists():
            continue
        own = derived_seed(seed, "record", number)
        episode = play(environment, _policy(behaviour, environment, own), own)
        write_episode(file, episode)
        if report is not None:
            total = float(episode["reward"].sum(dtype=np.float64))
            report({"episode": number, "return": total, "steps": len(episode) - 1, "file": str(file)})
    return files


def _policy(behaviour: Behaviour, environment: Environment, seed: int) -> Policy:
    return random_policy(environment.action_size, seed) if behaviour == "random" else ScriptedGait(environment, seed)
