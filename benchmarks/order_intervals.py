"""Strong orders on problems whose solution is known: measured against true, and how often a true one is rejected.

    python -m benchmarks.order_intervals --json results/order_intervals.json
    python -m benchmarks.order_intervals --problem "heisenberg, ito" --seeds 1

Every scheme of ours and of torchsde that takes the problem, on the same Brownian paths and areas, seed after seed
(``--seeds``, 20; problems whose noise does not commute draw areas, and have one). An interval at 99 % that leaves the
true order out, in a regime that shows an order, is a rejection. ``--json PATH`` is written after each problem, and what
it already has is not measured again.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from sdewm.exact.strong_problems import STRONG_PROBLEMS, StrongProblem
from sdewm.noise.grid import TimeGrid
from sdewm.solvers.methods import stepper
from sdewm.solvers.orders import Convergence, compare_methods
from sdewm.solvers.registry import METHODS
from sdewm.solvers.structure import noise_structure
from sdewm.verdicts.record import environment

CONFIDENCE = 0.99
PATHS = 2048
SPAN = (0.0, 1.0)
# Strong schemes with a true order on every problem here. What a weak scheme has strongly differs from one to the next.
STRONG = ("euler", "milstein", "sri2", "heun")


def true_order(method: str, problem: StrongProblem) -> float | None:
    """What theory gives a scheme on this noise, which may be more than it declares; ``None`` where unknown."""
    if method not in STRONG:
        return None
    if noise_structure(problem.sde, problem.x0, TimeGrid(*SPAN, 8)).kind == "additive":
        return 2.0 if method == "heun" else 1.0  # on a drift that is linear
    if method == "heun":
        return 1.0 if problem.commuting else 0.5
    return stepper(method, problem.sde).strong_order


def takes(method: str, problem: StrongProblem) -> bool:
    try:
        stepper(method, problem.sde).prepare(problem.sde, problem.x0, TimeGrid(*SPAN, 8))
    except (TypeError, ValueError):
        return False
    return True


def measure(problem: StrongProblem, seed: int) -> list[dict[str, Any]]:
    methods = {name: name for name in METHODS if takes(name, problem)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = compare_methods(
            problem.sde, problem.x0, SPAN, methods=methods, reference=problem.reference, paths=PATHS, seed=seed
        )
    return [row(problem, seed, result) for result in found.values()]


def row(problem: StrongProblem, seed: int, result: Convergence) -> dict[str, Any]:
    low, high = result.interval(CONFIDENCE)
    true = true_order(result.method, problem)
    return {
        "problem": problem.name, "method": result.method, "seed": seed, "declared": result.declared, "true": true,
        "order": result.order.mean, "interval": [low, high], "slope": result.slope.mean,
        "slope interval": list(result.slope.interval(CONFIDENCE)), "regime": result.regime, "reason": result.reason,
        "dt": result.dt.tolist(), "errors": result.errors.tolist(),
    }  # fmt: skip


def rejected(r: dict[str, Any], interval: str = "interval") -> bool:
    """Whether a true order is outside an interval."""
    return r["true"] is not None and not r[interval][0] <= r["true"] <= r[interval][1]


def show(rows: list[dict[str, Any]], console: Console) -> None:
    table = Table(title=f"strong orders, {PATHS} paths, seed 0", title_justify="left", pad_edge=False)
    for name in ("problem", "method"):
        table.add_column(name)
    for name in ("declared", "true", "measured", "99 %", "error at the finest Δt"):
        table.add_column(name, justify="right")
    before = ""
    for r in (r for r in rows if r["seed"] == 0):
        if r["regime"] == "asymptotic":
            measured = [f"{r['order']:.3f}", f"[{r['interval'][0]:.3f}, {r['interval'][1]:.3f}]"]
        else:
            measured = ["–", r["regime"]]
        true = "" if r["true"] is None else f"{r['true']:g}"
        name, before = "" if r["problem"] == before else r["problem"], r["problem"]
        table.add_row(name, r["method"], f"{r['declared']:g}", true, *measured, f"{r['errors'][-1]:.1e}")
    console.print(table)
    known = [r for r in rows if r["true"] is not None]
    shown = [r for r in known if r["regime"] == "asymptotic"]
    outside, lines = sum(map(rejected, shown)), sum(rejected(r, "slope interval") for r in shown)
    others = Counter(r["regime"] for r in known if r["regime"] != "asymptotic")
    console.print(
        f"{len(shown)} measurements of a known order: {outside} rejected at {100 * (1 - CONFIDENCE):g} % "
        f"({100 * outside / max(1, len(shown)):.2f} %); the straight line rejects {lines}. No order shown in "
        f"{sum(others.values())}: {', '.join(f'{n} {regime}' for regime, n in others.items()) or 'none'}."
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.order_intervals", description=__doc__.split("\n")[0])
    parser.add_argument("--problem", action="append", choices=STRONG_PROBLEMS, help="this one only; may be repeated")
    parser.add_argument("--seeds", type=int, default=20, help="how many, from 0 on (20)")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the record to PATH, or go on with it")
    args = parser.parse_args()
    rows: list[dict[str, Any]] = []
    if args.json is not None and args.json.exists():
        rows = json.loads(args.json.read_text(encoding="utf-8"))["rows"]
    done, console = {(r["problem"], r["seed"]) for r in rows}, Console(width=120)
    for name in args.problem or STRONG_PROBLEMS:
        problem = STRONG_PROBLEMS[name]
        for seed in range(args.seeds if problem.commuting else 1):
            if (name, seed) not in done:
                rows += measure(problem, seed)
        if args.json is not None:
            record = {"environment": environment(), "paths": PATHS, "confidence": CONFIDENCE, "rows": rows}
            args.json.write_text(json.dumps(record, ensure_ascii=False) + "\n", encoding="utf-8")
    show(rows, console)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
