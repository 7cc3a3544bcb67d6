"""Weak order 2 on noise that does not commute: errors of a moment against its truth, by each way of drawing areas.

    python -m benchmarks.weak_order --json results/weak_order.json

dx = M x dt + B_1 x dB_1 + B_2 x dB_2 with matrices that do not commute: E x_1² at time 1 is known, as the second
moments P solve P' = MP + PMᵀ + Σ BPBᵀ. Platen's scheme with the same number of paths from quasi-Monte Carlo, whose
areas are drawn by their moments; from plain paths with such areas; from Brownian paths with Lévy areas; and, as a
mistake that has to show, with no areas at all.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from sdewm.arrays import Array
from sdewm.estimate.samples import sample
from sdewm.noise.brownian import BrownianSampler
from sdewm.noise.further_channels import MomentAreas
from sdewm.noise.grid import TimeGrid
from sdewm.noise.increments import Increments
from sdewm.noise.samplers import MonteCarlo, QuasiMonteCarlo, Sampler
from sdewm.solvers.loop import trajectory
from sdewm.solvers.sampling import sampler_for
from sdewm.solvers.schemes.platen_weak import PlatenWeak2
from sdewm.solvers.structure import NoiseStructure
from sdewm.systems.sde import FunctionSDE
from sdewm.verdicts.record import environment

DRIFT = torch.tensor([[-0.3, 0.8], [-0.8, -0.3]], dtype=torch.float64)
FIRST = torch.tensor([[0.0, -0.6], [0.0, 0.0]], dtype=torch.float64)
SECOND = torch.tensor([[0.0, 0.0], [0.6, 0.0]], dtype=torch.float64)
SDE = FunctionSDE(lambda t, x: x @ DRIFT.mT, lambda t, x: torch.stack([x @ FIRST.mT, x @ SECOND.mT], -1), "general")
START = torch.tensor([1.0, 0.5], dtype=torch.float64)
STEPS = (2, 4, 8, 16)
PATHS, SEED = 2**16, 0


def truth() -> float:
    """E x_1² at time 1."""
    one = torch.eye(2, dtype=torch.float64)
    generator = torch.kron(DRIFT, one) + torch.kron(one, DRIFT) + torch.kron(FIRST, FIRST) + torch.kron(SECOND, SECOND)
    return float((torch.linalg.matrix_exp(generator) @ torch.outer(START, START).flatten())[0])


class NoAreas(MomentAreas):
    """Areas that are all zero."""

    def moment_areas(self) -> Any:
        return ((dB, torch.zeros_like(area)) for dB, area in super().moment_areas())


def measure(name: str, sampler: Sampler) -> dict[str, Any]:
    """The errors of E x_1² on each grid, and the order of their straight line with its standard error."""
    method, rows = PlatenWeak2(NoiseStructure.assume("general", 2)), []
    for steps in STEPS:
        grid, started = TimeGrid(0.0, 1.0, steps), time.process_time()
        drawn = sampler_for(sampler, SDE, START, grid, method=method)
        if name == "no areas":
            drawn.made = NoAreas

        def evaluate(noise: Increments, grid: TimeGrid = grid) -> dict[str, Tensor]:
            *_, (_, _, x) = trajectory(SDE, START, grid, method=method, noise=noise)
            return {"E x_1²": x[:, 0] ** 2}

        found = sample(evaluate, drawn, 2, grid, START)
        estimate = found.estimate(found["E x_1²"])
        rows.append((1 / steps, estimate.mean - truth(), estimate.stderr, time.process_time() - started))
    dt, errors, stderrs, seconds = np.array(rows).T
    order, spread = weighted_order(dt, errors, stderrs)
    return {
        "areas": name,
        "paths": PATHS,
        "dt": dt.tolist(),
        "errors": errors.tolist(),
        "stderrs": stderrs.tolist(),
        "order": order,
        "order stderr": spread,
        "seconds": seconds.tolist(),
    }


def weighted_order(dt: Array, errors: Array, stderrs: Array) -> tuple[float | None, float | None]:
    """The slope of log errors by weighted least squares, and its standard error, over the grids whose error stands out
    from its own noise; nothing where there are fewer than three."""
    seen = np.abs(errors) > 4 * stderrs
    if seen.sum() < 3:
        return None, None
    x, y, weights = np.log(dt[seen]), np.log(np.abs(errors[seen])), (errors[seen] / stderrs[seen]) ** 2
    x = x - np.average(x, weights=weights)
    spread = float((weights * x * x).sum())
    return float((weights * x * y).sum() / spread), spread**-0.5


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.weak_order", description=__doc__.split("\n")[0])
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the record to PATH")
    args = parser.parse_args()
    rows = [
        measure("rqmc", QuasiMonteCarlo(PATHS, SEED)),
        measure("plain, by moments", MonteCarlo(PATHS, SEED)),
        measure("plain, of Brownian paths", BrownianSampler(PATHS, SEED)),
        measure("no areas", QuasiMonteCarlo(PATHS, SEED)),
    ]
    table = Table(title=f"E x_1² = {truth():.6f}, {PATHS} paths, platen-weak", title_justify="left")
    for column in ("areas", *(f"Δt = 1/{n}" for n in STEPS), "order", "CPU s"):
        table.add_column(column)
    for r in rows:
        errors = (f"{e:.2e} ± {s:.0e}" for e, s in zip(r["errors"], r["stderrs"], strict=True))
        order = "noise hides it" if r["order"] is None else f"{r['order']:.2f} ± {r['order stderr']:.2f}"
        table.add_row(r["areas"], *errors, order, f"{sum(r['seconds']):.1f}")
    Console(width=120).print(table)
    if args.json is not None:
        record = {"environment": environment(), "seed": SEED, "truth": truth(), "rows": rows}
        args.json.write_text(json.dumps(record, ensure_ascii=False) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
