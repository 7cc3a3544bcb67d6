"""``python -m theory_checks``: hold the paper's claims against numbers."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, get_args

import torch
from rich.console import Console

from sdewm.options import Parser, add_report_options, add_store_options
from sdewm.paper.errata import without_entry
from sdewm.paper.records import load
from sdewm.stops import Stopped, Stops
from sdewm.streams import take_any_character
from sdewm.verdicts.judge import LeftOut, Verdict
from sdewm.verdicts.record import as_record, write_json
from sdewm.verdicts.words import failures, summary
from sdewm.verification.finished import Finished
from sdewm.verification.settings import SamplerName, Settings
from sdewm.verification.store import Store
from sdewm.verification.tables import print_claims, print_table, print_terms
from sdewm.verification.time_left import TimeLeft, progress_bar
from theory_checks.cluster import Unreachable, connected, on_cluster
from theory_checks.discovery import claims
from theory_checks.executor import Died, in_processes, in_this_process
from theory_checks.listings import print_errata, print_statements
from theory_checks.unit_store import unit_store
from theory_checks.units import Unit, units, work

DESCRIPTION = """\
Hold the paper's claims against numbers, as printed and as corrected.

Each claim is checked on systems whose exact answer is known (gbm, ou, linear, circle,
latent-linear), on a reference latent dynamics model (latent), on a world model trained on
walker episodes (trained: refined to continuous time; trained-step: its own discrete step) and
on the models of two agents from pixels, in their own step (lean, and lean-regularized with (20)).

Where a corrected statement is inconclusive its sample is doubled with new paths, up to four
times; each test may use half of what is left of the significance.
"""

EPILOG = """\
examples:
  python -m theory_checks                               all claims on all systems, about three minutes on two cores
  python -m theory_checks --quick                       fewer systems, coarser
  python -m theory_checks theorem_3_7 --system gbm      one claim on one system
  python -m theory_checks --estimate --workers 8        how long it takes, without running it
  python -m theory_checks --json report.json            also write every reading's record
  python -m theory_checks --html report.html            also as a web page, with figures
  python -m theory_checks covering_map --verbose        with every row, its numbers and their errors
  python -m theory_checks --errata --report report.json what does not hold as printed, with a run's numbers
  python -m theory_checks --statements                  every numbered statement and the check that covers it

An interrupted run resumes with the same command. Each finished unit (a claim, or those of the expansion together, on
one system) is stored for this version of the code; runs with the same seed, precision and sampler do not run it again.

