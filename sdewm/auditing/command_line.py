"""The command ``sdewm audit MODEL``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdewm.options import add_report_options, imported

if TYPE_CHECKING:
    from sdewm.auditing.model_audit import ModelAudit

EPILOG = """\
  sdewm audit walker_walk --html walker.html            a model that ships, on episodes that ship
  sdewm audit runs/cartpole --replay runs/cartpole/replay --html audit.html
  sdewm audit my_model:pair --horizon 15 --json audit.json

    # my_model.py
    def pair():
        return model, episodes  # a GaussianRSSM and Recordings: see sdewm.adapters

exit status: 0 audited, whatever was found; 1 a mistake in what was given; 2 bad arguments.
"""


def add_audit_parser(commands: Any) -> None:
    """Add ``audit`` to a parser's subcommands."""
    parser = commands.add_parser(
        "audit",
        help="how far a world model's predictions can be trusted",
        epilog=EPILOG,
        description="Audit a world model with episodes that it was not trained on: the error of predictions next to\n"
        "two guesses that take no model, how errors grow, logarithmic norms, and the loss expanded in an error of\n"
        "the encoder, each with its error bar.",
    )
    parser.add_argument(
        "model",
        metavar="MODEL",
        help="a run's folder or checkpoint; MODULE:OBJECT, a model with its episodes, or a function that returns "
        "both; or the name of a model that ships",
    )
    parser.add_argument("--replay", type=Path, help="of a run: folder of episodes NNNNNN.npy; it is only read")
    parser.add_argument("--heldout", type=int, default=4, help="of a run: the last so many episodes (%(default)s)")
    parser.add_argument("--horizon", type=int, default=30, help="steps that are predicted (%(default)s)")
    parser.add_argument("--context", type=int, default=10, help="observations that are seen before (%(default)s)")
    parser.add_argument("--steps", type=int, default=8, help="of an expansion (%(default)s)")
    parser.add_argument("--paths", type=int, default=256, help="of each mean of an expansion (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="determines every number (%(default)s)")
    add_report_options(parser, "all numbers", "one web page")
    parser.set_defaults(run_command=_audit)


def _audit(arguments: argparse.Namespace) -> None:
    found = _found(arguments)
    print(found)
    if arguments.json is not None:
        found.to_json(arguments.json)
    if arguments.html is not None:
        found.to_html(arguments.html)


def _found(arguments: argparse.Namespace) -> ModelAudit:
    from sdewm.auditing.audit import audit

    model, episodes, name = _model_and_episodes(arguments)
    options = {key: getattr(arguments, key) for key in ("horizon", "context", "steps", "paths", "seed")}
    return audit(model, episodes, name=name, **options)


def _model_and_episodes(arguments: argparse.Namespace) -> tuple[Any, Any, str | None]:
    """What is audited, with what, and what the report calls it; ``None`` where it has a name of its own."""
    from sdewm.worldmodel.replay import Replay, split
    from sdewm.worldmodel.saved_agent import load_agent
    from sdewm.worldmodel.shipped import load_trained

    given = arguments.model
    if Path(given).exists():
        if arguments.replay is None:
            raise ValueError("--replay: expected the folder of a run's episodes, got none")
        source = Replay(arguments.replay, capacity=1)
        episodes = [source.episode(number) for number in split(arguments.replay, arguments.heldout)[1]]
        return load_agent(given).double(), episodes, Path(given).name
    if ":" in given:
        return (*_imported(given), None)
    if "/" in given:
        raise FileNotFoundError(f"{given}: no such run")
    return (*load_trained(given), given)


def _imported(given: str) -> tuple[Any, Any]:
    """The pair that ``MODULE:OBJECT`` names, from the working directory on."""
    found = imported("MODEL", given)
    found = found() if callable(found) else found
    if not isinstance(found, tuple) or len(found) != 2:
        raise ValueError(
            f"MODEL: expected {given} to be (model, episodes), or a function that returns both, got {found!r}"
        )
    return found
