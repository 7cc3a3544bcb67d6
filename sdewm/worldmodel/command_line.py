"""The command line of the agent: ``sdewm train``, ``fit``, ``evaluate``, ``record`` and ``presets``."""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin, get_type_hints

from sdewm.worldmodel.config import PRESETS, Config, preset
from sdewm.worldmodel.perturbations import GaussianNoise, MaskedNoise, Perturbation, Rotation
from sdewm.worldmodel.stopping import asked_to_stop, exit_if_stopped

if TYPE_CHECKING:
    from sdewm.worldmodel.agent import Agent

EXAMPLES = """examples:
  sdewm train runs/debug --preset debug                      a few seconds, to see that everything runs
  sdewm train runs/cartpole --preset lean-proprio            cartpole-swingup from its state, CPU
  sdewm train runs/walker --preset lean-pixels --task walker-walk --action-repeat 2 --reward-scale 0.5
  sdewm train runs/walker --frames 400000                    resume the run, and go on for longer
  sdewm train runs/pendulum --task gymnasium:Pendulum-v1 --action-repeat 2
  sdewm train runs/mine --task my_package.world:make         make(config) returns an environment of yours
  sdewm train runs/errors --preset lean-pixels --error zero-drift --error-variance 5
  sdewm fit runs/regularized --replay runs/walker/replay --preset lean-pixels --jacobian-weight 1
  sdewm evaluate runs/walker --episodes 5 --mask 50 0.5 0.15
  sdewm evaluate runs/mine --task my_package.world:make
  sdewm record runs/walker --out episodes --prediction 10
"""


def add_agent_commands(commands: Any) -> None:
    """Add the agent's commands to a parser's subcommands."""
    shape = argparse.RawDescriptionHelpFormatter

    train = commands.add_parser(
        "train", help="train, or resume a run", epilog=EXAMPLES, formatter_class=shape,
        description="Train into the folder RUN. A run found there is resumed from its last checkpoint with its own\n"
        "settings; of these only the schedule may then be changed. Every setting below has its default from\n"
        "the preset (shown is lean-proprio's); `sdewm presets` lists them all.",
    )  # fmt: skip
    _add_training(train)
    train.set_defaults(run_command=_train)

    fit = commands.add_parser(
        "fit", help="train on a fixed replay, or resume such a run", epilog=EXAMPLES, formatter_class=shape,
        description="Train into the folder RUN on episodes that are there already, such as another run's replay. Runs\n"
        "of one --seed draw the same batches and noise, whatever else they differ in.",
    )  # fmt: skip
    _add_training(fit)
    fit.add_argument("--replay", type=Path, required=True, help="folder of episodes NNNNNN.npy; it is only read")
    fit.add_argument(
        "--heldout", type=int, default=4, help="the last so many episodes are not trained on (default %(default)s)"
    )
    fit.add_argument("--updates", type=int, default=2500, help="train to this many updates (default %(default)s)")
    fit.set_defaults(run_command=_fit)

    release = commands.add_parser(
        "release", help="write a pair of fitted runs as package data", formatter_class=shape,
        description="Write two runs of `sdewm fit` that differ in --jacobian-weight alone: both agents without\n"
        "what only training needs, the held-out episodes, and the metrics.",
    )  # fmt: skip
    release.add_argument("runs", type=Path, nargs=2, metavar="RUN", help="folders of the two runs")
    release.add_argument("--replay", type=Path, required=True, help="as in fitting")
    release.add_argument("--heldout", type=int, default=4, help="as in fitting (default %(default)s)")
    release.add_argument("--out", type=Path, required=True, help="folder to write to")
    release.set_defaults(run_command=_release)

    evaluate = commands.add_parser(
        "evaluate", help="play episodes, clean or perturbed", epilog=EXAMPLES, formatter_class=shape,
        description="Play episodes with the actor's mode and report the return and its standard error over episodes.\n"
        "One --seed gives every agent the same starts and the same noise.",
    )  # fmt: skip
    _add_run_and_episodes(evaluate)
    seen = evaluate.add_mutually_exclusive_group()
    seen.add_argument("--noise", nargs=2, type=float, metavar=("MEAN", "VARIANCE"), help="noise on the whole image")
    seen.add_argument("--rotation", type=float, metavar="DEGREES", help="the image rotated")
    seen.add_argument(
        "--mask", nargs=3, type=float, metavar=("PERCENT", "MEAN", "VARIANCE"), help="noise on that share of the pixels"
    )
    evaluate.add_argument(
        "--mode", choices=["add", "replace"],
        help="noise is added to a pixel or takes its place (default: add on the whole image, replace on a mask)",
    )  # fmt: skip
    evaluate.add_argument(
        "--clean-latent", action="store_true", help="leave out the encoder error that the run is configured with"
    )
    evaluate.set_defaults(run_command=_evaluate)

    record = commands.add_parser(
        "record", help="write episodes and videos", formatter_class=shape,
        description="Play episodes with the actor's mode and write each as OUT/episode_NNNN.npy (a structured array)\n"
        "and OUT/episode_NNNN.gif; with --prediction also OUT/prediction_NNNN.gif, truth and open loop side by side.",
    )  # fmt: skip
    _add_run_and_episodes(record)
    record.add_argument("--out", type=Path, required=True, help="folder to write to")
    record.add_argument("--prediction", type=int, metavar="CONTEXT", help="predict after so many images seen")
    record.add_argument(
        "--video", action=argparse.BooleanOptionalAction, default=True, help="also as GIF (needs a renderer)"
    )
    record.set_defaults(run_command=_record)

    presets = commands.add_parser("presets", help="print the presets", description="Print every preset's settings.")
    presets.set_defaults(run_command=_presets)


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


