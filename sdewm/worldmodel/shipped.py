"""The agents that ship with the package, and how runs are written so that they ship."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import numpy as np

from sdewm.files import write_text, write_whole
from sdewm.worldmodel.agent import Agent
from sdewm.worldmodel.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from sdewm.worldmodel.replay import Episode, Replay, split
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


def release(
    runs: Sequence[Path | str], name: str, replay: Path | str, heldout: int, out: Path | str, *, half: bool = False
) -> list[Path]:
    """Write runs of :func:`fit` as package data: agents, held-out episodes, metrics; returns the files.

    One run is written as ``name``; several as ``name``_jacobian_λ, with _seed_N where they differ in that. The agents
    are written without what only training needs, in float32, or rounded to float16 with ``half``.
    :class:`CheckpointError` unless the runs are alike but for λ and the seed.
    """
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    found = [(Path(run), *load_checkpoint(Path(run) / "checkpoint.safetensors")) for run in runs]
    configs = [metadata["config"] for _, _, metadata in found]
    which = [(config["jacobian_weight"], config["seed"]) for config in configs]
    alike = [
        (
            metadata["config"] | {"jacobian_weight": 0, "seed": 0},
            metadata["progress"]["update"],
            metadata["progress"]["replay"],
        )
        for _, _, metadata in found
    ]
    if len(set(which)) < len(which) or any(a != alike[0] for a in alike):
        raise CheckpointError(f"runs: expected runs alike but for λ and the seed, got {', '.join(map(str, runs))}")
    seeds, lines, paths = {seed for _, seed in which}, [], []
    for (weight, seed), (run, tensors, metadata) in sorted(zip(which, found, strict=True), key=lambda pair: pair[0]):
        ending = "" if len(runs) == 1 else f"_jacobian_{weight:g}" + (f"_seed_{seed}" if len(seeds) > 1 else "")
        paths.append(out / f"{name}{ending}.safetensors")
        agent = {k: t.half() if half else t for k, t in tensors.items() if k.startswith("agent.")}
        save_checkpoint(paths[-1], agent, metadata)
        own = {} if len(runs) == 1 else {"weight": weight, "seed": seed}
        lines += [own | json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    _, last = split(replay, heldout)
    source = Replay(replay, capacity=1)
    paths += [out / f"{name}_heldout.npz", out / f"{name}_training.jsonl"]
    episodes: dict[str, Any] = {f"episode_{number:06d}": source.episode(number) for number in last}
    write_whole(paths[-2], lambda stream: np.savez_compressed(stream, **episodes))
    text = "".join(json.dumps(line) + "\n" for line in lines)
    write_text(paths[-1], text)
    return paths


def _task(name: str) -> str:
    return name.partition("_jacobian_")[0]
