"""The command ``sdewm report``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

EPILOG = """\
  python -m theory_checks --json run.json
  sdewm report run.json                     writes run.html; open it in any browser
"""


def add_report_parser(commands: Any) -> None:
    """Add ``report`` to a parser's subcommands."""
    parser = commands.add_parser(
        "report",
        help="a run's report as one web page",
        epilog=EPILOG,
        description="Write a run's report as one HTML file, which needs no network and no other file.",
    )
    parser.add_argument("json", type=Path, help="what theory_checks --json or sdewm verify --json wrote")
    parser.add_argument("--out", type=Path, metavar="PATH", help="the page (the JSON's name with .html)")
    parser.set_defaults(run_command=_write)


def _write(arguments: argparse.Namespace) -> None:
    from sdewm.page import write_page  # takes matplotlib

    out = arguments.out or arguments.json.with_suffix(".html")
    write_page(arguments.json, out)
    print(out)
