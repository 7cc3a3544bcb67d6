"""Every scheme of the field on problems with exact truths: orders, errors for the time they take, and what is refused.

    python -m benchmarks.problems --json results/problems.json
    python -m benchmarks.problems --problem "heisenberg, ito"

Ours, torchsde's, diffrax's and sdeint's, where they are installed, on the 62 problems of
``sdewm.exact.strong_problems`` and the stiff and super-linear ones of ``sdewm.exact.hard_problems``; about half an hour
on one core. All see the same Brownian paths, areas and integrals over time, drawn jointly. torchsde and diffrax are run
a second time by their own solve on paths of their own; where noises do not commute the exact solution asks for areas
that nobody can read there, and the row is left out. Strong errors are against the exact solution, at five step lengths.
Errors on the hard problems are those of a mean.

How an order is judged. The order p and its interval are those of :func:`sdewm.convergence`: log C + p log h + c h is
fitted to log errors, with a term in h² where those leave more than noise. The interval knows of sampling alone; terms
that the fit leaves out have p off by a little, whatever the number of paths. How little, the ladder itself tells: d is
what the last fitted term changed p by. Where each further term changes it by at most half of what the one before did,
as terms worth a fit do on steps that are halved, all of them change it by at most |d| (½ + ¼ + …) = |d|. So the
interval is widened by |d| on either side. Strong orders of schemes are multiples of ½: a widened interval that holds
two of them cannot tell one from the next, and shows no order. Otherwise the order is as declared where the widened
interval holds the declared one, below where all of it is less, above where all of it is more. There is no tolerance.

Times are of the processor, per path, of a whole solve as each package's user makes it, the lesser of two on the
problems of the figure; those of drawing the noise, by our generator, are beside them. JAX's compilation is not counted.
sdeint takes one path at a time, and gets fewer. ``--json PATH`` is written after each problem, and what it already has
is not measured again, but for packages that were missing.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import itertools
import json
import math
import os
import time
import warnings
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

# One thread for JAX, as for torch; read once, when it is first imported.
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from benchmarks.entrants import PACKAGES, Entrant, entrants
from benchmarks.native import with_diffrax, with_torchsde
from sdewm.exact.hard_problems import HARD_PROBLEMS, HardProblem
from sdewm.exact.strong_problems import STRONG_PROBLEMS, StrongProblem
from sdewm.files import write_text
from sdewm.noise.brownian import BrownianPath
from sdewm.noise.grid import TimeGrid
from sdewm.noise.stored_areas import StoredAreas
from sdewm.solvers.order_fit import fit_order
from sdewm.solvers.structure import NoiseStructure, noise_structure
from sdewm.verdicts.record import environment

SEED, GROUP = 0, 32
CONFIDENCE = 0.999  # there are some thousand intervals: one of them may miss by chance
PATHS, LEVELS = 2048, (3, 4, 5, 6, 7)
FEW_PATHS, FEW_LEVELS, FEW_HARD_LEVELS, FEW_GROUP = 256, (2, 3, 4, 5, 6), (4, 5, 6), 8  # for sdeint
HARD_PATHS, HARD_LEVELS = 512, (4, 5, 6, 7, 8, 9)
WITHIN = 0.05  # how near a mean has to be, relative to the truth, beside three standard errors of at most as much
# The problems of the figure.
SHOWN = ("exponential, ito", "square of time, ito", "spiral, ito", "spiral, stratonovich")
SHOWN += ("exponential of an integral, ito",)
ALGORITHM = "mrongowius-roessler"  # which draws integrals over time jointly with the areas
UNREAD = "the exact solution asks for areas, and those of its own path cannot be read"
NOT_RUN = ("missing", "refused", "left out")
Row = dict[str, Any]


# -- noise


def noise(problem: StrongProblem | HardProblem, level: int, paths: int, structure: NoiseStructure) -> StoredAreas:
    """Increments, areas and integrals on 2^level steps; where noises commute, areas are zeros that nobody looks at."""
    path = BrownianPath(SEED, paths, structure.channels)
    if with_areas(problem):
        steps = path.at(level, finest=level, algorithm=ALGORITHM).both_areas()
        dB, areas, integrals = (torch.stack(values) for values in zip(*steps, strict=True))
    else:
        steps = path.at(level, finest=level).time_areas()
        dB, integrals = (torch.stack(values) for values in zip(*steps, strict=True))
        areas = dB.new_zeros(()).expand(*dB.shape, structure.channels)
    return StoredAreas(dB, areas, integrals, dt=2.0**-level)


def with_areas(problem: StrongProblem | HardProblem) -> bool:
    return isinstance(problem, StrongProblem) and not problem.commuting


def drawing(problem: StrongProblem | HardProblem, levels: tuple[int, ...], paths: int, channels: int) -> Row:
    """Microseconds per path that drawing each kind of noise takes, by numbers of steps."""
    path = BrownianPath(SEED, paths, channels)
    kinds: dict[str, Callable[[Any], Any]] = {"increments": iter, "time areas": lambda given: given.time_areas()}
    if with_areas(problem):
        kinds["areas"] = lambda given: given.areas()
    found: Row = {"steps": [2**level for level in levels]}
    for kind, draw in kinds.items():
        found[kind] = [timed(partial(_drawn, draw, path, level), 1)[1] / paths for level in levels]
    return found


def _drawn(draw: Callable[[Any], Any], path: BrownianPath, level: int) -> None:
    for _ in draw(path.at(level, finest=level)):
        pass


# -- measurements


def timed(run: Callable[[], Any], times: int = 2) -> tuple[Any, float]:
    """What a function returns, and the least of its times in microseconds of the processor."""
    spent = []
    for _ in range(times):
        start = time.process_time()
        value = run()
        spent.append(time.process_time() - start)
    return value, 1e6 * min(spent)


def short(problem: StrongProblem | HardProblem, entrant: Entrant) -> tuple[int, tuple[int, ...]]:
    """The number of paths and the levels for an entrant."""
    if entrant.package == "sdeint":
        return FEW_PATHS, FEW_LEVELS if isinstance(problem, StrongProblem) else FEW_HARD_LEVELS
    return (PATHS, LEVELS) if isinstance(problem, StrongProblem) else (HARD_PATHS, HARD_LEVELS)


def first(given: StoredAreas, paths: int) -> StoredAreas:
    integrals = None if given.integrals is None else given.integrals[:, :paths]
    return StoredAreas(given.values[:, :paths], given.stored[:, :paths], integrals, dt=given.dt)


def ladder(
    entrant: Entrant, given: dict[int, StoredAreas], paths: int, levels: tuple[int, ...], times_run: int
) -> tuple[list[Tensor | str], list[float]]:
    """The final states on each level, or why there are none, and microseconds per path."""
    ends: list[Tensor | str] = []
    times = []
    for level in levels:
        run = entrant.prepare(TimeGrid(0.0, 1.0, 2**level), first(given[level], paths))
        try:
            x, spent = timed(run, times_run)
        except Exception as error:
            ends.append(f"{type(error).__name__}: {str(error).splitlines()[0]}")
            times.append(math.nan)
            continue
        ends.append(x.detach() if bool(torch.isfinite(x).all()) else "not finite")
        times.append(spent / paths)
    return ends, times


def strong_row(levels: tuple[int, ...], ends: list[Tensor | str], true: Tensor, declared: float) -> Row:
    """Errors against the exact solution, and the order that they show."""
    if wrong := [end for end in ends if isinstance(end, str)]:
        return {"refused": wrong[0]} if len(wrong) == len(ends) else {"verdict": "not finite", "reason": wrong[0]}
    states = [end for end in ends if isinstance(end, Tensor)]
    group = GROUP if len(true) >= GROUP**2 else FEW_GROUP  # at least as many groups as paths in one
    table = np.array([groups(x, true, group) for x in states])
    size = float(true.square().sum(-1).mean().sqrt())
    fit = fit_order(
        2.0 ** -np.array(levels), table, 0.5, paths=len(true), seed=SEED, size=size,
        rounding=np.finfo(float).eps * size * 2 ** (levels[-1] / 2),
        successive=np.array([groups(x, y, group) for x, y in itertools.pairwise(states)]),
    )  # fmt: skip
    errors = np.sqrt(table.mean(1))
    spread = table.std(1, ddof=1) / math.sqrt(table.shape[1])
    return {
        "declared": declared, "order": fit.order.mean, "interval": list(fit.order.interval(CONFIDENCE)),
        "change": fit.change, "slope": fit.slope.mean, "regime": fit.regime, "reason": fit.reason,
        "verdict": verdict(declared, fit.order.interval(CONFIDENCE), fit.change, fit.regime),
        "errors": errors.tolist(), "stderrs": (spread / (2 * np.maximum(errors, 1e-300))).tolist(),
    }  # fmt: skip


def groups(x: Tensor, y: Tensor, group: int) -> np.ndarray:
    return ((x - y) ** 2).sum(-1).view(-1, group).mean(1).numpy()


def verdict(declared: float, interval: tuple[float, float], change: float, regime: str) -> str:
    """What a measured order says of the declared one, by the rule that this module states."""
    if regime == "levelling off":
        return "wrong limit"
    if regime == "no convergence":
        return "does not converge"
    if regime != "asymptotic":
        return "exact" if regime == "at rounding" else "no order shown"
    low, high = interval[0] - abs(change), interval[1] + abs(change)
    if math.isnan(change) or math.floor(2 * high) > math.ceil(2 * low):
        return "no order shown"
    if high < declared:
        return "below"
    return "above" if low > declared else "as declared"


def mean_row(levels: tuple[int, ...], ends: list[Tensor | str], problem: HardProblem) -> Row:
    """Relative errors of the mean; ``None`` where there is no number."""
    errors: list[float | None] = []
    stderrs: list[float | None] = []
    right = []
    for end in ends:
        value = None if isinstance(end, str) else problem.functional(end)
        if value is None or not bool(torch.isfinite(value).all()):
            errors.append(None)
            stderrs.append(None)
            right.append(False)
            continue
        error, stderr = (
            float(v) / problem.truth for v in (value.mean() - problem.truth, value.std() / len(value) ** 0.5)
        )
        errors.append(error)
        stderrs.append(stderr)
        right.append(abs(error) <= WITHIN + 3 * min(stderr, WITHIN))
    wrong = [i for i, ok in enumerate(right) if not ok]
    reached = wrong[-1] + 1 if wrong else 0
    if reached < len(levels):
        return {"errors": errors, "stderrs": stderrs, "right from": 2 ** levels[reached], "verdict": "right"}
    return {"errors": errors, "stderrs": stderrs, "verdict": "not finite" if errors[-1] is None else "wrong"}


def measure(name: str, packages: set[str]) -> tuple[list[Row], Row]:
    """The rows of some packages on a problem, and what drawing its noise takes."""
    problem: StrongProblem | HardProblem = STRONG_PROBLEMS[name] if name in STRONG_PROBLEMS else HARD_PROBLEMS[name]
    strong = isinstance(problem, StrongProblem)
    paths, levels = (PATHS, LEVELS) if strong else (HARD_PATHS, HARD_LEVELS)
    structure = noise_structure(problem.sde, problem.x0, TimeGrid(0.0, 1.0, 2 ** levels[-1]))
    finest = noise(problem, levels[-1], paths, structure)
    given = {level: finest.coarsen(2 ** (levels[-1] - level)) for level in {*levels, *FEW_LEVELS}}
    found, others = entrants(problem.sde, problem.x0, TimeGrid(0.0, 1.0, 2 ** levels[-1]), structure, not strong)
    rows: list[Row] = [{"problem": name, "noise": structure.kind} | row for row in others]
    for entrant in found:
        if entrant.package not in packages:
            continue
        some, those = short(problem, entrant)
        # The first run of JAX compiles.
        twice = entrant.package == "diffrax" or (name in SHOWN and entrant.package != "sdeint")
        ends, times = ladder(entrant, given, some, those, twice + 1)
        if isinstance(problem, StrongProblem):
            whole = first(finest, some).coarsen(finest.steps)
            W, A = whole.values[0], whole.stored[0]
            true = problem.reference(W) if problem.commuting else problem.reference(W, A)
            result = strong_row(those, ends, true, entrant.declared)
        else:
            result = mean_row(those, ends, problem)
        rows.append(
            {
                "problem": name, "noise": structure.kind, "package": entrant.package, "method": entrant.method,
                "path": "ours", "needs": entrant.needs, "paths": some, "steps": [2**level for level in those],
                "microseconds": times,
            } | result
        )  # fmt: skip
    if isinstance(problem, StrongProblem):
        rows += natively(problem, structure, packages)
    return [row for row in rows if row["package"] in packages], drawing(problem, levels, paths, structure.channels)


def natively(problem: StrongProblem, structure: NoiseStructure, packages: set[str]) -> list[Row]:
    """Peers' own solves, on their own paths."""
    makers: dict[str, Callable[[], Any]] = {
        "torchsde": lambda: with_torchsde(problem, PATHS, SEED),
        "diffrax": lambda: with_diffrax(problem, structure.kind, PATHS, SEED),
    }
    rows: list[Row] = []
    for package, make in makers.items():
        if package not in packages or not PACKAGES[package]:
            continue
        named = {"problem": problem.name, "noise": structure.kind, "package": package, "path": "its own"}
        if with_areas(problem):
            rows.append(named | {"method": f"{package} its own solve", "left out": UNREAD})
            continue
        method, declared, solve, W = make()
        ends: list[Tensor | str] = []
        times = []
        for level in LEVELS:
            try:
                x, spent = timed(partial(solve, 2**level), 2 if package == "torchsde" else 1)
            except (RecursionError, RuntimeError, ValueError) as error:
                x, spent = f"{type(error).__name__}: {str(error).splitlines()[0]}", math.nan
            ends.append(x)
            times.append(spent / PATHS)
        rows.append(
            named | {
                "method": f"{package} {method}", "needs": "nothing", "paths": PATHS,
                "steps": [2**level for level in LEVELS], "microseconds": times,
            } | strong_row(LEVELS, ends, problem.reference(W), declared)
        )  # fmt: skip
    return rows


