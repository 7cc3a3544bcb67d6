"""Agents that were trained alike but for the weight λ of the Jacobian penalty: a ladder of λ over several seeds.

Runs of one seed start from the same weights and see the same batches and the same latent noise, whatever λ, so that
they are compared in pairs; the seed is the statistical unit. What was measured of a run was measured of its weights in
float16, which is how the agents ship. The shipped record holds every run, the shipped agents a part of them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sdewm.estimate.estimates import Estimate
from sdewm.worldmodel.shipped import DATA, WALKER

RECORD = "jacobian_ladder.jsonl"
SHIPPED_WEIGHTS, SHIPPED_SEEDS = (0.0, 10.0), range(5)


@dataclass(frozen=True)
class Rung:
    """One run: its λ, its seed, and what :func:`sdewm.worldmodel.robustness.measure` found."""

    weight: float
    seed: int
    measured: dict[str, float]


def model_name(weight: float, seed: int) -> str:
    """The name of a shipped run's model, for :func:`sdewm.worldmodel.load_trained`."""
    return f"{WALKER}_jacobian_{weight:g}_seed_{seed}"


def read_record(path: Path | str | None = None) -> list[Rung]:
    """The rungs of a record, by default of the one that ships with the package."""
    source = DATA / RECORD if path is None else Path(path)
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


def _by_seed(record: Sequence[Rung], quantity: str, weight: float) -> dict[int, float]:
    return {r.seed: r.measured[quantity] for r in record if r.weight == weight}
