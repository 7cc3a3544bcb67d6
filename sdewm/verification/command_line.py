"""The command ``sdewm verify MODULE:OBJECT``."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sdewm.options import add_report_options, add_store_options, imported
from sdewm.stops import Stopped, Stops
from sdewm.verification.conformity import check_sde
from sdewm.verification.finished import Finished
from sdewm.verification.identity import fingerprint
from sdewm.verification.looks import SIGNIFICANCE
from sdewm.verification.settings import Settings
from sdewm.verification.store import Store
from sdewm.verification.system import System
from sdewm.verification.system_report import report
from sdewm.verification.time_left import TimeLeft, progress_bar
from sdewm.verification.verify import CLAIMS, SAMPLERS, asked, hold

DESCRIPTION = """\
Hold a system of yours against the theory. MODULE:OBJECT is a System, or a function that returns
one, as Python would import it from here; of several losses each is checked:

    # my_model.py
    import torch
    from sdewm import FunctionSDE, PerturbedSDE, System, TimeGrid

    base = FunctionSDE(f=lambda t, x: torch.sin(x), g=lambda t, x: 0.3 + 0.1 * torch.cos(x))
    error = FunctionSDE(f=lambda t, x: x, g=lambda t, x: torch.tanh(x))  # ε σ dt + ε σ̄ dB
    x0 = torch.tensor([0.8], dtype=torch.float64)
    system = System(PerturbedSDE(base, error), lambda x: (x**2).sum(-1), x0, TimeGrid(0.0, 1.0, 64))

    sdewm verify my_model:system
"""
EPILOG = f"""\
claims: {", ".join(CLAIMS)}

A claim that a system cannot be held against is named with its reason. Printed first is the verdict:
verified; refuted, with the rows that speak against the theory; or undecided, with what is open.

An interrupted run resumes with the same command: each claim is stored as it is finished, for this
version of sdewm and of your own modules, this system's numbers, and the same options. What your code
reads from elsewhere is noticed where it changes coefficients or losses on the pilot paths.

exit status: 0 verified; 1 refuted or undecided, or a file cannot be written; 2 bad arguments, or a
system that is not what it should be: what to change is said; 130 stopped by Ctrl-C, 143 by SIGTERM.
"""

LIBRARY = Path(__file__).parent.parent
# Seconds that a claim takes about, in units of those that all others do, on a system that has not been checked before.
EXPECTED = 10.0


def add_verify_parser(commands: Any) -> None:
    """Add ``verify`` to a parser's subcommands."""
    parser = commands.add_parser(
        "verify",
        help="hold a system of yours against the theory",
        description=DESCRIPTION,
        epilog=EPILOG,
    )
    parser.add_argument("system", metavar="MODULE:OBJECT", help="a System, or a function that returns one")
    parser.add_argument("--claims", nargs="+", choices=CLAIMS, metavar="CLAIM", help="check these alone (all)")
    parser.add_argument(
        "--precision",
        type=float,
        default=1e-2,
        metavar="X",
        help="a coefficient counts as verified within this part of its root mean square over paths (%(default)s)",
    )
    parser.add_argument("--seed", type=int, default=0, help="determines every number (%(default)s)")
    parser.add_argument("--sampler", choices=SAMPLERS, default="rqmc", help="how paths are drawn (%(default)s)")
    parser.add_argument(
        "--budget",
        type=float,
        default=300.0,
        metavar="SECONDS",
        help="samples of what is open are doubled up to four times, as long as that fits in (%(default)g)",
    )
    add_report_options(parser, "the records of all rows", "the report as one web page")
    add_store_options(parser, "verify", "claims")
    parser.set_defaults(run_command=_verify)


def _verify(arguments: argparse.Namespace) -> int:
    try:
        system = load_system(arguments.system).afresh()
        claims, settings, budget = asked(
            system, arguments.claims, arguments.precision, arguments.seed, arguments.sampler, arguments.budget
        )
        notes = check_sde(system).notes
    except (ValueError, TypeError, ImportError) as error:
        print(f"sdewm verify: {error}", file=sys.stderr)
        return 2
    store = claim_store(arguments.runs, system, settings, budget, say=lambda line: print(line, file=sys.stderr))
    taken = {} if arguments.fresh else store.take_up(claims)
    if taken:
        print(f"{len(taken)} of {len(claims)} claims resumed from {store.root}; --fresh checks again", file=sys.stderr)
    found: dict[str, Finished] = {}
    stopped: Stopped | None = None
    with Stops() as stops:
        try:
            with _progress(claims, taken, store) as starting:
                for claim, finished in hold(
                    system, claims, settings, budget, take_up=taken.get, keep=store.keep, starting=starting
                ):
                    found[claim] = finished
            stops.armed = False
        except Stopped as stop:
            stopped = stop
        result = report(system, tuple(found), settings, found.items(), notes)
        status = 0 if result.ok else 1
        if found:
            print(result)
            for name, write in (("json", result.to_json), ("html", result.to_html)):
                path = getattr(arguments, name)
                if path is not None:
                    try:
                        write(path)
                    except OSError as error:
                        print(f"{path}: cannot be written ({error.strerror})", file=sys.stderr)
                        status = 1
        if stopped is not None:
            again = "the same command without --fresh" if arguments.fresh else "the same command"
            more = f"{again} resumes" if store.keeps else "not all of them are stored"
            print(f"stopped by {stopped.name}: {len(found)} of {len(claims)} claims finished; {more}")
            return stopped.status
    return status


@contextmanager
def _progress(claims: Sequence[str], taken: Collection[str], store: Store[str]) -> Iterator[Callable[[str], None]]:
    """A progress bar with the time left, on a terminal. It yields the callback for the beginning of each claim."""
    queue = [claim for claim in claims if claim not in taken]
    left = TimeLeft({claim: store.seconds(claim) or EXPECTED for claim in queue}, workers=1)
    with progress_bar(left) as bar:
        task = bar.add_task("checking", total=len(queue))
        under_way: list[tuple[str, float]] = []

        def starting(claim: str) -> None:
            if under_way:
                before, began = under_way.pop()
                left.end(before, time.monotonic() - began)
                bar.advance(task)
            under_way.append((claim, time.monotonic()))
            left.start(claim)
            bar.update(task, description=f"checking {claim}")

        yield starting


def claim_store(
    root: Path, system: System, settings: Settings, budget: float, say: Callable[[str], None]
) -> Store[str]:
    """The store in ``root`` of a system's finished claims, for these settings, this budget and the present code.

    :func:`~sdewm.verification.identity.fingerprint` identifies the system and the user's own modules.
    """
    shared = {
        "system": system.name,
        "fingerprint": fingerprint(system),
        **asdict(settings),
        "budget": budget,
        "significance": SIGNIFICANCE,
        "dtype": str(system.x0.dtype),
    }
    return Store(root, [LIBRARY], lambda claim: {"claims": [claim], **shared}, say)


def load_system(name: str) -> System:
    """The system that ``MODULE:OBJECT`` names, importable from the working directory. A function is called for it."""
    found = imported("MODULE:OBJECT", name)
    system = found() if callable(found) and not isinstance(found, System) else found
    if not isinstance(system, System):
        raise TypeError(
            f"MODULE:OBJECT: expected a System, or a function that returns one, got {type(system).__name__}"
        )
    return system
