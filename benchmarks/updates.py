"""What one update of an agent costs, by preset, and what the Jacobian penalty adds to it.

``python -m benchmarks.updates`` does whole updates (world model, actor, critic) on random batches of each preset's
sizes, one torch thread, and takes processor time. Learners with the penalty and without take turns, update by update,
so that whatever else the machine does meets both; what is quoted is the median, and of the penalty the median ratio of
neighbours with the range of its middle half. ``--json PATH`` records.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from sdewm.verdicts.record import environment
from sdewm.worldmodel import Config, Learner, Sequences, preset

# Observation shape, number of actions, and how many pairs of updates are timed.
CASES: dict[str, tuple[tuple[int, ...], int, int]] = {
    "lean-proprio": ((5,), 1, 25),
    "lean-pixels": ((1, 32, 32), 1, 25),
    "walker": ((1, 32, 32), 6, 25),
    "table5": ((3, 64, 64), 6, 2),
}
WARM_UP = 1
WEIGHT = 1.0  # λ; the cost does not depend on it


def random_batch(config: Config, shape: tuple[int, ...], actions: int) -> Sequences:
    """Noise of the shapes that training sees."""
    generator = torch.Generator().manual_seed(0)
    steps = (config.batch, config.length)
    images = len(shape) == 3
    return Sequences(
        torch.randint(0, 256, (*steps, *shape), generator=generator, dtype=torch.uint8)
        if images
        else torch.randn(*steps, *shape, generator=generator),
        2 * torch.rand(*steps, actions, generator=generator) - 1,
        torch.rand(steps, generator=generator),
        torch.zeros(steps, dtype=torch.bool),
        torch.zeros(steps, dtype=torch.bool),
    )


def measure(name: str) -> dict[str, Any]:
    """Processor seconds of updates without and with the penalty, in pairs."""
    shape, actions, pairs = CASES[name]
    learners = [Learner(preset(name, jacobian_weight=weight), shape, actions) for weight in (0.0, WEIGHT)]
    batch = random_batch(learners[0].config, shape, actions)

    def seconds(learner: Learner) -> float:
        start = time.process_time()
        learner.update(batch)
        return time.process_time() - start

    found = np.array([[seconds(learner) for learner in learners] for _ in range(WARM_UP + pairs)])[WARM_UP:]
    low, ratio, high = np.quantile(found[:, 1] / found[:, 0], (0.25, 0.5, 0.75))
    return {
        "preset": name,
        "parameters": sum(p.numel() for p in learners[0].agent.parameters() if p.requires_grad),
        "pairs": pairs,
        "cpu seconds": float(np.median(found[:, 0])),
        "cpu seconds, spread": np.quantile(found[:, 0], (0.25, 0.75)).tolist(),
        "cpu seconds with the penalty": float(np.median(found[:, 1])),
        "ratio": float(ratio),
        "ratio, spread": [float(low), float(high)],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="What one update of an agent costs.")
    parser.add_argument("presets", nargs="*", metavar="PRESET", help=f"which: {', '.join(CASES)} (all)")
    parser.add_argument("--json", type=Path, metavar="PATH")
    args = parser.parse_args()
    unknown = [name for name in args.presets if name not in CASES]
    if unknown:
        parser.error(f"argument PRESET: expected one of {', '.join(CASES)}, got {unknown[0]!r}")
    torch.set_num_threads(1)
    rows = [measure(name) for name in args.presets or CASES]
    table = Table(title="one update: median, and the middle half of the runs", title_justify="left")
    for name in ("preset", "parameters", "cpu-s", "with the penalty", "ratio"):
        table.add_column(name, justify="left" if name == "preset" else "right")
    for r in rows:
        low, high = r["cpu seconds, spread"]
        table.add_row(
            r["preset"],
            f"{r['parameters']:,}",
            f"{r['cpu seconds']:.3f} [{low:.3f}, {high:.3f}]",
            f"{r['cpu seconds with the penalty']:.3f}",
            f"{r['ratio']:.3f} [{r['ratio, spread'][0]:.3f}, {r['ratio, spread'][1]:.3f}]",
        )
    Console(width=120).print(table)
    load = os.getloadavg()[0]
    print(f"{os.cpu_count()} cores, load {load:.1f}: seconds are those of a machine so busy, ratios are to be trusted.")
    if args.json:
        record = {"environment": environment() | {"cores": os.cpu_count(), "load": load}, "rows": rows}
        args.json.write_text(json.dumps(record, indent=1, ensure_ascii=False), "utf-8")


if __name__ == "__main__":
    main()
