"""What drawing costs: processor time and peak memory of samplers, from 1,000 steps to a million.

Run with ``python -m benchmarks.samplers``; writes ``results/samplers.json``. Each number is a process of its own on one
thread that draws all blocks of all replicates and adds them up. Memory is what it takes above a process that draws
one step. Randomized quasi-Monte Carlo by "bridge" is stored up to 128 MiB and made as it is walked beyond that; "pca"
is always stored. At a million steps only "bridge" is measured. Needs Linux.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from sdewm.noise.grid import TimeGrid
from sdewm.noise.samplers import MonteCarlo, QuasiMonteCarlo, Sampler

PATHS = 2**10
CHANNELS = 1
STEPS = (1_000, 20_000, 100_000, 1_000_000)
MOST = {"mc": STEPS[-2], "bridge": STEPS[-1], "pca": STEPS[-2]}
RECORD = Path("results/samplers.json")


def sampler(name: str) -> Sampler:
    return MonteCarlo(PATHS, 0) if name == "mc" else QuasiMonteCarlo(PATHS, 0, ordering=name)


def draw_all(name: str, steps: int) -> float:
    """Seconds of processor time."""
    drawn, like = sampler(name), torch.zeros((), dtype=torch.float64)
    together = max(1, drawn.block // drawn.per_replicate)
    start = time.process_time()
    for first in range(0, drawn.replicates, together):
        replicates = range(first, min(first + together, drawn.replicates))
        for noise in drawn.draw(replicates, CHANNELS, TimeGrid(0.0, 1.0, steps), like):
            total = torch.zeros(noise.paths, CHANNELS, dtype=torch.float64)
            for dB in noise:
                total += dB
    return time.process_time() - start


def in_a_process(name: str, steps: int) -> tuple[float, float]:
    """(seconds, peak resident MiB)."""
    command = [sys.executable, "-m", "benchmarks.samplers", name, str(steps)]
    seconds, peak = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return float(seconds), float(peak)


def peak() -> float:
    # Not getrusage: its maximum is inherited from the process that started this one.
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024


def main(console: Console) -> None:
    idle = in_a_process("mc", 1)[1]
    table = Table(title=f"drawing {PATHS:,} paths, {CHANNELS} channel", title_justify="left")
    for column in ("sampler", "steps", "seconds", "MiB above idle"):
        table.add_column(column, justify="left" if column == "sampler" else "right")
    rows = []
    for steps in STEPS:
        for name in (n for n, most in MOST.items() if steps <= most):
            seconds, top = in_a_process(name, steps)
            rows.append(
                {"sampler": name, "steps": steps, "seconds": round(seconds, 2), "MiB above idle": round(top - idle)}
            )
            table.add_row(*(f"{v:,}" if isinstance(v, int) else str(v) for v in rows[-1].values()))
    console.print(table)
    RECORD.write_text(
        json.dumps({"paths": PATHS, "channels": CHANNELS, "torch": torch.__version__, "rows": rows}, indent=1) + "\n"
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    if len(sys.argv) == 3:
        seconds = draw_all(sys.argv[1], int(sys.argv[2]))
        print(seconds, peak())
    else:
        main(Console(width=None if sys.stdout.isatty() else 140))
