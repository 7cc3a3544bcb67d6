"""The command ``sdewm doctor``."""

from __future__ import annotations

import argparse
from typing import Any

EPILOG = """\
exit status: 0 all is well; 1 a required package is missing, or the self-test failed.
"""


def add_doctor_parser(commands: Any) -> None:
    """Add ``doctor`` to a parser's subcommands."""
    parser = commands.add_parser(
        "doctor",
        help="what this installation has, and whether it works",
        epilog=EPILOG,
        description="Print versions, threads, compiler, renderer and optional packages, and make a short self-test.",
    )
    parser.set_defaults(run_command=_examine)


def _examine(arguments: argparse.Namespace) -> int:
    from sdewm.doctor.installation import installation
    from sdewm.doctor.self_test import self_test

    well = True
    for title, findings in (("installation", installation()), ("self-test", self_test())):
        print(title)
        for name, value, ok in findings:
            print(f"  {name:<16}{'' if ok else 'FAILED: '}{value}", flush=True)
            well = well and ok
    print("all is well" if well else "something is wrong: see FAILED above")
    return 0 if well else 1
