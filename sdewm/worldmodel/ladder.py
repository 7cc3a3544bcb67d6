"""World models that were trained alike but for the weight λ of the Jacobian penalty: a ladder of λ over several seeds.

Runs of one seed start from the same weights and see the same batches and the same latent noise, whatever λ, so that
they are compared in pairs; the seed is the statistical unit. What is measured of a run is measured of its weights in
float16, which is how the models ship. The shipped record holds every run, the shipped models a part of them.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from sdewm.estimate.estimates import Estimate
from sdewm.worldmodel.checkpoint import load_checkpoint
from sdewm.worldmodel.files import write_whole
from sdewm.worldmodel.robustness import measure
from sdewm.worldmodel.walker_checkpoint import load_model, save_model
from sdewm.worldmodel.walker_model import ModelConfig
from sdewm.worldmodel.walker_record import Episode
from sdewm.worldmodel.walker_train import TrainConfig, train

RECORD, TRAINING = "jacobian_ladder.jsonl", "jacobian_ladder_training.jsonl"
HELDOUT = "walker_walk"  # whose held-out windows belong to the ladder's models
SHIPPED_WEIGHTS, SHIPPED_SEEDS = (0.0, 10.0), range(5)


@dataclass(frozen=True)
class Rung:
    """One run: its λ, its seed, and what :func:`sdewm.worldmodel.robustness.measure` found."""

    weight: float
    seed: int
    measured: dict[str, float]


def run_name(weight: float, seed: int) -> str:
    """The name of a run's folder."""
    return f"weight_{weight:g}_seed_{seed}"


def model_name(weight: float, seed: int) -> str:
    """The name of a shipped run's model, for :func:`sdewm.worldmodel.load_trained`."""
    return f"{HELDOUT}_jacobian_{weight:g}_seed_{seed}"


def train_ladder(
    runs: Path | str,
    episodes: Sequence[Episode],
    heldout: Sequence[Episode],
    weights: Iterable[float],
    seeds: Iterable[int],
    config: TrainConfig,
    model_config: ModelConfig | None = None,
    *,
    environment: dict[str, Any] | None = None,
    report: Callable[[dict[str, Any]], None] | None = None,
) -> None:
    """Train a run for each seed and weight, one after another, each in its folder of ``runs``; resumes bitwise.

    ``config`` is theirs in all but ``seed`` and ``jacobian_weight``.
    """
    weights = tuple(weights)
    for seed in seeds:
        for weight in weights:
            own = TrainConfig(**(vars(config) | {"seed": seed, "jacobian_weight": weight}))
            folder = Path(runs) / run_name(weight, seed)
            train(folder, episodes, heldout, own, model_config, environment=environment, report=report)


def measure_run(folder: Path | str, episodes: Sequence[Episode]) -> dict[str, Any]:
    """Write a run's model in float16 beside its checkpoint, measure that, and keep what was found in measured.json.

    Returns {"weight", "seed", "updates", "measured"}; a run that was measured at this update is not measured again.
    """
    folder = Path(folder)
    model, metadata = load_model(folder / "checkpoint.safetensors")
    kept = folder / "measured.json"
    if kept.exists() and (line := json.loads(kept.read_text()))["updates"] == metadata["update"]:
        return line
    released = folder / "model.safetensors"
    provenance = {name: metadata[name] for name in ("train", "update", "environment")}
    save_model(released, model.half(), provenance | {"heldout": HELDOUT})
    rounded, _ = load_model(released)
    line = {
        "weight": metadata["train"]["jacobian_weight"],
        "seed": metadata["train"]["seed"],
        "updates": metadata["update"],
        "measured": measure(rounded.double().requires_grad_(False), episodes),
    }
    _write(kept, json.dumps(line))
    return line


def release_ladder(
    runs: Path | str, episodes: Sequence[Episode], out: Path | str,
    report: Callable[[dict[str, Any]], None] | None = None,
) -> list[Path]:  # fmt: skip
    """Measure every finished run of the folder, and write what ships; returns the files.

    ``out``/jacobian_ladder.jsonl has a line of :func:`measure_run` for each run, by weight, then by seed;
    ``out``/jacobian_ladder_training.jsonl all their metrics; and the models of :data:`SHIPPED_WEIGHTS` and
    :data:`SHIPPED_SEEDS` are written beside them in float16.
    """
    out, lines = Path(out), []
    out.mkdir(parents=True, exist_ok=True)
    for checkpoint in Path(runs).glob("weight_*/checkpoint.safetensors"):
        _, metadata = load_checkpoint(checkpoint)
        if metadata["update"] < metadata["train"]["updates"]:
            continue
        lines.append(measure_run(checkpoint.parent, episodes))
        if report:
            report(lines[-1])
    lines.sort(key=lambda line: (line["weight"], line["seed"]))
    training, paths = [], [out / RECORD, out / TRAINING]
    for line in lines:
        folder = Path(runs) / run_name(line["weight"], line["seed"])
        which = {"weight": line["weight"], "seed": line["seed"]}
        training += [which | json.loads(metrics) for metrics in (folder / "metrics.jsonl").read_text().splitlines()]
        if line["weight"] in SHIPPED_WEIGHTS and line["seed"] in SHIPPED_SEEDS:
            paths.append(out / f"{model_name(line['weight'], line['seed'])}.safetensors")
            shutil.copyfile(folder / "model.safetensors", paths[-1])
    _write(paths[0], "".join(json.dumps(line) + "\n" for line in lines))
    _write(paths[1], "".join(json.dumps(line) + "\n" for line in training))
    return paths


def read_record(path: Path | str | None = None) -> list[Rung]:
    """The rungs of a record, by default of the one that ships with the package."""
    source = files("sdewm.worldmodel") / "data" / RECORD if path is None else Path(path)
    lines = [json.loads(line) for line in source.read_text().splitlines()]
    return [Rung(line["weight"], line["seed"], line["measured"]) for line in lines]


def paired(
    record: Sequence[Rung], quantity: str, weight: float, of: Callable[[float], float] = math.log
) -> dict[int, float]:
    """{seed: of(X_λ) − of(X_0)} of a quantity, for every seed that has λ = ``weight`` and λ = 0."""
    regularized, plain = _by_seed(record, quantity, weight), _by_seed(record, quantity, 0.0)
    return {s: of(regularized[s]) - of(plain[s]) for s in sorted(regularized.keys() & plain.keys())}


def slopes(record: Sequence[Rung], x: str, y: str, of: Callable[[float], float] = float) -> dict[int, float]:
    """{seed: least-squares slope of of(y) on x over the weights that it was trained at}, at least two."""
    by_seed: dict[int, list[Rung]] = {}
    for r in record:
        by_seed.setdefault(r.seed, []).append(r)
    return {
        s: float(np.polyfit([r.measured[x] for r in by_seed[s]], [of(r.measured[y]) for r in by_seed[s]], 1)[0])
        for s in sorted(by_seed)
        if len(by_seed[s]) > 1
    }


def over_seeds(values: Iterable[float]) -> Estimate:
    """The mean over seeds, with the standard error and degrees of freedom of their number."""
    v = np.array(list(values))
    return Estimate(float(v.mean()), float(v.std(ddof=1) / math.sqrt(len(v))), len(v), len(v) - 1)


def _write(path: Path, text: str) -> None:
    write_whole(path, lambda stream: stream.write(text.encode()))


def _by_seed(record: Sequence[Rung], quantity: str, weight: float) -> dict[int, float]:
    return {r.seed: r.measured[quantity] for r in record if r.weight == weight}
