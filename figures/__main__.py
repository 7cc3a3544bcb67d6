"""``python -m figures``: draw the figures from recorded numbers, each as PNG, PDF and SVG."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

FIGURES = (
    "remainder",
    "terms",
    "loss_over_error",
    "ablation",
    "fundamental_matrix_bound",
    "divergence",
    "certified_bounds",
    "counterexamples",
    "jacobian_ladder",
    "strong_order",
    "trained_model",
    "open_loop",
    "learning_curves",
)

EPILOG = """\
Nothing is computed here: figures are drawn from the records in --results, which the project keeps in its folder
results/. To draw them from numbers of your own:

  python -m theory_checks --json my_results/theory_checks.json
  python -m figures --results my_results
"""


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m figures", description=__doc__, epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"figures to draw: {', '.join(FIGURES)} (all)")
    parser.add_argument("--results", type=Path, default=Path("results"), help="folder of the records (%(default)s)")
    parser.add_argument("--out", type=Path, default=Path("figures/output"), help="folder to write to (%(default)s)")
    args = parser.parse_args(argv)
    unknown = [name for name in args.names if name not in FIGURES]
    if unknown:
        parser.error(f"argument NAME: unknown figure {unknown[0]!r} (choose from {', '.join(FIGURES)})")
    failed = False
    for name in args.names or FIGURES:
        try:
            for path in importlib.import_module(f"figures.{name}").draw(args.results, args.out):
                print(path)
        except (FileNotFoundError, ValueError) as error:
            print(f"{name}: {error}", file=sys.stderr)
            failed = True
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