# -- report


def show(rows: list[Row], console: Console) -> None:
    table = Table(title="by problem", title_justify="left", pad_edge=False)
    for name in ("problem", "method"):
        table.add_column(name)
    for name in ("declared", "measured", "99.9 %", "finest error", "µs per path"):
        table.add_column(name, justify="right")
    table.add_column("verdict")
    before = ""
    for r in rows:
        name, before = "" if r["problem"] == before else r["problem"], r["problem"]
        if why := next((f"{key}: {r[key]}" for key in NOT_RUN if key in r), None):
            table.add_row(name, r["method"], "", "", "", "", "", why)
            continue
        order = ["", "", ""]
        if "declared" in r:
            shown = r["regime"] == "asymptotic"
            low, high = r["interval"]
            order = [f"{r['declared']:g}", f"{r['order']:.2f}" if shown else "–", f"[{low:.2f}, {high:.2f}]" * shown]
        last = next((e for e in reversed(r.get("errors", [])) if e is not None), None)
        said = f"right from {r['right from']} steps" if "right from" in r else r["verdict"]
        method = r["method"] + ", its own path" * (r["path"] == "its own")
        table.add_row(
            name,
            method,
            *order,
            "" if last is None else f"{abs(last):.1e}",
            "" if r["microseconds"][-1] is None else f"{r['microseconds'][-1]:.2f}",
            said,
        )
    console.print(table)
    counts: dict[str, Counter[str]] = {}
    for r in rows:
        key = next((key for key in NOT_RUN if key in r), None) or r["verdict"]
        counts.setdefault(r["method"] + ", its own path" * (r.get("path") == "its own"), Counter())[key] += 1
    total = Table(title="by method", title_justify="left", pad_edge=False)
    total.add_column("method")
    total.add_column("problems")
    for method, counted in counts.items():
        total.add_row(method, ", ".join(f"{n} {said}" for said, n in counted.most_common()))
    console.print(total)


