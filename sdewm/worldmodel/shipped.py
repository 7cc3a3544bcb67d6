"""The agents that ship with the package."""

from __future__ import annotations

import json
from importlib.resources import as_file, files
from typing import Any

import numpy as np

from sdewm.worldmodel.agent import Agent
from sdewm.worldmodel.replay import Episode
from sdewm.worldmodel.saved_agent import load_agent

DATA = files("sdewm.worldmodel") / "data"
WALKER = "walker_walk"
LEAN, LEAN_REGULARIZED = "cartpole_balance_jacobian_0", "cartpole_balance_jacobian_1"


def load_trained(name: str = WALKER) -> tuple[Agent, list[Episode]]:
    """An agent that ships, in float64 and frozen, and the records of episodes that it never trained on.

    - :data:`WALKER`: the preset "walker", a small model of pixels that imitates a scripted gait; and the ends of its
      ladder of Jacobian regularization, such as "walker_walk_jacobian_10_seed_0" with λ = 10, see
      :mod:`sdewm.worldmodel.ladder`;
    - :data:`LEAN` and :data:`LEAN_REGULARIZED`: a pair of agents, λ = 0 and 1, with the same seed, data and noise.

    ``ValueError`` for a name that does not ship. Needs neither dm_control nor a renderer.

    Example: ``agent, episodes = load_trained(); batch = to_sequences(episodes[0][None], torch.float64)``, and
    ``agent.as_sde(batch.observations[0])`` is the model as the SDE (5)–(8).
    """
    known = sorted(e.name.removesuffix(".safetensors") for e in DATA.iterdir() if e.name.endswith(".safetensors"))
    if name not in known:
        raise ValueError(f"name: expected one of {', '.join(known)}, got {name!r}")
    with as_file(DATA / f"{name}.safetensors") as path:
        agent = load_agent(path)
    with as_file(DATA / f"{_task(name)}_heldout.npz") as path, np.load(path, allow_pickle=False) as arrays:
        episodes = [arrays[entry] for entry in sorted(arrays.files)]
    return agent.double(), episodes


def training_metrics(name: str = WALKER) -> list[dict[str, Any]]:
    """The lines of metrics of the runs that an agent ships of; each says its ``weight`` where there are several."""
    text = (DATA / f"{_task(name)}_training.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def _task(name: str) -> str:
    return name.partition("_jacobian_")[0]
