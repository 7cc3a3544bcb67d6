"""Does `expand_to` keep its tolerance? Runs at many seeds on problems with an exact answer, and what they cost.

``python -m benchmarks.tolerance --tol 1e-3 --json results/tolerance.json`` runs each problem at each seed, counts the
runs of which a coefficient is further off than the tolerance, and those that are refused. The record is written after
each run, and runs that it already has are not made again. Confidence is 95 %.
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

from sdewm import TimeGrid, ToleranceNotReached, expand_to
from sdewm.exact.problems import PROBLEMS
from sdewm.expansion.to_tolerance import COEFFICIENTS
from sdewm.files import write_text
from sdewm.verdicts.record import environment

COARSEST = 4
APART = 1000  # seeds of two runs: a run takes as many in a row as it has rounds


def run(name: str, tol: float, seed: int) -> dict[str, Any]:
    """One run: its errors, the sum of bias and half-width that it claims, its rounds, and seconds of processor time."""
    problem = PROBLEMS[name]()
    t = problem.truth
    truth = {"loss0": t[0, 0], "first": t[1, 0] + t[0, 1], "second": t[2, 0] + t[1, 1] + t[0, 2]}
    grid, started = TimeGrid(0.0, problem.horizon, COARSEST), time.process_time()
    record: dict[str, Any] = {"problem": name, "tol": tol, "seed": seed}
    try:
        found = expand_to(problem.family, problem.loss, problem.x0, grid, tol=tol, seed=APART * seed)
    except ToleranceNotReached as refused:
        return record | {"refused": str(refused), "seconds": time.process_time() - started}
    return record | {
        "errors": {c: abs(getattr(found.expansion, c).mean - truth[c]) for c in COEFFICIENTS},
        "claimed": found.rounds[-1].worst[1],
        "rounds": [(r.steps, r.paths) for r in found.rounds],
        "path-steps": sum(r.path_steps for r in found.rounds),
        "seconds": time.process_time() - started,
    }


def table(runs: list[dict[str, Any]]) -> Table:
    shown = Table(title="Coefficients to a tolerance", title_justify="left")
    for column in ("problem", "tolerance", "runs", "refused", "missed", "largest error", "median error", "seconds"):
        shown.add_column(column, justify="left" if column == "problem" else "right")
    for name, tol in dict.fromkeys((r["problem"], r["tol"]) for r in runs):
        of = [r for r in runs if (r["problem"], r["tol"]) == (name, tol)]
        worst = [max(r["errors"].values()) for r in of if "errors" in r]
        shown.add_row(
            name, f"{tol:g}", f"{len(of)}", f"{len(of) - len(worst)}", f"{sum(w > tol for w in worst)}",
            f"{max(worst):.1e}" if worst else "–", f"{np.median(worst):.1e}" if worst else "–",
            f"{np.median([r['seconds'] for r in of]):.1f}",
        )  # fmt: skip
    return shown


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tolerance", description=__doc__.split("\n")[0])
    parser.add_argument("--tol", type=float, action="append", help="a tolerance; may be repeated (1e-3)")
    parser.add_argument("--seeds", type=int, default=200, help="how many, from 0 on (200)")
    parser.add_argument("--problem", action="append", choices=list(PROBLEMS), help="this one only; may be repeated")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the record to PATH, or go on with it")
    args = parser.parse_args()
    torch.set_num_threads(1)
    runs: list[dict[str, Any]] = []
    if args.json is not None and args.json.exists():
        runs = json.loads(args.json.read_text(encoding="utf-8"))["runs"]
    done = {(r["problem"], r["tol"], r["seed"]) for r in runs}
    for seed in range(args.seeds):
        for tol in args.tol or [1e-3]:
            for name in args.problem or PROBLEMS:
                if (name, tol, seed) in done:
                    continue
                runs.append(run(name, tol, seed))
                if args.json is not None:
                    record = {"environment": environment(), "confidence": 0.95, "coarsest": COARSEST, "runs": runs}
                    write_text(args.json, json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    Console(width=120).print(table(runs))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
