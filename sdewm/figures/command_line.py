"""``sdewm figures``: draw the figures from recorded numbers, each as PNG, PDF and SVG."""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import sys
from pathlib import Path
from typing import Any

import sdewm.figures

# What is no figure among the files of this folder.
OTHERS = ("command_line", "record")

EPILOG = """\
Nothing is computed here: figures are drawn from the records in --results, which the project keeps in its folder
results/. To draw them from numbers of your own:

  python -m theory_checks --json my_results/theory_checks.json
  sdewm figures --results my_results
"""


def figures() -> list[str]:
    """The names of all figures: those of the files beside this one, each with ``draw(results, out)``."""
    return [file.name for file in pkgutil.iter_modules(sdewm.figures.__path__) if file.name not in OTHERS]


def add_figures_parser(commands: Any) -> None:
    """Add ``figures`` to a parser's subcommands."""
    parser = commands.add_parser(
        "figures",
        help="draw the figures of recorded numbers",
        epilog=EPILOG,
        description="Draw the figures from recorded numbers, each as PNG, PDF and SVG.",
    )
    listed = ", ".join(figures())
    parser.add_argument("names", nargs="*", metavar="NAME", type=_figure, help=f"figures to draw: {listed} (all)")
    parser.add_argument("--results", type=Path, default=Path("results"), help="folder of the records (%(default)s)")
    parser.add_argument("--out", type=Path, default=Path("figures"), help="folder to write to (%(default)s)")
    parser.set_defaults(run_command=_draw)


def _figure(name: str) -> str:
    if name not in figures():
        raise argparse.ArgumentTypeError(f"unknown figure {name!r} (choose from {', '.join(figures())})")
    return name


def _draw(arguments: argparse.Namespace) -> None:
    """Draw what there are records of; the exit status is 1 if one is missing."""
    failed = False
    for name in arguments.names or figures():
        try:
            # Each imports matplotlib, which the other commands do without.
            for path in importlib.import_module(f"sdewm.figures.{name}").draw(arguments.results, arguments.out):
                print(path)
        except (FileNotFoundError, ValueError) as error:
            print(f"{name}: {error}", file=sys.stderr)
            failed = True
    if failed:
        sys.exit(1)
