"""The command line ``sdewm``: an agent's commands, and ``walker``, ``verify`` and ``figures``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from sdewm.figures.command_line import add_figures_parser
from sdewm.verification.command_line import add_verify_parser
from sdewm.worldmodel.command_line import EXAMPLES, add_agent_commands
from sdewm.worldmodel.walker_command_line import add_walker_parser


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line; a mistake of the user's ends in one line on stderr and exit status 1.

    ``verify`` has statuses of its own.
    """
    arguments = _parser().parse_args(argv)
    try:
        status = arguments.run_command(arguments)
    except _user_errors() as error:
        command = " ".join([arguments.command, *([arguments.walker_command] if arguments.command == "walker" else [])])
        sys.exit(f"sdewm {command}: {error}")
    if status:
        sys.exit(status)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sdewm", epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Train, evaluate and record an agent with its world model: DreamerV2 with Gaussian latents,\n"
        "continuous actions. `walker`: the small world model of a scripted walker, without an agent. `verify`:\n"
        "hold a system of yours against the theory. `figures`: draw what checks and runs have recorded.",
    )  # fmt: skip
    commands = parser.add_subparsers(dest="command", required=True)
    add_agent_commands(commands)
    add_walker_parser(commands)
    add_verify_parser(commands)
    add_figures_parser(commands)
    return parser


def _user_errors() -> tuple[type[Exception], ...]:
    from sdewm.worldmodel import EnvironmentFailure
    from sdewm.worldmodel.run_folder import RunInUse
    from sdewm.worldmodel.walker import CheckpointError

    return (CheckpointError, EnvironmentFailure, RunInUse, FloatingPointError, OSError, ImportError, ValueError)
