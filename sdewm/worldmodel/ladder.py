"""World models that were trained alike but for the weight λ of the Jacobian penalty: a ladder of λ over several seeds.

Runs of one seed start from the same weights and see the same batches and the same latent noise, whatever λ, so that
they are compared in pairs; the seed is the statistical unit. What is measured of a run is measured of its weights in
float16, which is how the models ship. The shipped record holds every run, the shipped models a part of them.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdewm.montecarlo import Estimate
from sdewm.worldmodel.checkpoint import load_checkpoint, load_model, save_model
from sdewm.worldmodel.record import Episode
from sdewm.worldmodel.robustness import measure
from sdewm.worldmodel.train import TrainConfig, train

RECORD = "jacobian_ladder.jsonl"
HELDOUT = "walker_walk"  # whose held-out windows belong to the ladder's models
SHIPPED_WEIGHTS, SHIPPED_SEEDS = (0.0, 10.0), range(5)

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Rung:
    """One run: its λ, its seed, and what :func:`sdewm.worldmodel.robustness.measure` found."""

    weight: float
    seed: int
    measured: dict[str, float]


def model_name(weight: float, seed: int) -> str:
    """The name of a run, and of its model for :func:`sdewm.worldmodel.load_trained`."""
    return f"{HELDOUT}_jacobian_{weight:g}_seed_{seed}"


def train_ladder(
    runs: Path | str,
    episodes: Sequence[Episode],
    heldout: Sequence[Episode],
    weights: Iterable[float],
    seeds: Iterable[int],
    config: TrainConfig,
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
            train(Path(runs) / model_name(weight, seed), episodes, heldout, own, environment=environment, report=report)


def record_ladder(
    runs: Path | str, episodes: Sequence[Episode], out: Path | str,
    report: Callable[[dict[str, Any]], None] | None = None,
) -> list[Rung]:  # fmt: skip
    """Write every run of the folder as a float16 model beside its checkpoint, measure that, and write the record.

    The record, ``out``, has a line {"weight", "seed", "updates", "measured"} for each run, by weight, then by seed.
    """
    lines = []
    for checkpoint in Path(runs).glob(f"{HELDOUT}_jacobian_*/checkpoint.safetensors"):
        _, metadata = load_checkpoint(checkpoint)
        model, _ = load_model(checkpoint)
        released = checkpoint.with_name("model.safetensors")
        kept = {name: metadata[name] for name in ("train", "update", "environment")}
        save_model(released, model.half(), kept | {"heldout": HELDOUT})
        rounded, _ = load_model(released)
        measured = measure(rounded.double().requires_grad_(False), episodes)
        weight, seed = metadata["train"]["jacobian_weight"], metadata["train"]["seed"]
        lines.append({"weight": weight, "seed": seed, "updates": metadata["update"], "measured": measured})
        if report:
            report(lines[-1])
    lines.sort(key=lambda line: (line["weight"], line["seed"]))
    out = Path(out)
    aside = out.with_suffix(".partial")
    aside.write_text("".join(json.dumps(line) + "\n" for line in lines))
    os.replace(aside, out)
    return [Rung(line["weight"], line["seed"], line["measured"]) for line in lines]


def read_record(path: Path | str | None = None) -> list[Rung]:
    """The rungs of a record, by default of the one that ships with the package."""
    source = files("sdewm.worldmodel") / "data" / RECORD if path is None else Path(path)
    lines = [json.loads(line) for line in source.read_text().splitlines()]
    return [Rung(line["weight"], line["seed"], line["measured"]) for line in lines]


def paired(record: Sequence[Rung], quantity: str, weight: float) -> Values:
    """log(X_λ / X_0) of a quantity for each seed that has both λ = ``weight`` and λ = 0, in the order of seeds."""
    regularized, plain = _by_seed(record, quantity, weight), _by_seed(record, quantity, 0.0)
    seeds = sorted(regularized.keys() & plain.keys())
    return np.array([math.log(regularized[s] / plain[s]) for s in seeds])


def slopes(record: Sequence[Rung], x: Callable[[Rung], float], y: Callable[[Rung], float]) -> Values:
    """Least-squares slope of y on x over the weights, for each seed that was trained at all of them."""
    weights = {r.weight for r in record}
    by_seed: dict[int, list[Rung]] = {}
    for r in record:
        by_seed.setdefault(r.seed, []).append(r)
    complete = [by_seed[s] for s in sorted(by_seed) if {r.weight for r in by_seed[s]} == weights]
    return np.array([np.polyfit([x(r) for r in rungs], [y(r) for r in rungs], 1)[0] for rungs in complete])


def over_seeds(values: Values) -> Estimate:
    """The mean over seeds, with the standard error and degrees of freedom of their number."""
    return Estimate(
        float(values.mean()), float(values.std(ddof=1) / math.sqrt(len(values))), len(values), len(values) - 1
    )


def _by_seed(record: Sequence[Rung], quantity: str, weight: float) -> dict[int, float]:
    return {r.seed: r.measured[quantity] for r in record if r.weight == weight}
