"""``python -m figures``: draw the figures, each as PNG, PDF and SVG."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Sequence
from pathlib import Path

FIGURES = ("trained_model",)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m figures", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"figures to draw: {', '.join(FIGURES)} (all)")
    parser.add_argument("--out", type=Path, default=Path("figures/output"), help="folder to write to (%(default)s)")
    args = parser.parse_args(argv)
    unknown = [name for name in args.names if name not in FIGURES]
    if unknown:
        parser.error(f"argument NAME: unknown figure {unknown[0]!r} (choose from {', '.join(FIGURES)})")
    for name in args.names or FIGURES:
        for path in importlib.import_module(f"figures.{name}").draw(args.out):
            print(path)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
