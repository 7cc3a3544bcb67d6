"""``python -m theory_checks``: hold the paper's claims against numbers."""

from __future__ import annotations

import argparse
import importlib
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import get_args

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from sdewm.paper.errata import without_entry
from sdewm.paper.records import load
from sdewm.report import Curve, failures, print_table, print_terms, summary, write_json
from sdewm.verdicts import LeftOut, Verdict, share_of_look
from theory_checks.evidence import gather
from theory_checks.listings import print_errata, print_statements
from theory_checks.settings import SamplerName, Settings
from theory_checks.systems import SYSTEMS

# In the order of the paper. Those of the expansion share what is sampled on a system.
EXPANSION = ("prop_b5", "lemma_b7", "theorem_3_7", "corollary_3_8")
CLAIMS = (
    "one_step",
    "assumptions",
    "w1_kl",
    "covering_map",
    "proposition_b1",
    *EXPANSION,
    "lemma_b7_steps",
    "sensitivity_sdes",
    "fundamental_matrix",
    "smoothness",
    "convex_loss",
    "ablation",
    "fundamental_matrix_bound",
    "theorem_4_1",
    "initial_value",
    "certified_bounds",
    "corollary_4_2",
    "policy_maximizer",
    "jacobian_regularization",
    "leak",
    "tables",
)
# A true statement is refuted with this probability at most, however many looks it takes: some thousand judgements
# make a run of them all one in a thousand. `python -m benchmarks.false_refutations` measures it: 1e-6 where replicates
# have a skewness up to ½, as those of the closed forms do; 1e-5 at a skewness of 1, and 1e-4 at 4.
LEVEL = 1e-6
# The budget of what stays open: looks at 1, 2, 4, 8 and 16 rounds of sampling.
LOOKS = 5
# The longest first, so that no worker is left with a long one at the end.
BY_COST = ("latent", "latent-linear", "trained", "trained-constant", "clock", "linear", "ladder", "circle")

DESCRIPTION = """\
Hold the paper's claims against numbers, as printed and as corrected.

Each claim is checked on systems whose exact answer is known (gbm, ou, linear, circle,
latent-linear), on a reference latent dynamics model (latent), on a world model trained on
walker episodes (trained: refined to continuous time; trained-step: its own discrete step) and
on the models of two agents from pixels, in their own step (lean, and lean-regularized with (20)).

Sampling goes on where a corrected statement is inconclusive: its sample is doubled up to four
times, with new paths, and each look may spend half of what is left of the false-failure rate.
"""

