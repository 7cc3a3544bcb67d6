"""The arguments of the command line ``sdewm``; what the commands do is in :mod:`sdewm.worldmodel.commands`."""

from __future__ import annotations

import argparse
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from sdewm.worldmodel.collect import Behaviour
from sdewm.worldmodel.commands import (
    run_collect,
    run_evaluate,
    run_fit,
    run_open_loop,
    run_presets,
    run_record,
    run_release,
    run_robustness,
    run_train,
)
from sdewm.worldmodel.config import PRESETS, Config
from sdewm.worldmodel.prediction import CONTEXT, HORIZON

EXAMPLES = """examples:
  sdewm train runs/debug --preset debug                      a few seconds, to see that everything runs
  sdewm train runs/cartpole --preset lean-proprio            cartpole-swingup from its state, CPU
  sdewm train runs/walker --preset lean-pixels --task walker-walk --action-repeat 2 --reward-scale 0.5
  sdewm train runs/walker --frames 400000                    resume the run, and go on for longer
  sdewm train runs/pendulum --task gymnasium:Pendulum-v1 --action-repeat 2
  sdewm train runs/mine --task my_package.world:make         make(config) returns an environment of yours
  sdewm train runs/errors --preset lean-pixels --error zero-drift --error-variance 5
  sdewm collect recordings --preset walker --policy scripted-gait --episodes 44
  sdewm fit runs/gait --preset walker --replay recordings --updates 5000
  sdewm fit runs/regularized --replay runs/walker/replay --preset lean-pixels --jacobian-weight 1
  sdewm evaluate runs/walker --episodes 5 --mask 50 0.5 0.15
  sdewm evaluate runs/mine --task my_package.world:make      or any other environment with the same spaces
  sdewm record runs/walker --out episodes --prediction 10
  sdewm open-loop runs/gait --replay recordings              error of predictions against the horizon
  sdewm robustness runs/gait --replay recordings             how errors grow, and what Jacobians bound
"""


