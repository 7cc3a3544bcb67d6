"""What drawing costs: processor time and peak memory of every sampler, from 64 steps to 100,000.

Run with ``python -m benchmarks.samplers``; writes ``results/samplers.json``. Each number is a process of its own on one
thread that draws all blocks of all replicates and adds them up. Memory is what it takes above a process that draws
nothing. Needs Linux.
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

from sdewm.noise import MonteCarlo, QuasiMonteCarlo, Sampler, TimeGrid

PATHS = 2**10
CASES = ((64, 8), (1_000, 8), (4_000, 1), (20_000, 1), (100_000, 1), (100_000, 8))
SAMPLERS = ("mc", "bridge", "pca")
RECORD = Path("results/samplers.json")


def sampler(name: str) -> Sampler:
    return MonteCarlo(PATHS, 0) if name == "mc" else QuasiMonteCarlo(PATHS, 0, ordering=name)  # type: ignore[arg-type]


def draw_all(name: str, steps: int, channels: int) -> float:
    """Seconds of processor time."""
    drawn, like = sampler(name), torch.zeros((), dtype=torch.float64)
    together = max(1, drawn.block // drawn.per_replicate)
    start = time.process_time()
    for first in range(0, drawn.replicates, together):
        replicates = range(first, min(first + together, drawn.replicates))
        for noise in drawn.draw(replicates, channels, TimeGrid(0.0, 1.0, steps), like):
            total = torch.zeros(noise.paths, channels, dtype=torch.float64)
            for dB in noise:
                total += dB
    return time.process_time() - start


def in_a_process(name: str, steps: int, channels: int) -> tuple[float, float]:
    """(seconds, peak resident MiB)."""
    command = [sys.executable, "-m", "benchmarks.samplers", name, str(steps), str(channels)]
    seconds, peak = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return float(seconds), float(peak)


def peak() -> float:
    # Not getrusage: its maximum is inherited from the process that started this one.
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024


def main(console: Console) -> None:
    idle = in_a_process("mc", 1, 1)[1]
    table = Table(title=f"drawing {PATHS:,} paths", title_justify="left")
    for column in ("sampler", "steps", "channels", "seconds", "MiB above idle"):
        table.add_column(column, justify="left" if column == "sampler" else "right")
    rows = []
    for steps, channels in CASES:
        for name in SAMPLERS:
            seconds, top = in_a_process(name, steps, channels)
            rows.append({
                "sampler": name, "steps": steps, "channels": channels,
                "seconds": round(seconds, 2), "MiB above idle": round(top - idle),
            })  # fmt: skip
            table.add_row(*(f"{v:,}" if isinstance(v, int) else str(v) for v in rows[-1].values()))
    console.print(table)
    RECORD.write_text(json.dumps({"paths": PATHS, "torch": torch.__version__, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    torch.set_num_threads(1)
    if len(sys.argv) == 4:
        seconds = draw_all(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
        print(seconds, peak())
    else:
        main(Console(width=None if sys.stdout.isatty() else 140))
