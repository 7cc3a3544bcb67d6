"""The command ``sdewm verify MODULE:OBJECT``."""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path
from typing import Any

from sdewm.verification.system import System
from sdewm.verification.verify import CLAIMS, SAMPLERS, verify

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

exit status: 0 verified; 1 refuted or undecided; 2 bad arguments, or a system that is not what it
should be: what to change is said.
"""


def add_verify_parser(commands: Any) -> None:
    """Add ``verify`` to a parser's subcommands."""
    parser = commands.add_parser(
        "verify", help="hold a system of yours against the theory", description=DESCRIPTION, epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("system", metavar="MODULE:OBJECT", help="a System, or a function that returns one")
    parser.add_argument("--claims", nargs="+", choices=CLAIMS, metavar="CLAIM", help="check these alone (all)")
    parser.add_argument(
        "--precision", type=float, default=1e-2, metavar="X",
        help="a coefficient counts as verified within this part of its root mean square over paths (%(default)s)",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, help="determines every number (%(default)s)")
    parser.add_argument("--sampler", choices=SAMPLERS, default="rqmc", help="how paths are drawn (%(default)s)")
    parser.add_argument(
        "--budget", type=float, default=300.0, metavar="SECONDS",
        help="samples of what is open are doubled up to four times, as long as that fits in (%(default)g)",
    )  # fmt: skip
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the records of all rows to PATH")
    parser.add_argument("--html", type=Path, metavar="PATH", help="write the report as one web page to PATH")
    parser.set_defaults(run_command=_verify)


def _verify(arguments: argparse.Namespace) -> int:
    try:
        for name in ("json", "html"):
            path = getattr(arguments, name)
            if path is not None and not path.resolve().parent.is_dir():
                raise ValueError(f"--{name}: no folder {path.resolve().parent}")
        report = verify(
            load_system(arguments.system), arguments.claims,
            precision=arguments.precision, seed=arguments.seed, sampler=arguments.sampler, budget=arguments.budget,
        )  # fmt: skip
    except (ValueError, TypeError, ImportError) as error:
        print(f"sdewm verify: {error}", file=sys.stderr)
        return 2
    print(report)
    if arguments.json is not None:
        report.to_json(arguments.json)
    if arguments.html is not None:
        report.to_html(arguments.html)
    return 0 if report.ok else 1


def load_system(name: str) -> System:
    """The system that ``MODULE:OBJECT`` names, from the working directory on; a function of no arguments is called."""
    module, _, attribute = name.partition(":")
    if not module or not attribute:
        raise ValueError(f"MODULE:OBJECT: expected a module and a name in it, such as my_model:system, got {name!r}")
    if "" not in sys.path:
        sys.path.insert(0, "")
    found = getattr(importlib.import_module(module), attribute, None)
    if found is None:
        raise ValueError(f"MODULE:OBJECT: {module} has no {attribute!r}")
    system = found() if callable(found) and not isinstance(found, System) else found
    if not isinstance(system, System):
        raise TypeError(
            f"MODULE:OBJECT: expected a System, or a function that returns one, got {type(system).__name__}"
        )
    return system