def _add_run_and_episodes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", type=Path, metavar="RUN", help="folder of a run, or its checkpoint")
    parser.add_argument(
        "--task", help="the run's own MODULE:FUNCTION, where its environment is code of yours: it is imported"
    )
    parser.add_argument("--episodes", type=int, default=5, help="how many (default %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of starts and noise (default %(default)s)")


def _train(arguments: argparse.Namespace) -> None:
    from sdewm.worldmodel.train import train

    with asked_to_stop() as stop:
        train(arguments.run, _configured(arguments), report=_print_progress, stop=stop)
    exit_if_stopped(stop, arguments.run)


def _fit(arguments: argparse.Namespace) -> None:
    from sdewm.worldmodel.fit import fit

    config = _configured(arguments)
    with asked_to_stop() as stop:
        fit(
            arguments.run, config, arguments.replay, heldout=arguments.heldout, updates=arguments.updates,
            report=_print_json, stop=stop,
        )  # fmt: skip
    exit_if_stopped(stop, arguments.run)


def _release(arguments: argparse.Namespace) -> None:
    from sdewm.worldmodel.shipped import release_pair

    for path in release_pair(arguments.runs, arguments.replay, arguments.heldout, arguments.out):
        print(path)


def _configured(arguments: argparse.Namespace) -> Config:
    """Set the number of threads; return the run's configuration: of its checkpoint, or of a preset, with changes."""
    import torch

    from sdewm.worldmodel.runs import configuration

    torch.set_num_threads(arguments.threads)
    changes = {f.name: v for f in fields(Config) if (v := getattr(arguments, f.name)) is not None}
    checkpoint = arguments.run / "checkpoint.safetensors"
    if checkpoint.exists() and arguments.preset is None:
        config = Config.from_dict(configuration(checkpoint).as_dict() | changes)
    else:
        config = preset(arguments.preset or "lean-proprio", **changes)
    _confirm_code(arguments.task, config.task)
    return config


def _evaluate(arguments: argparse.Namespace) -> None:
    from sdewm.worldmodel.encoder_error import EncoderError
    from sdewm.worldmodel.environments import make_environment
    from sdewm.worldmodel.episodes import evaluate

    agent = _loaded(arguments)
    result = evaluate(
        agent,
        lambda: make_environment(agent.config),
        episodes=arguments.episodes,
        seed=arguments.seed,
        error=EncoderError() if arguments.clean_latent else EncoderError.of(agent.config),
        perturbation=_perturbation(arguments),
        report=_print_json,
    )
    estimate = result.estimate
    _print_json({
        "return": estimate.mean, "standard_error": None if estimate.n < 2 else estimate.stderr, "episodes": estimate.n,
        "discarded": result.discarded, "seed": result.seed, "perturbation": repr(_perturbation(arguments)),
    })  # fmt: skip


