"""Sensitivities of a model of DreamerV2's sizes: 200 recurrent units, 32 latents, hidden layers of 200.

``python -m benchmarks.full_size`` walks 1,000 paths over 50 steps of the model's own (sequential Euler, Δt = 1) with
six Taylor coefficients each, all first and second derivatives in the magnitudes of the diffusion and of the drift
error, and reports processor time, wall-clock time and peak memory; ``--json PATH`` records them. Weights are random:
only sizes matter here. Needs Linux, for the peak.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import nn

from sdewm import PerturbedSDE, TimeGrid
from sdewm.expansion.pathwise_derivatives import corrected_terms
from sdewm.noise.samplers import MonteCarlo
from sdewm.solvers.solve import solve
from sdewm.systems.losses import as_summed
from sdewm.verdicts.record import environment
from sdewm.worldmodel import Agent, initial_state, load_trained, preset, to_sequences

CONFIG = preset("walker", deter=200, stoch=32, hidden=200, units=200, embed=200, image_basis=64)
PATHS, STEPS, BLOCK = 1000, 50, 250
START = 10


def family() -> tuple[PerturbedSDE, torch.Tensor]:
    """The model as an SDE under an error that depends on h, and its initial state."""
    torch.manual_seed(0)
    agent = Agent(CONFIG, (1, 32, 32), 6).double().requires_grad_(False)
    episode = to_sequences(load_trained()[1][0][None], torch.float64)
    sde = agent.as_sde(episode.observations[0])
    sigma, sigma_bar = (
        nn.Sequential(nn.Linear(CONFIG.deter, CONFIG.hidden), nn.Tanh(), nn.Linear(CONFIG.hidden, CONFIG.stoch))
        .double()
        .requires_grad_(False)
        for _ in range(2)
    )
    error = sde.encoder_error(lambda h, s: sigma(h), lambda h, s: sigma_bar(h))
    return PerturbedSDE(sde, error), initial_state(
        agent.world_model, episode.observations[0], episode.actions[0], START
    )


def walk(what: str, paths: int) -> None:
    """All paths in blocks; the mean of each term is all that is kept."""
    problem, x0 = family()
    grid = TimeGrid(float(START), float(START + STEPS), STEPS)
    losses = {"loss": as_summed(lambda x: (x * x).sum(-1), grid)}
    channels = 2 * CONFIG.stoch
    for first in range(0, paths, BLOCK):
        sampler = MonteCarlo(min(BLOCK, paths - first), seed=first)
        for noise in sampler.draw(range(sampler.replicates), channels, grid, x0):
            with torch.no_grad():
                if what == "six coefficients":
                    corrected_terms(problem, losses, x0, grid, noise=noise, method="euler-sequential")
                else:
                    solve(problem.at(0.1), x0, grid, method="euler-sequential", noise=noise)


def report_one(what: str, paths: int, threads: int) -> None:
    """Runs in a process of its own, whose peak is its own."""
    torch.set_num_threads(threads)
    if what == "idle":
        family()
    start = time.perf_counter(), time.process_time()
    if what != "idle":
        walk(what, paths)
    wall, cpu = time.perf_counter() - start[0], time.process_time() - start[1]
    # Not getrusage: its maximum is inherited from the process that started this one.
    status = Path("/proc/self/status").read_text()
    peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024
    print(json.dumps({"wall": wall, "cpu": cpu, "peak MiB": peak}))


def measure(what: str, paths: int, threads: int, processes: int) -> dict[str, Any]:
    """Paths are shared out among the processes; times are the longest (wall) and the sum (processor)."""
    command = [sys.executable, "-m", "benchmarks.full_size", "--one", what, str(paths // processes), str(threads)]
    env = os.environ | {"OMP_NUM_THREADS": str(threads)}
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env) for _ in range(processes)]
    parts = [json.loads(process.communicate()[0]) for process in running]
    return {
        "what": what,
        "paths": paths,
        "threads": threads,
        "processes": processes,
        "wall seconds": max(p["wall"] for p in parts),
        "cpu seconds": sum(p["cpu"] for p in parts),
        "peak MiB": sum(p["peak MiB"] for p in parts),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Sensitivities of a full-size model.")
    parser.add_argument("--json", type=Path, metavar="PATH")
    parser.add_argument("--one", nargs=3, metavar=("WHAT", "PATHS", "THREADS"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        report_one(args.one[0], int(args.one[1]), int(args.one[2]))
        return
    console = Console(width=None if sys.stdout.isatty() else 140)
    idle = measure("idle", 0, 1, 1)["peak MiB"]
    n = 2 * CONFIG.stoch + CONFIG.deter + CONFIG.image_basis
    matrix = PATHS * n * n * 8 / 2**20
    rows = [
        measure("one plain pass", PATHS, 1, 1),
        measure("six coefficients", PATHS, 1, 1),
        measure("six coefficients", PATHS, 2, 1),
        measure("six coefficients", PATHS, 1, 2),
        measure("six coefficients", 2 * PATHS, 1, 1),
    ]
    table = Table(
        title=f"{n} dimensions, {2 * CONFIG.stoch} noises, {STEPS} steps, float64, blocks of {BLOCK} paths",
        title_justify="left",
    )
    for name in ("", "paths", "processes × threads", "wall s", "CPU s", "peak MiB above an idle process"):
        table.add_column(name, justify="right" if name else "left")
    for r in rows:
        r["above idle MiB"] = r["peak MiB"] - r["processes"] * idle
        table.add_row(
            r["what"],
            f"{r['paths']:,}",
            f"{r['processes']} × {r['threads']}",
            f"{r['wall seconds']:.1f}",
            f"{r['cpu seconds']:.1f}",
            f"{r['above idle MiB']:.0f}",
        )
    console.print(table)
    console.print(
        f"An idle process with the model in it: {idle:.0f} MiB. One n×n matrix for each of {PATHS:,} paths, such as Φ, "
        f"would take {matrix:.0f} MiB, and Φ with its inverse twice that."
    )
    load = os.getloadavg()[0]
    console.print(
        f"{os.cpu_count()} cores, others at work on them: load {load:.1f}. CPU seconds are the figure to trust."
    )
    if args.json:
        record = {
            "environment": environment() | {"cores": os.cpu_count(), "load": load, "shared machine": load > 1.5},
            "dimension": n,
            "channels": 2 * CONFIG.stoch,
            "steps": STEPS,
            "block": BLOCK,
            "idle MiB": idle,
            "n×n per path MiB": matrix,
            "rows": rows,
        }
        args.json.write_text(json.dumps(record, indent=1, ensure_ascii=False), "utf-8")


if __name__ == "__main__":
    main()
