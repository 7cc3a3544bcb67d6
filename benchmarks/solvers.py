"""Speed of a plain solve, and agreement: ours, torchsde's and diffrax's schemes on the same increments.

``python -m benchmarks.solvers`` prints processor time per path and step, one thread, the least of several runs that
are interleaved so that a busy machine slows all alike; ``--json PATH`` records it. Increments are made beforehand.
torchsde's steps are made in our loop, as ours are. diffrax is compiled, its compilation not counted; torch runs
eagerly. The last column is the largest difference of the
final states from ours: rounding, but for a scheme that means another formula than ours on that system.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from benchmarks.peers import WITH_DIFFRAX, WITH_TORCHSDE, Diffrax, refusal
from sdewm.noise.brownian import BrownianPath
from sdewm.noise.grid import TimeGrid
from sdewm.noise.stored_areas import StoredAreas
from sdewm.solvers.registry import METHODS
from sdewm.solvers.solve import solve
from sdewm.systems.sde import FunctionSDE
from sdewm.verdicts.record import environment

STATES, HIDDEN, PATHS, LEVEL = 8, 32, 2000, 5
GRID = TimeGrid(0.0, 1.0, 2**LEVEL)
ROUNDS = 5
SOLVERS = {"euler": ("Euler", 0.5), "milstein": ("ItoMilstein", 1.0)}


def network(outputs: int) -> nn.Sequential:
    layers = nn.Linear(STATES, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, outputs)
    return nn.Sequential(*layers).double().requires_grad_(False)


def in_jax(net: nn.Sequential) -> Callable[[Any], Any]:
    """The same network for one state."""
    import jax.numpy as jnp

    first, last = (net[i] for i in (0, 2))
    a, b, c, d = (jnp.asarray(p.numpy()) for p in (first.weight, first.bias, last.weight, last.bias))
    return lambda x: c @ jnp.tanh(a @ x + b) + d


def systems() -> dict[str, tuple[FunctionSDE, Callable[[str, float], Any]]]:
    """An SDE, and diffrax's solver of a given name on it."""
    torch.manual_seed(0)
    drift, full = network(STATES), network(STATES * STATES)

    def general(t: Tensor, x: Tensor) -> Tensor:
        return 0.3 * full(x).unflatten(-1, (STATES, STATES))

    def diagonal(t: Tensor, x: Tensor) -> Tensor:
        return 0.3 + 0.1 * torch.cos(x)

    def diffrax_general(solver: str, declared: float) -> Diffrax:
        f, g = in_jax(drift), in_jax(full)
        return Diffrax(solver, lambda t, x: f(x), lambda t, x: 0.3 * g(x).reshape(STATES, STATES), declared)

    def diffrax_diagonal(solver: str, declared: float) -> Diffrax:
        import jax.numpy as jnp

        f = in_jax(drift)
        return Diffrax(solver, lambda t, x: f(x), lambda t, x: jnp.diag(0.3 + 0.1 * jnp.cos(x)), declared)

    return {
        "8 diagonal noises": (FunctionSDE(lambda t, x: drift(x), diagonal), diffrax_diagonal),
        "8 general noises": (FunctionSDE(lambda t, x: drift(x), general, "general"), diffrax_general),
    }


def interleaved(functions: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Seconds of processor time, the least of several for each."""
    times: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(ROUNDS):
        for name, function in functions.items():
            start = time.process_time()
            function()
            times[name].append(time.process_time() - start)
    return {name: min(spent) for name, spent in times.items()}


def measure() -> list[dict[str, Any]]:
    rows = []
    x0 = torch.zeros(STATES, dtype=torch.float64)
    start = x0.expand(PATHS, -1).contiguous()
    steps = list(BrownianPath(0, PATHS, STATES).at(LEVEL, finest=LEVEL).areas())
    noise = StoredAreas(torch.stack([dB for dB, _ in steps]), torch.stack([area for _, area in steps]))
    for name, (sde, make) in systems().items():
        for method, (solver, declared) in SOLVERS.items():
            ours = solve(sde, x0, GRID, method=method, noise=noise)
            runs: dict[str, Callable[[], Tensor]] = {
                "sdewm": lambda s=sde, m=method: solve(s, x0, GRID, method=m, noise=noise)
            }
            notes = {}
            if WITH_TORCHSDE:
                peer = f"torchsde:{method}"
                if why := refusal(METHODS[peer], sde, x0, GRID):
                    notes["torchsde"] = why
                else:
                    runs["torchsde"] = lambda p=peer, s=sde: solve(s, x0, GRID, method=p, noise=noise)
            if WITH_DIFFRAX:
                other = make(solver, declared)
                runs["diffrax"] = lambda p=other, s=sde: p.solve(s, start, GRID, noise.values)
            differences = {package: float((run() - ours).abs().max()) for package, run in runs.items()}
            seconds = interleaved(runs)
            for package in runs:
                rows.append(
                    {
                        "system": name,
                        "method": method,
                        "package": package,
                        "ns per path and step": 1e9 * seconds[package] / (PATHS * GRID.steps),
                        "over ours": seconds[package] / seconds["sdewm"],
                        "largest difference from ours": differences[package],
                    }
                )
            rows += [
                {"system": name, "method": method, "package": package, "refused": why} for package, why in notes.items()
            ]
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description="Speed and agreement of plain solves.")
    parser.add_argument("--json", type=Path, metavar="PATH")
    args = parser.parse_args()
    torch.set_num_threads(1)
    console = Console(width=None if sys.stdout.isatty() else 140)
    for name, there in (("torchsde", WITH_TORCHSDE), ("diffrax", WITH_DIFFRAX)):
        if not there:
            console.print(f"{name} is not installed: its rows are left out (pip install 'sdewm[bench]')")
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rows = measure()
    table = Table(
        title=f"{PATHS:,} paths, {STATES} states, networks {STATES}-{HIDDEN}, {GRID.steps} steps, float64, one thread",
        title_justify="left",
    )
    for name in ("system", "method", "package", "ns per path and step", "over ours", "largest difference from ours"):
        table.add_column(name, justify="left" if name in ("system", "method", "package") else "right")
    for r in rows:
        if "refused" in r:
            table.add_row(r["system"], r["method"], r["package"], "refused", "", r["refused"])
            continue
        table.add_row(
            r["system"],
            r["method"],
            r["package"],
            f"{r['ns per path and step']:.0f}",
            f"{r['over ours']:.2f}",
            f"{r['largest difference from ours']:.1e}",
        )
    console.print(table)
    if args.json:
        record = {"environment": environment(), "paths": PATHS, "steps": GRID.steps, "rows": rows}
        args.json.write_text(json.dumps(record, indent=1, ensure_ascii=False), "utf-8")


if __name__ == "__main__":
    main()
