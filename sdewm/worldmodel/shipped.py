"""The agents that ship with the package: a pair from pixels, one of them trained with Jacobian regularization.

Both were fitted to one fixed replay (:mod:`sdewm.worldmodel.fit`) with the same seed, so that they saw the
same batches and the same noise, and differ in the weight λ of the penalty (20) alone.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np

from sdewm.worldmodel.agent import Agent
from sdewm.worldmodel.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from sdewm.worldmodel.fit import split
from sdewm.worldmodel.replay import Replay
from sdewm.worldmodel.runs import load_agent

NAME = "cartpole_balance"
WEIGHT = 1.0  # λ of the regularized one


def agent_name(weight: float) -> str:
    """The name of a shipped agent's file, less its ending."""
    return f"{NAME}_jacobian_{weight:g}"


def load_lean(*, jacobian: bool = False) -> tuple[Agent, list[np.ndarray]]:
    """An agent that ships, in float64 and frozen, and the records of episodes that it never trained on.

    ``jacobian``: the one trained with the penalty (20), λ = :data:`WEIGHT`, else the one without. Needs neither
    dm_control nor a renderer.

    Example: ``agent, episodes = load_lean(); batch = to_sequences(episodes[0][None], torch.float64)``, and
    ``agent.as_sde(batch.observations[0])`` is the model as the SDE (5)–(8).
    """
    data = files("sdewm.worldmodel") / "data"
    with as_file(data / f"{agent_name(WEIGHT if jacobian else 0.0)}.safetensors") as path:
        agent = load_agent(path)
    with as_file(data / f"{NAME}_heldout.npz") as path, np.load(path, allow_pickle=False) as arrays:
        episodes = [arrays[name] for name in sorted(arrays.files)]
    return agent.double(), episodes


def training_metrics() -> list[dict]:
    """The lines of metrics of both runs; each says its ``weight``."""
    text = (files("sdewm.worldmodel") / "data" / f"{NAME}_training.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def release_pair(runs: Sequence[Path], replay: Path | str, heldout: int, out: Path | str) -> list[Path]:
    """Write two runs of :func:`fit` as package data: agents, held-out episodes, metrics; returns the files.

    The agents are written as they are, in float32, without what only training needs. :class:`CheckpointError` unless
    the runs differ in λ alone, which is 0 and :data:`WEIGHT`.
    """
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    found = {}
    for run in runs:
        tensors, metadata = load_checkpoint(Path(run) / "checkpoint.safetensors")
        found[metadata["config"]["jacobian_weight"]] = (Path(run), tensors, metadata)
    same = [
        (m["config"] | {"jacobian_weight": None}, m["progress"]["update"], m["progress"]["replay"])
        for _, _, m in found.values()
    ]
    if set(found) != {0.0, WEIGHT} or same[0] != same[1]:
        raise CheckpointError(f"expected two runs alike but for λ = 0 and {WEIGHT:g}, got {[str(r) for r in runs]}")
    paths, lines = [], []
    for weight, (run, tensors, metadata) in sorted(found.items()):
        paths.append(out / f"{agent_name(weight)}.safetensors")
        save_checkpoint(paths[-1], {k: t for k, t in tensors.items() if k.startswith("agent.")}, metadata)
        lines += [{"weight": weight} | json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    _, last = split(replay, heldout)
    source = Replay(replay, capacity=1)
    paths += [out / f"{NAME}_heldout.npz", out / f"{NAME}_training.jsonl"]
    episodes = {f"episode_{number:06d}": source.episode(number) for number in last}
    np.savez_compressed(paths[-2], **episodes)  # type: ignore[arg-type]
    paths[-1].write_text("".join(json.dumps(line) + "\n" for line in lines))
    return paths