EPILOG = """\
examples:
  python -m theory_checks                               all claims on all systems, about six minutes
  python -m theory_checks --quick                       fewer systems, coarser
  python -m theory_checks theorem_3_7 --system gbm      one claim on one system
  python -m theory_checks --json report.json            also write every reading's record
  python -m theory_checks.theorem_3_7                   one claim's file, alone
  python -m theory_checks --errata --report report.json what does not hold as printed, with a run's numbers
  python -m theory_checks --statements                  every numbered statement and the check that covers it

exit status: 0 no corrected statement is refuted or inconclusive, 1 one is, 2 bad arguments.
A row that is indistinguishable from 0 is counted and named; it is no failure where another row
of its claim is verified.
"""


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    known = list(dict.fromkeys(s for claim in CLAIMS for s in known_systems(claim)))
    parser = argparse.ArgumentParser(
        prog="python -m theory_checks",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("claims", nargs="*", metavar="NAME", help=f"claims to check: {', '.join(CLAIMS)} (all)")
    parser.add_argument(
        "--system", action="append", choices=known, metavar="SYSTEM",
        help=f"check on this system only; may be repeated: {', '.join(known)}",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, help="one seed determines the run (0)")
    parser.add_argument(
        "--precision", type=float, metavar="X",
        help="a coefficient counts as verified within this part of itself, or of its root mean square over paths "
        "where it is not known exactly (1e-3, or 1e-2 with --quick); sample sizes follow",
    )  # fmt: skip
    parser.add_argument(
        "--sampler", choices=get_args(SamplerName), default="rqmc",
        help="randomized quasi-Monte Carlo, plain Monte Carlo, or that in antithetic pairs; the last two need far more "
        "paths for the same precision: with them rows that rqmc decides may stay inconclusive (%(default)s)",
    )  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="precision 1e-2, on a part of the systems")
    parser.add_argument("--full", action="store_true", help="precision 3e-4, on every system; takes up to an hour")
    parser.add_argument("--statements", action="store_true", help="list the paper's statements and what covers them")
    parser.add_argument("--errata", action="store_true", help="list what does not hold as printed, and how it is known")
    parser.add_argument(
        "--report", type=Path, metavar="PATH", help="with --statements or --errata: a report that --json wrote"
    )
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the records of all verdicts to PATH")
    parser.add_argument(
        "--workers", type=int, default=os.cpu_count() or 1,
        help="processes side by side; the numbers do not depend on it (%(default)s)",
    )  # fmt: skip
    args = parser.parse_args(argv)
    unknown = [c for c in args.claims if c not in CLAIMS]
    if unknown:
        parser.error(f"argument NAME: unknown claim {unknown[0]!r} (choose from {', '.join(CLAIMS)})")
    if args.statements or args.errata:
        # A list runs nothing: what says how to run would be dropped without a word.
        listing = {"statements", "errata", "report"}
        given = [
            name
            for name, value in vars(args).items()
            if name not in listing and (value or None) != (parser.get_default(name) or None)
        ]
        if given:
            name = "NAME" if given[0] == "claims" else f"--{given[0]}"
            parser.error(f"argument {name}: expected without --statements and --errata, which run nothing")
    if args.quick and args.full:
        parser.error("argument --full: expected without --quick")
    if args.precision is None:
        args.precision = 1e-2 if args.quick else 3e-4 if args.full else 1e-3
    if args.full and args.system is None:
        args.system = known
    if not 1e-5 <= args.precision <= 0.1:
        parser.error(f"argument --precision: expected a number from 1e-5 to 0.1, got {args.precision}")
    if args.workers < 1:
        parser.error(f"argument --workers: expected a positive number, got {args.workers}")
    if args.seed < 0:
        parser.error(f"argument --seed: expected a number of at least 0, got {args.seed}")
    if args.json is not None and not args.json.resolve().parent.is_dir():
        parser.error(f"argument --json: no folder {args.json.resolve().parent}")
    if args.report is not None and not (args.statements or args.errata):
        parser.error("argument --report: expected with --statements or --errata")
    try:
        args.records = load(args.report) if args.report is not None else []
    except ValueError as error:
        parser.error(f"argument --report: {error}")
    return args


@dataclass(frozen=True)
class Unit:
    """What one worker does at a time: claims that share what is sampled, on one system."""

    claims: tuple[str, ...]
    system: str

    @property
    def cost(self) -> int:
        """Its place in the queue."""
        return BY_COST.index(self.system) if self.system in BY_COST else len(BY_COST)


@dataclass(frozen=True)
class Finished:
    """What a unit contributes to the report."""

    verdicts: list[Verdict]
    left_out: list[LeftOut]
    terms: list[dict[str, object]]
    curves: list[Curve]


def module(claim: str) -> ModuleType:
    """A claim's file: ``CLAIM``, ``SYSTEMS`` and ``QUICK``, ``check``, and ``curves`` where it has any for figures."""
    return importlib.import_module(f"theory_checks.{claim}")


def units(claims: Sequence[str], systems: Sequence[str] | None, quick: bool) -> list[Unit]:
    """Every claim on every system asked for: those named, or those that its file says."""

    def asked(claim: str) -> Iterator[str]:
        if systems:
            yield from (s for s in known_systems(claim) if s in systems)
        else:
            yield from module(claim).QUICK if quick else module(claim).SYSTEMS

    shared = tuple(c for c in claims if c in EXPANSION)
    found = [Unit(shared, system) for system in (asked(shared[0]) if shared else ())]
    return found + [Unit((c,), system) for c in claims if c not in EXPANSION for system in asked(c)]


def known_systems(claim: str) -> tuple[str, ...]:
    """The systems that a claim can be checked on."""
    return tuple(SYSTEMS) if claim in EXPANSION else tuple(module(claim).SYSTEMS)


def work(unit: Unit, settings: Settings) -> Finished:
    torch.set_num_threads(1)
    rows = _decide(unit, settings)
    curves: list[Curve] = []
    for claim in unit.claims:
        if hasattr(module(claim), "curves"):
            curves += module(claim).curves(unit.system, settings)
    terms = gather(unit.system, settings).terms if set(unit.claims) & set(EXPANSION) else []
    verdicts = [row for row in rows if isinstance(row, Verdict)]
    return Finished(verdicts, [row for row in rows if isinstance(row, LeftOut)], terms, curves)


