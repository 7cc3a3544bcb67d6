"""Runs written as package data, so that their agents ship; :mod:`sdewm.worldmodel.shipped` reads them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sdewm.files import write_text, write_whole
from sdewm.worldmodel.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from sdewm.worldmodel.replay import Replay, split


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