def _record(arguments: argparse.Namespace) -> None:
    import numpy as np

    from sdewm.worldmodel.encoder_error import EncoderError
    from sdewm.worldmodel.environments import Renderable, Step, make_environment
    from sdewm.worldmodel.episodes import play
    from sdewm.worldmodel.prediction import ENLARGED, picture, prediction_video, write_gif
    from sdewm.worldmodel.seeds import derived_seed

    agent = _loaded(arguments)
    environment = make_environment(agent.config)
    images = agent.world_model.images
    arguments.out.mkdir(parents=True, exist_ok=True)
    for number in range(arguments.episodes):
        seed = derived_seed(arguments.seed, "evaluate", number)
        pictures: list[np.ndarray] = []

        def watch(step: Step, pictures: list[np.ndarray] = pictures) -> None:
            if images and arguments.video:
                pictures.append(picture(step.observation))
            elif isinstance(environment, Renderable) and arguments.video:
                pictures.append(environment.render(ENLARGED))

        policy = agent.policy(explore=False, error=EncoderError.of(agent.config), seed=seed)
        episode = play(environment, policy, seed, watch=watch)
        name = f"{number:04d}"
        np.save(arguments.out / f"episode_{name}.npy", episode, allow_pickle=False)
        if arguments.video:
            write_gif(arguments.out / f"episode_{name}.gif", pictures)
        if arguments.prediction is not None:
            shown = prediction_video(agent.world_model, episode, arguments.prediction)
            write_gif(arguments.out / f"prediction_{name}.gif", shown)
        _print_json({"episode": number, "return": float(episode["reward"].sum()), "steps": len(episode) - 1})


def _loaded(arguments: argparse.Namespace) -> Agent:
    from sdewm.worldmodel.runs import load_agent

    agent = load_agent(arguments.run)
    if arguments.task not in (None, agent.config.task):
        raise ValueError(f"--task: expected {agent.config.task!r}, the run's own, got {arguments.task!r}")
    _confirm_code(arguments.task, agent.config.task)
    return agent


def _confirm_code(named: str | None, task: str) -> None:
    """A checkpoint alone makes nothing be imported: a module with the user's environment is named by the user."""
    from sdewm.worldmodel.environments import needs_code

    if not needs_code(task):
        return
    if named is None:
        raise ValueError(f"the run's environment is code, which is imported only if you name it: add --task {task}")
    sys.path.insert(0, os.getcwd())


def _presets(arguments: argparse.Namespace) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("setting", *PRESETS, "meaning", box=None)
    for setting in fields(Config):
        values = [str(getattr(config, setting.name)) for config in PRESETS.values()]
        table.add_row(setting.name, *values, setting.metadata["help"])
    Console().print(table)


def _perturbation(arguments: argparse.Namespace) -> Perturbation | None:
    mode = arguments.mode
    if arguments.noise:
        mean, variance = arguments.noise
        return GaussianNoise(mean, variance, mode=mode or "add")
    if arguments.mask:
        percent, mean, variance = arguments.mask
        return MaskedNoise(percent, mean, variance, mode=mode or "replace")
    if mode:
        raise ValueError("--mode: expected with --noise or --mask, got neither")
    return Rotation(arguments.rotation) if arguments.rotation is not None else None


def _print_progress(line: dict[str, Any]) -> None:
    """One line of a run's metrics, for people."""
    kind, update = line["kind"], line["update"]
    if kind in ("discarded", "damaged"):
        print(f"update {update:>7}  episode {kind}: {line['reason']}", flush=True)
    elif kind == "metrics lost":
        print(f"update {update:>7}  metrics.jsonl lacks {line['bytes']} bytes from before the checkpoint", flush=True)
    elif kind == "evaluation":
        print(f"update {update:>7}  evaluation: return {line['return']:.1f} at {line['frames']} frames", flush=True)
    else:
        rates = f"{line['frames_per_second']:.0f} frames/s, {_duration(line['seconds_left'])} left"
        if kind == "episode":
            text = f"episode {line['episodes']}: return {line['return']:.1f}, {line['frames']} frames; {rates}"
        else:
            names = ("reconstruction", "reward", "kl", "return", "entropy")
            text = ", ".join(f"{name} {line[name]:.3g}" for name in names) + f"; {rates}"
        print(f"update {update:>7}  {text}", flush=True)


def _duration(seconds: float) -> str:
    minutes, hours = seconds / 60, seconds / 3600
    return f"{hours:.1f} h" if hours >= 1 else f"{minutes:.0f} min" if minutes >= 1 else f"{seconds:.0f} s"


def _print_json(line: dict[str, Any]) -> None:
    print(json.dumps(line), flush=True)


def _truth(text: str) -> bool:
    if text not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"expected true or false, got {text!r}")
    return text == "true"


def _whole_numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))
