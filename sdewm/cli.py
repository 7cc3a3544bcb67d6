"""The command line ``sdewm``: the world model's commands, ``verify``, ``audit``, ``report``, ``figures``, and so on."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import sdewm
from sdewm.auditing.command_line import add_audit_parser
from sdewm.doctor.command_line import add_doctor_parser
from sdewm.figures.command_line import add_figures_parser
from sdewm.options import Parser
from sdewm.page.command_line import add_report_parser
from sdewm.streams import take_any_character
from sdewm.verification.command_line import add_verify_parser
from sdewm.worldmodel.command_line import EXAMPLES, add_commands
from sdewm.worldmodel.predict_command import add_predict_parser


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line; a mistake of the user's ends in one line on stderr and exit status 1.

    ``verify`` has statuses of its own.
    """
    take_any_character()
    arguments = _parser().parse_args(argv)
    try:
        status = arguments.run_command(arguments)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except _user_errors() as error:
        sys.exit(f"sdewm {arguments.command}: {error}")
    if status:
        sys.exit(status)


def _parser() -> Parser:
    parser = Parser(
        prog="sdewm",
        epilog=EXAMPLES,
        description="Train, fit, evaluate, record and measure a world model with its agent: DreamerV2 with Gaussian\n"
        "latents, continuous actions. `verify`: hold a system of yours against the theory. `audit`: how far a\n"
        "world model can be trusted. `figures`: draw what checks and runs have recorded.",
    )
    parser.add_argument("--version", action="version", version=f"sdewm {sdewm.__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    add_commands(commands)
    add_predict_parser(commands)
    add_verify_parser(commands)
    add_audit_parser(commands)
    add_report_parser(commands)
    add_figures_parser(commands)
    add_doctor_parser(commands)
    return parser


def _user_errors() -> tuple[type[Exception], ...]:
    from sdewm.worldmodel import CheckpointError, EnvironmentFailure
    from sdewm.worldmodel.run_folder import RunInUse

    return (CheckpointError, EnvironmentFailure, RunInUse, FloatingPointError, OSError, ImportError, ValueError)