def versions() -> dict[str, str]:
    found = {}
    for name in ("torchsde", "jax", "diffrax", "sdeint"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def finite(value: Any) -> Any:
    """The same with ``None`` for each number that is none, or infinite: JSON has no name for them."""
    if isinstance(value, dict):
        return {name: finite(one) for name, one in value.items()}
    if isinstance(value, list):
        return [finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def main() -> int:
    names = [*STRONG_PROBLEMS, *HARD_PROBLEMS]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.problems", description=__doc__.split("\n")[0])
    parser.add_argument("--problem", action="append", choices=names, help="this one only; may be repeated")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the record to PATH, or go on with it")
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows: list[Row] = []
    drawn: Row = {}
    spent = 0.0
    console = Console(width=150)
    if args.json is not None and args.json.exists():
        record = json.loads(args.json.read_text(encoding="utf-8"))
        rows, drawn, spent = record["rows"], record["drawing"], record["processor seconds"]
    for package, there in PACKAGES.items():
        if not there:
            console.print(f"{package} is not installed: it has no rows (pip install 'sdewm[bench]')")
    for name in args.problem or names:
        done = {r["package"] for r in rows if r["problem"] == name and not ("missing" in r and PACKAGES[r["package"]])}
        if not (packages := set(PACKAGES) - done):
            continue
        start = time.process_time()
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            found, drawn[name] = measure(name, packages)
        rows = [r for r in rows if r["problem"] != name or r["package"] not in packages] + found
        rows.sort(key=lambda r: (names.index(r["problem"]), list(PACKAGES).index(r["package"])))
        spent += time.process_time() - start
        if args.json is not None:
            record = {
                "environment": environment() | versions(), "seed": SEED, "confidence": CONFIDENCE, "within": WITHIN,
                "processor seconds": spent, "drawing": drawn, "rows": rows,
            }  # fmt: skip
            write_text(
                args.json,
                json.dumps(record, ensure_ascii=False, indent=None).replace('{"problem"', '\n{"problem"') + "\n",
            )
    show([r for r in rows if args.problem is None or r["problem"] in args.problem], console)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
