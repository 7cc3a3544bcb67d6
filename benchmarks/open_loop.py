"""Open-loop prediction error against the horizon, with Jacobian regularization and without.

``python -m benchmarks.open_loop`` measures the pair of agents that ships on the held-out episodes that ship with it:
10 observations are seen, then 30 steps are predicted from the recorded actions alone, z̃ at the prior's mean. The error
is ½ the squared standardized error summed over pixels, in nats. Episodes are the statistical unit, their windows
averaged: intervals are Student's t over episodes, and the difference of the two agents is taken episode by episode.
They say nothing about other seeds of training. ``--pair RUN RUN`` measures two runs of ``sdewm fit`` instead;
``--json PATH`` records.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from sdewm.estimate.estimates import Estimate
from sdewm.verdicts.record import environment
from sdewm.worldmodel import WorldModel, load_agent, load_trained, open_loop_error
from sdewm.worldmodel.prediction import CONTEXT, HORIZON, windows
from sdewm.worldmodel.shipped import LEAN, LEAN_REGULARIZED

CONFIDENCE = 0.95
SHOWN = (1, 2, 5, 10, 15, 20, 30)


def errors(model: WorldModel, episodes: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """Errors (episodes, horizon) of the model, of the last observation seen, and of the training data's mean."""
    found = []
    for episode in episodes:
        batch = windows([episode], CONTEXT + HORIZON, model.latent_spread.dtype)
        error = open_loop_error(model, batch, CONTEXT)
        found.append(error)
    return {
        name: torch.stack(parts).numpy()
        for name, parts in zip(("predicted", "held", "mean image"), zip(*found, strict=True), strict=True)
    }


def over_episodes(values: np.ndarray) -> list[Estimate]:
    """Mean and standard error over episodes of values (episodes, horizon), for each horizon."""
    n = len(values)
    return [Estimate(float(v.mean()), float(v.std(ddof=1) / math.sqrt(n)), n, n - 1) for v in values.T]


def measure(pair: Sequence[WorldModel], episodes: Sequence[np.ndarray]) -> dict[str, Any]:
    """Curves by name, each with ``mean``, ``low``, ``high`` and the values behind them ``by episode``."""
    plain, regularized = (errors(model, episodes) for model in pair)
    curves = {
        "without": plain["predicted"],
        "regularized": regularized["predicted"],
        "regularized less without": regularized["predicted"] - plain["predicted"],
        "last observation seen": plain["held"],
        "mean image": plain["mean image"],
    }
    record = {}
    for name, values in curves.items():
        estimates = over_episodes(values)
        low, high = zip(*(e.interval(CONFIDENCE) for e in estimates), strict=True)
        record[name] = {"mean": [e.mean for e in estimates], "low": low, "high": high, "by episode": values.tolist()}
    return record


def main() -> None:
    parser = argparse.ArgumentParser(description="Open-loop prediction error against the horizon.")
    parser.add_argument("--pair", nargs=2, type=Path, metavar="RUN", help="runs without and with regularization")
    parser.add_argument("--json", type=Path, metavar="PATH")
    args = parser.parse_args()
    torch.set_num_threads(1)
    began = time.process_time()
    _, episodes = load_trained(LEAN)
    if args.pair:
        agents = [load_agent(run).double() for run in args.pair]
    else:
        agents = [load_trained(name)[0] for name in (LEAN, LEAN_REGULARIZED)]
    curves = measure([agent.world_model for agent in agents], episodes)
    table = Table(
        title=f"½ squared error, nats per step, {len(episodes)} held-out episodes, {CONFIDENCE:.0%} intervals",
        title_justify="left",
    )
    for name in ("steps ahead", *curves):
        table.add_column(name, justify="right")
    for n in SHOWN:
        cells = [f"{c['mean'][n - 1]:.1f} [{c['low'][n - 1]:.1f}, {c['high'][n - 1]:.1f}]" for c in curves.values()]
        table.add_row(str(n), *cells)
    Console(width=150).print(table)
    if args.json:
        record = {
            "environment": environment(),
            "weights": [agent.config.jacobian_weight for agent in agents],
            "training seed": agents[0].config.seed,
            "context": CONTEXT,
            "horizon": HORIZON,
            "episodes": len(episodes),
            "windows per episode": len(windows(episodes[:1], CONTEXT + HORIZON).rewards),
            "confidence": CONFIDENCE,
            "cpu seconds": time.process_time() - began,
            "curves": curves,
        }
        args.json.write_text(json.dumps(record, ensure_ascii=False), "utf-8")


if __name__ == "__main__":
    main()
