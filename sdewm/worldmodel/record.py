"""Episodes of an agent, written with their videos."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from sdewm.worldmodel.agent import Agent
from sdewm.worldmodel.encoder_error import EncoderError
from sdewm.worldmodel.environments import MakeEnvironment, Renderable, TimeStep
from sdewm.worldmodel.episodes import play
from sdewm.worldmodel.evaluation import check_agent
from sdewm.worldmodel.pictures import ENLARGED, picture, prediction_video, write_gif
from sdewm.worldmodel.replay import write_episode
from sdewm.worldmodel.seeds import derived_seed


def record(
    agent: Agent,
    make: MakeEnvironment,
    out: Path | str,
    *,
    count: int,
    seed: int = 0,
    video: bool = True,
    prediction: int | None = None,
    report: Callable[[dict[str, Any]], None] | None = None,
) -> None:
    """Play ``count`` episodes with the actor's mode, and write each to the folder ``out``.

    As episode_NNNN.npy and, with ``video``, as .gif. ``prediction``: after so many images seen, the rest is predicted,
    and written as prediction_NNNN.gif, truth and open loop side by side. Episodes are seeded as those of
    :func:`evaluate`. ``report`` is called after each.

    Raises
    ------
    ValueError : the environment's spaces are not the agent's.
    EnvironmentFailure : the environment failed.
    """
    out, environment = Path(out), make()
    check_agent(environment, agent)
    out.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        episode_seed = derived_seed(seed, "evaluate", number)
        pictures: list[np.ndarray] = []

        def watch(step: TimeStep, pictures: list[np.ndarray] = pictures) -> None:
            if agent.world_model.images and video:
                pictures.append(picture(step.observation))
            elif isinstance(environment, Renderable) and video:
                pictures.append(environment.render(ENLARGED))

        policy = agent.policy(explore=False, error=EncoderError.of(agent.config), seed=episode_seed)
        episode = play(environment, policy, episode_seed, watch=watch)
        name = f"{number:04d}"
        write_episode(out / f"episode_{name}.npy", episode)
        if video:
            write_gif(out / f"episode_{name}.gif", pictures)
        if prediction is not None:
            write_gif(out / f"prediction_{name}.gif", prediction_video(agent.world_model, episode, prediction))
        if report is not None:
            report({"episode": number, "return": float(episode["reward"].sum()), "steps": len(episode) - 1})
