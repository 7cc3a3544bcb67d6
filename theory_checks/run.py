"""``python -m theory_checks``: hold the paper's claims against numbers."""

from __future__ import annotations

import argparse
import importlib
import multiprocessing
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from sdewm.report import grouped, overall, print_table, print_terms, write_json
from sdewm.verdicts import Comparison, Verdict, judge_all
from theory_checks.evidence import Settings, gather
from theory_checks.systems import OPTIONAL, SYSTEMS

CLAIMS = ("prop_b5", "lemma_b7", "theorem_3_7", "corollary_3_8")
QUICK_SYSTEMS = ("gbm", "ou", "circle", "latent", "trained-step")
# The longest first, so that no worker is left with a long one at the end.
BY_COST = ("latent", "latent-linear", "trained", "trained-constant", "linear", "circle")

DESCRIPTION = """\
Hold the paper's claims against numbers, as printed and as corrected.

Each claim is checked on systems whose exact answer is known (gbm, ou, linear, circle,
latent-linear), on a reference latent dynamics model (latent) and on a world model trained on
walker episodes (trained: refined to continuous time; trained-step: its own discrete step).
"""

EPILOG = """\
examples:
  python -m theory_checks                               all claims on all systems, about two minutes
  python -m theory_checks --quick                       fewer systems, coarser, in about one
  python -m theory_checks theorem_3_7 --system gbm      one claim on one system
  python -m theory_checks --json report.json            also write every reading's record
  python -m theory_checks.theorem_3_7                   one claim's file, alone

exit status: 0 every corrected statement is verified, 1 one is refuted or inconclusive, 2 bad arguments
"""


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m theory_checks",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("claims", nargs="*", metavar="NAME", help=f"claims to check: {', '.join(CLAIMS)} (all)")
    parser.add_argument(
        "--system", action="append", choices=list(SYSTEMS), metavar="SYSTEM",
        help=f"check on this system only; may be repeated: {', '.join(SYSTEMS)} "
        f"(all but {', '.join(OPTIONAL)})",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, help="one seed determines the run (0)")
    parser.add_argument(
        "--precision", type=float, metavar="X",
        help="a coefficient counts as verified within this part of itself, or of its root mean square over paths "
        "where it is not known exactly (1e-3, or 1e-2 with --quick); sample sizes follow",
    )  # fmt: skip
    parser.add_argument("--quick", action="store_true", help=f"precision 1e-2, on {', '.join(QUICK_SYSTEMS)} only")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the records of all verdicts to PATH")
    parser.add_argument(
        "--workers", type=int, default=min(len(SYSTEMS), os.cpu_count() or 1),
        help="processes side by side; the numbers do not depend on it (%(default)s)",
    )  # fmt: skip
    args = parser.parse_args(argv)
    unknown = [c for c in args.claims if c not in CLAIMS]
    if unknown:
        parser.error(f"argument NAME: unknown claim {unknown[0]!r} (choose from {', '.join(CLAIMS)})")
    if args.precision is None:
        args.precision = 1e-2 if args.quick else 1e-3
    if not 1e-5 <= args.precision <= 0.1:
        parser.error(f"argument --precision: expected a number from 1e-5 to 0.1, got {args.precision}")
    if args.workers < 1:
        parser.error(f"argument --workers: expected a positive number, got {args.workers}")
    if args.seed < 0:
        parser.error(f"argument --seed: expected a number of at least 0, got {args.seed}")
    if args.json is not None and not args.json.resolve().parent.is_dir():
        parser.error(f"argument --json: no folder {args.json.resolve().parent}")
    return args


@dataclass(frozen=True)
class Finished:
    """What a system contributes to the report."""

    comparisons: list[Comparison]
    terms: list[dict[str, object]]


def check_system(system: str, claims: Sequence[str], settings: Settings) -> Finished:
    """All asked-for claims on one system, which share what is sampled."""
    torch.set_num_threads(1)
    comparisons: list[Comparison] = []
    for claim in claims:
        comparisons += importlib.import_module(f"theory_checks.{claim}").check(system, settings)
    return Finished(comparisons, gather(system, settings).terms)


def main(argv: Sequence[str] | None = None) -> int:
    args = parse(argv)
    torch.set_num_threads(1)  # one thread for each worker, and the report says so
    claims = [c for c in CLAIMS if not args.claims or c in args.claims]
    chosen = args.system or (QUICK_SYSTEMS if args.quick else [s for s in SYSTEMS if s not in OPTIONAL])
    systems = [s for s in SYSTEMS if s in chosen]
    settings = Settings(args.precision, args.seed)
    console = Console(width=None if sys.stdout.isatty() else 200)
    started = time.perf_counter()

    def report(done: dict[str, Finished]) -> list[Verdict]:
        # In the order of claims, then of systems, whatever finished first.
        in_order = [done[s] for s in systems if s in done]
        verdicts = judge_all([c for claim in claims for f in in_order for c in f.comparisons if c.claim == claim])
        if args.json is not None:
            run = {
                "claims": claims, "systems": systems, "finished": [s for s in systems if s in done],
                "seed": args.seed, "precision": args.precision, "workers": args.workers,
                "seconds": time.perf_counter() - started,
            }  # fmt: skip
            write_json(args.json, verdicts, [t for f in in_order for t in f.terms], run)
        return verdicts

    done: dict[str, Finished] = {}
    queue = sorted(systems, key=lambda s: BY_COST.index(s) if s in BY_COST else len(BY_COST))
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty(), transient=True) as bar:
        task = bar.add_task("checking", total=len(systems))
        if args.workers == 1 or len(systems) == 1:
            for system in queue:
                bar.update(task, description=f"checking {system}")
                done[system] = check_system(system, claims, settings)
                report(done)
                bar.advance(task)
        else:
            context = multiprocessing.get_context("spawn")
            with ProcessPoolExecutor(args.workers, mp_context=context) as pool:
                futures = {pool.submit(check_system, s, claims, settings): s for s in queue}
                for future in as_completed(futures):
                    done[futures[future]] = future.result()
                    report(done)
                    bar.advance(task)
    verdicts = report(done)
    print_terms([t for s in systems for t in done[s].terms], console)
    print_table(verdicts, console)
    corrected = [v for v in verdicts if v.form == "corrected"]
    failed = [v for v in corrected if v.status != "verified"]
    seconds = time.perf_counter() - started
    console.print(
        f"\n{len(corrected) - len(failed)} of {len(corrected)} corrected statements verified; "
        f"{_refuted(verdicts)}; {seconds:.0f} s, seed {args.seed}.",
        highlight=False,
    )
    for v in failed:
        console.print(
            f"  {v.status}: {v.claim} on {v.system}, {v.quantity}, {v.reading}: {v.statistic:+.3e} ± {v.stderr:.1e}, "
            f"numerical {v.numerical:.1e}, margin {v.margin:.1e}",
            highlight=False,
        )
    return 1 if failed else 0


def _refuted(verdicts: list[Verdict]) -> str:
    groups = grouped([v for v in verdicts if v.form == "printed"])
    refuted = sum(overall(g, "printed") == "refuted" for g in groups.values())
    return f"{refuted} of {len(groups)} printed ones refuted in every reading"