def add_commands(commands: Any) -> None:
    """Add all commands to a parser's subcommands."""
    train = commands.add_parser(
        "train",
        help="train, or resume a run",
        epilog=EXAMPLES,
        description="Train into the folder RUN. A run found there is resumed from its last checkpoint with its own\n"
        "settings; of these only the schedule may then be changed. Every setting below has its default from\n"
        "the preset (shown is lean-proprio's); `sdewm presets` lists them all.",
    )
    _add_training(train)
    train.set_defaults(run_command=run_train)

    fit = commands.add_parser(
        "fit",
        help="train on a fixed replay, or resume such a run",
        epilog=EXAMPLES,
        description="Train into the folder RUN on episodes that are there already, such as another run's replay. Runs\n"
        "of one --seed draw the same batches and noise, whatever else they differ in.",
    )
    _add_training(fit)
    _add_heldout(fit)
    fit.add_argument("--updates", type=int, default=2500, help="train to this many updates (default %(default)s)")
    fit.set_defaults(run_command=run_fit)

    collect = commands.add_parser(
        "collect",
        help="record episodes of a fixed behaviour, for fit",
        epilog=EXAMPLES,
        description="Record episodes into the folder FOLDER, one file each as they finish. Episodes already there are\n"
        "kept. Every setting below has its default from the preset (shown is lean-proprio's).",
    )
    collect.add_argument("folder", type=Path, metavar="FOLDER", help="folder of the episodes NNNNNN.npy")
    collect.add_argument("--preset", choices=list(PRESETS), default="lean-proprio", help="where to start from")
    collect.add_argument("--count", type=int, default=44, help="how many episodes (default %(default)s)")
    collect.add_argument(
        "--policy", choices=get_args(Behaviour), default="random", help="what acts (default %(default)s)"
    )
    _add_settings(collect)
    collect.set_defaults(run_command=run_collect)

    release = commands.add_parser(
        "release",
        help="write fitted runs as package data",
        description="Write runs of `sdewm fit` that are alike but for --jacobian-weight and --seed: the agents\n"
        "without what only training needs, the held-out episodes, and the metrics.",
    )
    release.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="folders of the runs")
    _add_heldout(release)
    release.add_argument("--name", required=True, help="what the files' names begin with")
    release.add_argument("--out", type=Path, required=True, help="folder to write to")
    release.add_argument("--half", action="store_true", help="round the weights to float16")
    release.set_defaults(run_command=run_release)

    evaluate = commands.add_parser(
        "evaluate",
        help="play episodes, clean or perturbed",
        epilog=EXAMPLES,
        description="Play episodes with the actor's mode and report the return and its standard error over episodes.\n"
        "One --seed gives every agent the same starts and the same noise.",
    )
    _add_run_and_episodes(evaluate)
    seen = evaluate.add_mutually_exclusive_group()
    seen.add_argument("--noise", nargs=2, type=float, metavar=("MEAN", "VARIANCE"), help="noise on the whole image")
    seen.add_argument("--rotation", type=float, metavar="DEGREES", help="the image rotated")
    seen.add_argument(
        "--mask", nargs=3, type=float, metavar=("PERCENT", "MEAN", "VARIANCE"), help="noise on that share of the pixels"
    )
    evaluate.add_argument(
        "--mode",
        choices=["add", "replace"],
        help="noise is added to a pixel or takes its place (default: add on the whole image, replace on a mask)",
    )
    evaluate.add_argument(
        "--clean-latent", action="store_true", help="leave out the encoder error that the run is configured with"
    )
    evaluate.set_defaults(run_command=run_evaluate)

    record = commands.add_parser(
        "record",
        help="write episodes and videos",
        description="Play episodes with the actor's mode and write each as OUT/episode_NNNN.npy (a structured array)\n"
        "and OUT/episode_NNNN.gif; with --prediction also OUT/prediction_NNNN.gif, truth and open loop side by side.",
    )
    _add_run_and_episodes(record)
    record.add_argument("--out", type=Path, required=True, help="folder to write to")
    record.add_argument("--prediction", type=int, metavar="CONTEXT", help="predict after so many images seen")
    record.add_argument(
        "--video", action=argparse.BooleanOptionalAction, default=True, help="also as GIF (needs a renderer)"
    )
    record.set_defaults(run_command=run_record)

    open_loop = commands.add_parser(
        "open-loop",
        help="measure predictions from actions alone",
        description="Predict windows of held-out episodes from the recorded actions alone, after CONTEXT observations\n"
        "were seen, and report the error for each number of steps ahead, in nats: ½ the squared standardized\n"
        "error. `held`: of the last observation seen, left where it is; `mean`: of the training data's mean.",
    )
    open_loop.add_argument("run", type=Path, metavar="RUN", help="folder of a run, or its checkpoint")
    _add_heldout(open_loop)
    open_loop.add_argument("--context", type=int, default=CONTEXT, help="steps seen (default %(default)s)")
    open_loop.add_argument("--horizon", type=int, default=HORIZON, help="steps predicted (default %(default)s)")
    open_loop.set_defaults(run_command=run_open_loop)

    robustness = commands.add_parser(
        "robustness",
        help="measure how errors grow, and what Jacobians bound",
        description="Measure an agent's world model along rollouts from held-out episodes: the divergence after an\n"
        "error, Jacobians and what they bound, the bias and the increase of the loss. One JSON object.",
    )
    robustness.add_argument("run", type=Path, metavar="RUN", help="folder of a run, or its checkpoint")
    _add_heldout(robustness)
    robustness.add_argument("--seed", type=int, default=0, help="of all noise (default %(default)s)")
    robustness.set_defaults(run_command=run_robustness)

    presets = commands.add_parser("presets", help="print the presets", description="Print every preset's settings.")
    presets.set_defaults(run_command=run_presets)


def _add_training(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", type=Path, metavar="RUN", help="folder of checkpoint and metrics")
    parser.add_argument("--preset", choices=list(PRESETS), help="where to start from (default lean-proprio)")
    parser.add_argument("--threads", type=int, default=1, help="torch threads; runs repeat bitwise for one (default 1)")
    _add_settings(parser)


def _add_settings(parser: argparse.ArgumentParser) -> None:
    hints = get_type_hints(Config)
    for setting in fields(Config):
        kind = hints[setting.name]
        options: dict[str, Any]
        if get_origin(kind) is Literal:
            values = get_args(kind)
            options = {"choices": values, "type": type(values[0])}
        elif get_origin(kind) is tuple:
            options = {"type": _whole_numbers, "metavar": "N,N,…"}
        elif kind is bool:
            options = {"type": _truth, "metavar": "true|false"}
        else:
            options = {"type": kind, "metavar": kind.__name__.upper()}
        text = f"{setting.metadata['help']} ({setting.default})".replace("%", "%%")
        parser.add_argument(f"--{setting.name.replace('_', '-')}", help=text, **options)


def _add_heldout(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--replay", type=Path, required=True, help="folder of episodes NNNNNN.npy; it is only read")
    parser.add_argument(
        "--heldout", type=int, default=4, help="the last so many episodes are not trained on (default %(default)s)"
    )


def _add_run_and_episodes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", type=Path, metavar="RUN", help="folder of a run, or its checkpoint")
    parser.add_argument(
        "--task",
        help="play in this environment (as in training; default: the run's own); MODULE:FUNCTION must be named here, "
        "also the run's own, since it is imported",
    )
    parser.add_argument("--count", type=int, default=5, help="how many episodes (default %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of starts and noise (default %(default)s)")


def _truth(text: str) -> bool:
    if text not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"expected true or false, got {text!r}")
    return text == "true"


def _whole_numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))
