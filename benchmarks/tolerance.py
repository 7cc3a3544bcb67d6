"""Does `expand_to` keep its tolerance? Runs at many seeds on problems with an exact answer, and what they cost.

``python -m benchmarks.tolerance --tol 1e-3 --json results/tolerance.json`` runs each problem at each seed, counts the
runs of which a coefficient is further off than the tolerance, and those that are refused. The record is written after
each run, and runs that it already has are not made again. Confidence is 95 %.

Beside them is what one fixed grid takes, with no extrapolation, on the same kind of points. It is told beforehand what
`expand_to` has to find: the least power of two of steps whose bias is within half the tolerance, from the bias of 64
steps, and of paths whose intervals are within the other half. Only that one run is timed, and `expand_to` at seed 0
anew beside it, all of its rounds. Where a fixed grid takes more than 2^32 path-steps its time is what a run of 2^28
predicts.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from sdewm import Expansion, TimeGrid, ToleranceNotReached, expand, expand_to
from sdewm.exact.problems import PROBLEMS, Problem
from sdewm.expansion.to_tolerance import COEFFICIENTS
from sdewm.files import write_text
from sdewm.noise.samplers import QuasiMonteCarlo
from sdewm.verdicts.record import environment

COARSEST = 4
APART = 1000  # seeds of two runs: a run takes as many in a row as it has rounds
CONFIDENCE = 0.95
PILOT_STEPS, PILOT_PATHS, FEWEST = 64, 2**14, 2**10
MOST, SAMPLE = 2**32, 2**28  # path-steps that a fixed grid is given, and those that time is predicted from


def run(name: str, tol: float, seed: int) -> dict[str, Any]:
    """One run: its errors, the sum of bias and half-width that it claims, its rounds, and seconds of processor time."""
    problem = PROBLEMS[name]()
    grid, started = TimeGrid(0.0, problem.horizon, COARSEST), time.process_time()
    record: dict[str, Any] = {"problem": name, "tol": tol, "seed": seed}
    try:
        found = expand_to(problem.family, problem.loss, problem.x0, grid, tol=tol, seed=APART * seed)
    except ToleranceNotReached as refused:
        return record | {"refused": str(refused), "seconds": time.process_time() - started}
    return record | {
        "errors": errors(problem, found.expansion),
        "claimed": found.rounds[-1].worst[1],
        "rounds": [(r.steps, r.paths) for r in found.rounds],
        "path-steps": sum(r.path_steps for r in found.rounds),
        "seconds": time.process_time() - started,
    }


def errors(problem: Problem, found: Expansion) -> dict[str, float]:
    t = problem.truth
    truth = {"loss0": t[0, 0], "first": t[1, 0] + t[0, 1], "second": t[2, 0] + t[1, 1] + t[0, 2]}
    return {c: abs(getattr(found, c).mean - truth[c]) for c in COEFFICIENTS}


def fixed(name: str, tol: float) -> dict[str, Any]:
    """What one grid takes whose bias and intervals are each within half the tolerance, and `expand_to` beside it."""
    problem = PROBLEMS[name]()

    def made(steps: int, paths: int, grids: int = 1) -> Expansion:
        grid, sampler = TimeGrid(0.0, problem.horizon, steps), QuasiMonteCarlo(paths, seed=0)
        return expand(problem.family, problem.loss, problem.x0, grid, sampler=sampler, grids=grids)

    bias = made(PILOT_STEPS, PILOT_PATHS, grids=3).bias
    steps = 2 ** math.ceil(math.log2(PILOT_STEPS * max(abs(bias[c]) for c in COEFFICIENTS) / (0.5 * tol)))
    paths, each = FEWEST, 1 - (1 - CONFIDENCE) / len(COEFFICIENTS)
    # Intervals hardly know of the grid.
    while max(getattr(made(4 * COARSEST, paths), c).half_width(each) for c in COEFFICIENTS) > 0.5 * tol:
        paths *= 2
    ran = paths if steps * paths <= MOST else max(FEWEST, SAMPLE // steps)
    started = time.process_time()
    found = made(steps, ran)
    spent = (time.process_time() - started) * paths / ran
    record = {"problem": name, "tol": tol, "steps": steps, "paths": paths, "paths run": ran, "seconds": spent}
    if ran == paths:
        record["errors"] = errors(problem, found)
    return record | {"expand_to": run(name, tol, seed=0)}


def costs(fixed: list[dict[str, Any]]) -> Table:
    shown = Table(title="Against one fixed grid that is told its steps and paths", title_justify="left")
    for column in ("problem", "tolerance", "steps", "paths", "largest error", "seconds", "of expand_to", "times"):
        shown.add_column(column, justify="left" if column == "problem" else "right")
    for f in fixed:
        ours = f["expand_to"]["seconds"]
        shown.add_row(
            f["problem"], f"{f['tol']:g}", f"{f['steps']}", f"{f['paths']}",
            f"{max(f['errors'].values()):.1e}" if "errors" in f else "predicted",
            f"{f['seconds']:.1f}", f"{ours:.1f}", f"{f['seconds'] / ours:.2g}",
        )  # fmt: skip
    return shown


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
    grids: list[dict[str, Any]] = []
    if args.json is not None and args.json.exists():
        record = json.loads(args.json.read_text(encoding="utf-8"))
        runs, grids = record["runs"], record.get("fixed", [])

    def keep() -> None:
        if args.json is not None:
            record = {
                "environment": environment(), "confidence": CONFIDENCE, "coarsest": COARSEST, "fixed": grids,
                "runs": runs,
            }  # fmt: skip
            write_text(args.json, json.dumps(record, indent=1, ensure_ascii=False) + "\n")

    for tol in args.tol or [1e-3]:
        for name in args.problem or PROBLEMS:
            if (name, tol) not in {(f["problem"], f["tol"]) for f in grids}:
                grids.append(fixed(name, tol))
                keep()
    done = {(r["problem"], r["tol"], r["seed"]) for r in runs}
    for seed in range(args.seeds):
        for tol in args.tol or [1e-3]:
            for name in args.problem or PROBLEMS:
                if (name, tol, seed) in done:
                    continue
                runs.append(run(name, tol, seed))
                keep()
    console = Console(width=120)
    console.print(table(runs))
    console.print(costs(grids))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
