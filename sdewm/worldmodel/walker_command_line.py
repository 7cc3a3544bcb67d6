"""The command line of the small world model: ``sdewm walker record``, ``train``, ``release`` and ``ladder``."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from sdewm.worldmodel.stopping import asked_to_stop, exit_if_stopped


def add_walker_parser(commands: Any) -> None:
    """Add ``walker`` and its commands to a parser's subcommands."""
    text = "The small world model of a scripted walker: record, train, release, and train over a ladder of λ."
    walker = commands.add_parser("walker", help="the small world model, without an agent", description=text)
    commands = walker.add_subparsers(dest="walker_command", required=True)

    record = commands.add_parser(
        "record", help="record episodes of a scripted walker from pixels",
        description="Record episodes of dm_control's walker-walk, 32x32 grey, one .npz each as they finish. "
        "Episodes already there are kept. Needs the extra sdewm[worldmodel].",
    )  # fmt: skip
    record.add_argument("--out", type=Path, required=True, help="folder of the recordings")
    record.add_argument("--episodes", type=int, default=44, help="how many episodes (default %(default)s)")
    record.add_argument(
        "--steps",
        type=int,
        default=500,
        help="agent steps in each (0.05 simulated seconds) (default %(default)s)",
    )
    record.add_argument("--seed", type=int, default=0, help="of environment and behaviour (default %(default)s)")
    record.set_defaults(run_command=_record)

    train = commands.add_parser(
        "train", help="train the world model on recordings, or resume",
        description="Train the world model; a run already in the folder is resumed from its last checkpoint. "
        "Metrics go to metrics.jsonl in the run's folder and to the terminal.",
    )  # fmt: skip
    train.add_argument("--data", type=Path, required=True, help="folder of recordings")
    train.add_argument("--run", type=Path, required=True, help="folder of checkpoint and metrics")
    train.add_argument(
        "--heldout",
        type=int,
        default=4,
        help="the last so many episodes are not trained on (default %(default)s)",
    )
    train.add_argument("--updates", type=int, default=5000, help="train to this many updates (default %(default)s)")
    train.add_argument("--seed", type=int, default=0, help="of weights, batches and latent noise (default %(default)s)")
    train.add_argument(
        "--threads",
        type=int,
        default=1,
        help="torch threads; runs repeat bitwise for one thread (default %(default)s)",
    )
    train.add_argument(
        "--jacobian-weight",
        type=float,
        default=0.0,
        metavar="λ",
        help="of the Jacobian penalty (20) (default %(default)s)",
    )
    train.add_argument(
        "--jacobian-form",
        choices=("norm", "square"),
        default="norm",
        help="‖J‖_F as in (20), or ½‖J‖_F² as in Hoffman et al. (default %(default)s)",
    )
    train.add_argument(
        "--jacobian-target",
        choices=("map", "drift"),
        default="map",
        help="the recurrent cell, or the cell less h (default %(default)s)",
    )
    train.add_argument(
        "--jacobian-wrt",
        choices=("h", "z", "hz"),
        default="hz",
        help="what the Jacobian is with respect to (default %(default)s)",
    )
    train.set_defaults(run_command=_train)

    release = commands.add_parser(
        "release", help="write a run's model and held-out windows as package data",
        description="Write NAME.safetensors, NAME_heldout.npz and NAME_training.jsonl.",
    )  # fmt: skip
    release.add_argument("--data", type=Path, required=True, help="folder of recordings")
    release.add_argument("--run", type=Path, required=True, help="folder of the finished run")
    release.add_argument("--out", type=Path, required=True, help="folder to write to")
    release.add_argument("--heldout", type=int, default=4, help="as in training (default %(default)s)")
    release.add_argument("--name", default="walker_walk", help="what the files' names begin with (default %(default)s)")
    release.set_defaults(run_command=_release)

    ladder = commands.add_parser(
        "ladder", help="train models that differ in the Jacobian penalty alone, and measure them",
        description="Train a model for each λ and seed, one after another, on the same batches and noise; runs in the "
        "folder are resumed or kept. Then measure every run of the folder, and write the record, the training metrics "
        "and the models that ship.",
    )  # fmt: skip
    ladder.add_argument("--data", type=Path, required=True, help="folder of recordings")
    ladder.add_argument("--runs", type=Path, required=True, help="folder of the runs")
    ladder.add_argument("--out", type=Path, required=True, help="folder to write record, metrics and models to")
    ladder.add_argument("--weights", type=float, nargs="+", required=True, metavar="λ", help="0 among them")
    ladder.add_argument("--seeds", type=int, nargs="+", required=True, metavar="SEED", help="of the training runs")
    ladder.add_argument("--updates", type=int, default=400, help="of each run (default %(default)s)")
    ladder.add_argument("--heldout", type=int, default=4, help="as in training (default %(default)s)")
    ladder.set_defaults(run_command=_ladder)


def _record(arguments: argparse.Namespace) -> None:
    from sdewm.worldmodel.walker import record

    record(
        arguments.out,
        episodes=arguments.episodes,
        steps=arguments.steps,
        seed=arguments.seed,
        report=_print_json,
    )


def _train(arguments: argparse.Namespace) -> None:
    import torch

    from sdewm.worldmodel.walker import TrainConfig, train
    from sdewm.worldmodel.walker_train import split_recordings

    torch.set_num_threads(arguments.threads)
    episodes, heldout, environment = split_recordings(arguments.data, arguments.heldout)
    config = TrainConfig(
        updates=arguments.updates,
        seed=arguments.seed,
        jacobian_weight=arguments.jacobian_weight,
        jacobian_form=arguments.jacobian_form,
        jacobian_target=arguments.jacobian_target,
        jacobian_wrt=arguments.jacobian_wrt,
    )
    with asked_to_stop() as stop:
        train(arguments.run, episodes, heldout, config, environment=environment, report=_print_json, stop=stop)
    exit_if_stopped(stop, arguments.run)


def _release(arguments: argparse.Namespace) -> None:
    from sdewm.worldmodel.walker import release
    from sdewm.worldmodel.walker_train import split_recordings

    _, heldout, environment = split_recordings(arguments.data, arguments.heldout)
    for path in release(arguments.run, heldout, environment, arguments.out, arguments.name):
        print(path)


def _ladder(arguments: argparse.Namespace) -> None:
    import torch

    from sdewm.worldmodel.ladder import release_ladder, train_ladder
    from sdewm.worldmodel.walker import TrainConfig, load_trained
    from sdewm.worldmodel.walker_train import split_recordings

    torch.set_num_threads(1)
    episodes, heldout, environment = split_recordings(arguments.data, arguments.heldout)
    config = TrainConfig(updates=arguments.updates, evaluate_every=200)
    train_ladder(
        arguments.runs, episodes, heldout, arguments.weights, arguments.seeds, config,
        environment=environment, report=_print_json,
    )  # fmt: skip
    for path in release_ladder(arguments.runs, load_trained()[1], arguments.out, report=_print_json):
        print(path)


def _print_json(line: dict[str, Any]) -> None:
    print(json.dumps(line), flush=True)
