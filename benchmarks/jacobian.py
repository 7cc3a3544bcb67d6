"""What Jacobian regularization adds to an update of the world model.

Run with ``python -m benchmarks.jacobian``. Processor time on one thread of whole updates at the trainer's defaults (16
sequences of 32 frames), runs with and without the penalty taking turns; the least of several. The frames are noise.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from sdewm.worldmodel.walker import Episode, TrainConfig, train

UPDATES, REPEATS = 10, 4
SETTINGS = {
    "no penalty": TrainConfig(updates=UPDATES),
    "‖J‖_F, map, h": TrainConfig(updates=UPDATES, jacobian_weight=1.0, jacobian_wrt="h"),
    "‖J‖_F, map, h and z": TrainConfig(updates=UPDATES, jacobian_weight=1.0),
    "‖J‖_F, drift, h and z": TrainConfig(updates=UPDATES, jacobian_weight=1.0, jacobian_target="drift"),
    "½‖J‖_F², map, h and z": TrainConfig(updates=UPDATES, jacobian_weight=1.0, jacobian_form="square"),
}


def noise_episode(steps: int) -> Episode:
    """Frames, actions and rewards of the shapes that training sees."""
    rng = np.random.default_rng(0)
    return Episode(
        frames=rng.integers(0, 256, (steps, 32, 32), dtype=np.uint8),
        actions=rng.uniform(-1, 1, (steps, 6)).astype(np.float32),
        rewards=rng.uniform(0, 2, steps).astype(np.float32),
    )


def seconds(config: TrainConfig) -> float:
    """Processor seconds of one update, with an evaluation on one sequence shared among them all."""
    episodes, heldout = [noise_episode(64)], [noise_episode(config.length)]
    with tempfile.TemporaryDirectory() as folder:
        start = time.process_time()
        train(Path(folder), episodes, heldout, config)
        return (time.process_time() - start) / config.updates


def main() -> None:
    torch.set_num_threads(1)
    seconds(next(iter(SETTINGS.values())))
    found = [{name: seconds(config) for name, config in SETTINGS.items()} for _ in range(REPEATS)]
    least = {name: min(f[name] for f in found) for name in SETTINGS}
    table = Table(title="one update", title_justify="left")
    for name in ("penalty", "cpu-s", "more than without"):
        table.add_column(name, justify="left" if name == "penalty" else "right")
    for name, value in least.items():
        table.add_row(name, f"{value:.3f}", f"{100 * (value / least['no penalty'] - 1):+.0f} %")
    Console().print(table)


if __name__ == "__main__":
    main()