exit status: 0 no corrected statement is refuted or inconclusive; 1 one is, or a unit is not done because its process
died three times, or the report cannot be written; 2 bad arguments; 130 stopped by Ctrl-C, 143 by SIGTERM.
A row that is indistinguishable from 0 is counted and named; it is no failure where another row
of its claim is verified.
"""


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    known = list(dict.fromkeys(s for claim in claims().values() for s in claim.systems))
    listed = ", ".join(claims())
    parser = Parser(
        prog="python -m theory_checks",
        description=DESCRIPTION,
        epilog=EPILOG,
    )
    parser.add_argument("claims", nargs="*", metavar="NAME", help=f"claims to check: {listed} (all)")
    parser.add_argument(
        "--system",
        action="append",
        choices=known,
        metavar="SYSTEM",
        help=f"check on this system only; may be repeated: {', '.join(known)}",
    )
    parser.add_argument("--seed", type=int, default=0, help="one seed determines the run (0)")
    parser.add_argument(
        "--precision",
        type=float,
        metavar="X",
        help="a coefficient counts as verified within this part of itself, or of its root mean square over paths "
        "where it is not known exactly (1e-3, or 1e-2 with --quick); sample sizes follow",
    )
    parser.add_argument(
        "--sampler",
        choices=get_args(SamplerName),
        default="rqmc",
        help="randomized quasi-Monte Carlo, plain Monte Carlo, or that in antithetic pairs; the last two need far more "
        "paths for the same precision: with them rows that rqmc decides may stay inconclusive (%(default)s)",
    )
    parser.add_argument("--quick", action="store_true", help="precision 1e-2, on a part of the systems")
    parser.add_argument("--full", action="store_true", help="precision 3e-4, on every system; takes up to an hour")
    parser.add_argument("--statements", action="store_true", help="list the paper's statements and what covers them")
    parser.add_argument("--errata", action="store_true", help="list what does not hold as printed, and how it is known")
    parser.add_argument(
        "--report", type=Path, metavar="PATH", help="with --statements or --errata: a report that --json wrote"
    )
    parser.add_argument("--verbose", action="store_true", help="print the terms of the expansion and every row too")
    add_report_options(parser, "the records of all verdicts", "the report as one web page")
    parser.add_argument(
        "--workers",
        type=int,
        default=os.cpu_count() or 1,
        help="processes side by side; the numbers do not depend on it (%(default)s)",
    )
    parser.add_argument(
        "--scheduler",
        metavar="tcp://HOST:PORT",
        help="work on the Dask cluster of this scheduler instead, one unit at a time on each of its workers "
        "(pip install 'sdewm[scale]'; docs/scale.md)",
    )
    parser.add_argument(
        "--estimate",
        action="store_true",
        help="say how many units there are and about how long they take, one by one and side by side, and run nothing",
    )
    add_store_options(parser, "checks", "units")
    args = parser.parse_args(argv)
    unknown = [c for c in args.claims if c not in claims()]
    if unknown:
        parser.error(f"argument NAME: unknown claim {unknown[0]!r} (choose from {listed})")
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
    if args.report is not None and not (args.statements or args.errata):
        parser.error("argument --report: expected with --statements or --errata")
    try:
        args.records = load(args.report) if args.report is not None else []
    except ValueError as error:
        parser.error(f"argument --report: {error}")
    return args


def main(argv: Sequence[str] | None = None) -> int:
    take_any_character()
    args = parse(argv)
    console = Console(width=None if sys.stdout.isatty() else 200)
    if args.statements:
        print_statements(args.records, console)
    if args.errata:
        print_errata(args.records, console)
    if args.statements or args.errata:
        return 0
    torch.set_num_threads(1)  # one thread for each worker, and the report says so
    names = [name for name in claims() if not args.claims or name in args.claims]
    covered = {name: claims()[name].covered for name in names}
    to_do = units(names, args.system, args.quick)
    if not to_do:
        print(f"no claim among {', '.join(names)} is checked on {', '.join(args.system)}", file=sys.stderr)
        return 2
    settings = Settings(args.precision, args.seed, args.sampler)
    if args.estimate:
        print_estimate(to_do, unit_store(args.runs, settings, say=print), settings, args.workers)
        return 0
    started = time.perf_counter()
    done: dict[Unit, Finished] = {}
    lost: dict[Unit, Died] = {}
    unwritten: set[Path] = set()
    stopped: Stopped | None = None
    unreachable = False
    resumed = 0.0

    def rows() -> tuple[list[Verdict], list[LeftOut]]:
        # In the order of claims, then of systems, whatever finished first.
        found = [row for u in to_do if u in done for row in done[u].rows]
        in_order = [row for name in names for row in found if row.claim == name]
        return [r for r in in_order if isinstance(r, Verdict)], [r for r in in_order if isinstance(r, LeftOut)]

    def record() -> dict[str, Any]:
        in_order = [done[u] for u in to_do if u in done]
        run = {
            "claims": names,
            "statements": covered,
            "systems": list(dict.fromkeys(u.system for u in to_do)),
            "finished": [[*u.claims, u.system] for u in to_do if u in done],
            "seed": args.seed,
            "precision": args.precision,
            "sampler": args.sampler,
            "workers": args.workers,
            "seconds": time.perf_counter() - started,
        }
        return as_record(*rows(), [t for f in in_order for t in f.terms], [c for f in in_order for c in f.curves], run)

    def put(path: Path, write: Callable[[], None]) -> None:
        # A full disk costs the file, and not what is being computed.
        try:
            write()
            unwritten.discard(path)
        except OSError as error:
            if path not in unwritten:
                print(f"{path}: cannot be written ({error.strerror})", file=sys.stderr)
            unwritten.add(path)

    store = unit_store(args.runs, settings, say=lambda line: print(line, file=sys.stderr))
    with Stops() as stops:
        try:
            if not args.fresh:
                done |= store.take_up(to_do)
            if done:
                resumed = sum(f.seconds for f in done.values())
                print(f"{_units(done, to_do)} resumed from {store.root}; --fresh runs them again", file=sys.stderr)
            queue = [u for u in to_do if u not in done]
            with _workers(args.scheduler, min(args.workers, len(to_do))) as (run, processes):
                with closing(_finish(queue, store, settings, run, processes)) as finishing:
                    for unit, result in finishing:
                        if isinstance(result, Died):
                            lost[unit] = result
                        else:
                            done[unit] = store.keep(unit, result)
                            if args.json is not None:
                                put(args.json, partial(write_json, args.json, record()))
            stops.armed = False
        except Stopped as stop:
            stopped = stop
        except Unreachable as error:
            stops.armed = False
            print(f"argument --scheduler: {error}", file=sys.stderr)
            if not done:
                return 2
            unreachable = True
        verdicts, left_out = rows()
        if args.json is not None:
            put(args.json, partial(write_json, args.json, record()))
        if args.html is not None:
            from sdewm.page import write_page  # takes matplotlib

            put(args.html, partial(write_page, record(), args.html))
        if args.verbose:
            terms = [t for u in to_do if u in done for t in done[u].terms]
            if terms:
                print_terms(terms, console)
            if verdicts:
                print_table(verdicts, console)
        if verdicts or left_out:
            spent = {name: sum(f.by_claim.get(name, 0.0) for f in done.values()) for name in names}
            print_claims(verdicts, left_out, covered, spent, console)
        counts, *named = summary(verdicts, left_out)
        seconds = f"{time.perf_counter() - started:.0f} s" + (
            f" and {resumed:.0f} s of resumed units" if resumed else ""
        )
        console.print(f"\n{counts}; {seconds}, seed {args.seed}, {args.sampler}.", highlight=False)
        for line in named:
            console.print(line, highlight=False)
        for claim, quantity in without_entry([v.as_dict() for v in verdicts]):
            console.print(f"  refuted in every reading, and not in the errata: {claim}, {quantity}", highlight=False)
        for unit, died in lost.items():
            console.print(f"  not done: {unit}: {died}", highlight=False)
        if stopped is not None:
            again = "the same command without --fresh" if args.fresh else "the same command"
            console.print(
                f"stopped by {stopped.name}: {_units(done, to_do)} finished; "
                + (f"{again} resumes" if store.keeps else "not all of them are stored"),
                highlight=False,
            )
            return stopped.status
    return 1 if lost or unreachable or unwritten or failures(verdicts) else 0


Runner = Callable[..., Generator[tuple[Unit, Finished | Died], None, None]]


@contextmanager
def _workers(scheduler: str | None, processes: int) -> Iterator[tuple[Runner, int]]:
    """What runs units, and how many of them side by side."""
    if scheduler is not None:
        with connected(scheduler) as client:
            yield partial(on_cluster, client=client), sum(client.nthreads().values())
    elif processes == 1:
        yield in_this_process, 1
    else:
        yield partial(in_processes, processes=processes), processes


def _expected(queue: Sequence[Unit], store: Store[Unit], settings: Settings) -> dict[Unit, float]:
    """Seconds that each unit takes: those of its last run here, or else what is stated for it."""
    # Sample sizes follow the precision, and the seconds with them.
    coarser = settings.precision / Settings().precision
    return {u: store.seconds(u) or u.cost / coarser for u in queue}


def print_estimate(queue: Sequence[Unit], store: Store[Unit], settings: Settings, workers: int) -> None:
    """How long the units take one by one, and side by side, the longest first."""
    expected = _expected(queue, store, settings)
    kept = len(store.take_up(queue))
    lanes = [0.0] * workers
    for seconds in sorted(expected.values(), reverse=True):
        lanes[lanes.index(min(lanes))] += seconds
    longest = max(expected, key=lambda u: expected[u])
    print(
        f"{len(queue)} units, about {sum(expected.values()):.0f} s of one processor, "
        f"{max(lanes):.0f} s by {workers} workers; no fewer than {expected[longest]:.0f} s by any number, which is "
        f"{longest}. {kept} of the units are finished, and would be resumed."
    )


def _finish(
    queue: Sequence[Unit], store: Store[Unit], settings: Settings, run: Runner, processes: int
) -> Generator[tuple[Unit, Finished | Died], None, None]:
    """Work on all units, the longest first, behind a progress bar."""
    queue = sorted(queue, key=lambda u: -u.cost)
    left = TimeLeft(_expected(queue, store, settings), processes)
    with progress_bar(left) as bar:
        task = bar.add_task("checking", total=len(queue))

        def starting(unit: Unit) -> None:
            left.start(unit)
            bar.update(task, description=f"checking {unit.system}")

        with closing(run(partial(work, settings=settings), queue, starting=starting)) as finishing:
            for unit, result in finishing:
                yield unit, result
                left.end(unit, result.seconds if isinstance(result, Finished) else None)
                bar.advance(task)


def _units(some: Collection[Unit], all_of_them: Collection[Unit]) -> str:
    return f"{len(some)} of {len(all_of_them)} units"
