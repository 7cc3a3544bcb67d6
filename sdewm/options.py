"""Options that several command lines have, and what their values may be."""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path
from typing import Any

from sdewm.files import cache_folder


class Parser(argparse.ArgumentParser):
    """A parser that prints its texts line by line as they are written. Those of subcommands are of this kind too."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options, formatter_class=argparse.RawDescriptionHelpFormatter)


def add_report_options(parser: argparse.ArgumentParser, numbers: str, page: str) -> None:
    """Add ``--json`` and ``--html``: the files that ``numbers`` and ``page`` are written to."""
    for option, what in (("--json", numbers), ("--html", page)):
        parser.add_argument(option, type=_in_a_folder, metavar="PATH", help=f"write {what} to PATH")


def add_store_options(parser: argparse.ArgumentParser, name: str, work: str) -> None:
    """Add ``--runs`` and ``--fresh``: where finished ``work`` is stored, by default in the user's cache by ``name``."""
    parser.add_argument(
        "--runs",
        type=_folder,
        metavar="DIR",
        default=cache_folder(name),
        help=f"where finished {work} are stored, so that an interrupted run can resume; whole folders of it may be "
        f"deleted ($XDG_CACHE_HOME/sdewm/{name}, or ~/.cache/sdewm/{name})",
    )
    parser.add_argument(
        "--fresh", action="store_true", help=f"take up no finished {work}, and store new ones in place of them"
    )


def imported(argument: str, name: str) -> Any:
    """What ``MODULE:OBJECT`` names, importable from the working directory; ``argument`` is what messages begin with.

    Raises ``ValueError`` where it is no such name or the module has no such object, and what the import raises.
    """
    module, _, attribute = name.partition(":")
    if not module or not attribute:
        raise ValueError(f"{argument}: expected a module and a name in it, such as my_model:system, got {name!r}")
    if "" not in sys.path:
        sys.path.insert(0, "")
    found = getattr(importlib.import_module(module), attribute, None)
    if found is None:
        raise ValueError(f"{argument}: {module} has no {attribute!r}")
    return found


def _in_a_folder(text: str) -> Path:
    folder = Path(text).resolve().parent
    if not folder.is_dir():
        raise argparse.ArgumentTypeError(f"no folder {folder}")
    return Path(text)


def _folder(text: str) -> Path:
    if Path(text).exists() and not Path(text).is_dir():
        raise argparse.ArgumentTypeError(f"expected a folder, got {text}")
    return Path(text)