def _decide(unit: Unit, settings: Settings) -> list[Verdict | LeftOut]:
    """Look at samples that double until every corrected row is decided, or the budget is spent.

    What a look decides stays decided: the next ones are for what is open, and may spend less of the level.
    """
    rows: dict[tuple[str, ...], Verdict | LeftOut] = {}
    for look in range(LOOKS):
        found = _judged(unit, settings.at_look(look), share_of_look(look))
        grown = {key: row for key, row in found.items() if key not in rows or _supersedes(row, rows[key])}
        rows |= grown
        if not any(isinstance(row, Verdict) and _open(row) for row in grown.values()):
            break
    return list(rows.values())


def _judged(unit: Unit, settings: Settings, share: float) -> dict[tuple[str, ...], Verdict | LeftOut]:
    found: dict[tuple[str, ...], Verdict | LeftOut] = {}
    for row in (row for claim in unit.claims for row in module(claim).check(unit.system, settings)):
        judged = row if isinstance(row, LeftOut) else row.judge(LEVEL, share)
        if judged.key in found:
            raise ValueError(f"check: expected one row for each {judged.key}")
        found[judged.key] = judged
    return found


def _supersedes(new: Verdict | LeftOut, old: Verdict | LeftOut) -> bool:
    """A row that was open, or was left out, gives way to one that rests on more paths."""
    if isinstance(new, LeftOut):
        return False
    return isinstance(old, LeftOut) or (old.status == "inconclusive" and new.paths > old.paths)


def _open(row: Verdict) -> bool:
    return row.form == "corrected" and row.status == "inconclusive" and row.sampling_decides


def main(argv: Sequence[str] | None = None) -> int:
    args = parse(argv)
    console = Console(width=None if sys.stdout.isatty() else 200)
    if args.statements:
        print_statements(args.records, console, CLAIMS)
    if args.errata:
        print_errata(args.records, console)
    if args.statements or args.errata:
        return 0
    torch.set_num_threads(1)  # one thread for each worker, and the report says so
    claims = [c for c in CLAIMS if not args.claims or c in args.claims]
    to_do = units(claims, args.system, args.quick)
    if not to_do:
        print(f"no claim among {', '.join(claims)} is checked on {', '.join(args.system)}", file=sys.stderr)
        return 2
    settings = Settings(args.precision, args.seed, args.sampler)
    started = time.perf_counter()

    def report(done: dict[Unit, Finished]) -> tuple[list[Verdict], list[LeftOut]]:
        # In the order of claims, then of systems, whatever finished first.
        in_order = [done[u] for u in to_do if u in done]
        verdicts = [v for claim in claims for f in in_order for v in f.verdicts if v.claim == claim]
        left_out = [row for claim in claims for f in in_order for row in f.left_out if row.claim == claim]
        if args.json is not None:
            run = {
                "claims": claims, "systems": list(dict.fromkeys(u.system for u in to_do)),
                "finished": [[*u.claims, u.system] for u in to_do if u in done],
                "seed": args.seed, "precision": args.precision, "sampler": args.sampler, "workers": args.workers,
                "seconds": time.perf_counter() - started,
            }  # fmt: skip
            terms = [t for f in in_order for t in f.terms]
            write_json(args.json, verdicts, left_out, terms, [c for f in in_order for c in f.curves], run)
        return verdicts, left_out

    done: dict[Unit, Finished] = {}
    queue = sorted(to_do, key=lambda u: u.cost)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty(), transient=True) as bar:
        task = bar.add_task("checking", total=len(queue))
        if args.workers == 1 or len(queue) == 1:
            for unit in queue:
                bar.update(task, description=f"checking {unit.system}")
                done[unit] = work(unit, settings)
                report(done)
                bar.advance(task)
        else:
            context = multiprocessing.get_context("spawn")
            with ProcessPoolExecutor(args.workers, mp_context=context) as pool:
                futures = {pool.submit(work, u, settings): u for u in queue}
                for future in as_completed(futures):
                    done[futures[future]] = future.result()
                    report(done)
                    bar.advance(task)
    verdicts, left_out = report(done)
    terms = [t for u in to_do for t in done[u].terms]
    if terms:
        print_terms(terms, console)
    print_table(verdicts, console)
    counts, *named = summary(verdicts, left_out)
    seconds = time.perf_counter() - started
    console.print(f"\n{counts}; {seconds:.0f} s, seed {args.seed}, {args.sampler}.", highlight=False)
    for line in named:
        console.print(line, highlight=False)
    for claim, quantity in without_entry([v.as_dict() for v in verdicts]):
        console.print(f"  refuted in every reading, and not in the errata: {claim}, {quantity}", highlight=False)
    return 1 if failures(verdicts) else 0
