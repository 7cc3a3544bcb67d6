"""What the commands of ``sdewm`` do. Each imports what it needs, so that ``--help`` needs nothing."""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from sdewm.worldmodel.config import PRESETS, Config, preset
from sdewm.worldmodel.perturbations import GaussianNoise, MaskedNoise, Perturbation, Rotation
from sdewm.worldmodel.stopping import asked_to_stop, exit_if_stopped

if TYPE_CHECKING:
    import numpy as np

    from sdewm.worldmodel.agent import Agent
    from sdewm.worldmodel.environments import MakeEnvironment


def run_train(arguments: argparse.Namespace) -> None:
    """Train, or resume a run."""
    from sdewm.worldmodel.train import train

    with asked_to_stop() as stop:
        train(arguments.run, _configured(arguments), report=_print_progress, stop=stop)
    exit_if_stopped(stop, arguments.run)


def run_fit(arguments: argparse.Namespace) -> None:
    """Train on a fixed replay, or resume such a run."""
    from sdewm.worldmodel.fit import fit

    config = _configured(arguments)
    with asked_to_stop() as stop:
        fit(
            arguments.run,
            config,
            arguments.replay,
            heldout=arguments.heldout,
            updates=arguments.updates,
            report=_print_json,
            stop=stop,
        )
    exit_if_stopped(stop, arguments.run)


def run_release(arguments: argparse.Namespace) -> None:
    """Write fitted runs as package data."""
    from sdewm.worldmodel.release import release

    written = release(
        arguments.runs, arguments.name, arguments.replay, arguments.heldout, arguments.out, half=arguments.half
    )
    for path in written:
        print(path)


def run_collect(arguments: argparse.Namespace) -> None:
    """Record episodes of a fixed behaviour."""
    from sdewm.worldmodel.collect import collect

    config = preset(arguments.preset, **_changes(arguments))
    _confirm_code(arguments.task, config.task)
    collect(
        arguments.folder,
        config,
        count=arguments.count,
        behaviour=arguments.policy,
        seed=config.seed,
        report=_print_json,
    )


def run_open_loop(arguments: argparse.Namespace) -> None:
    """Measure predictions from actions alone."""
    from sdewm.worldmodel.prediction import open_loop_error, windows
    from sdewm.worldmodel.saved_agent import load_agent

    context, length = arguments.context, arguments.context + arguments.horizon
    batch = windows(_heldout(arguments), length)
    error = open_loop_error(load_agent(arguments.run).world_model, batch, context)
    _print_json(
        {
            "context": context,
            "windows": len(batch.rewards),
            "steps ahead": list(range(1, arguments.horizon + 1)),
            **{name: values.tolist() for name, values in error._asdict().items()},
        }
    )


def run_robustness(arguments: argparse.Namespace) -> None:
    """Measure how errors grow, and what Jacobians bound."""
    from sdewm.worldmodel.robustness import measure_robustness
    from sdewm.worldmodel.saved_agent import load_agent

    agent = load_agent(arguments.run).double()
    measured = measure_robustness(agent, _heldout(arguments), arguments.seed)
    _print_json({"weight": agent.config.jacobian_weight, "seed": agent.config.seed, "measured": measured})


def _configured(arguments: argparse.Namespace) -> Config:
    """Set the number of threads; return the run's configuration: of its checkpoint, or of a preset, with changes."""
    import torch

    from sdewm.worldmodel.saved_agent import configuration

    torch.set_num_threads(arguments.threads)
    changes, checkpoint = _changes(arguments), arguments.run / "checkpoint.safetensors"
    if checkpoint.exists() and arguments.preset is None:
        config = Config.from_dict(configuration(checkpoint).as_dict() | changes)
    else:
        config = preset(arguments.preset or "lean-proprio", **changes)
    _confirm_code(arguments.task, config.task)
    return config


def _changes(arguments: argparse.Namespace) -> dict[str, Any]:
    """The settings that were given."""
    return {f.name: v for f in fields(Config) if (v := getattr(arguments, f.name)) is not None}


def _heldout(arguments: argparse.Namespace) -> list[np.ndarray]:
    """The records of the held-out episodes."""
    from sdewm.worldmodel.replay import Replay, split

    source = Replay(arguments.replay, capacity=1)
    return [source.episode(number) for number in split(arguments.replay, arguments.heldout)[1]]


def run_evaluate(arguments: argparse.Namespace) -> None:
    """Play episodes, clean or perturbed, and report returns."""
    from sdewm.worldmodel.encoder_error import EncoderError
    from sdewm.worldmodel.evaluation import evaluate

    agent, make = _loaded(arguments)
    result = evaluate(
        agent,
        make,
        count=arguments.count,
        seed=arguments.seed,
        error=EncoderError() if arguments.clean_latent else EncoderError.of(agent.config),
        perturbation=_perturbation(arguments),
        report=_print_json,
    )
    estimate = result.estimate
    _print_json(
        {
            "return": estimate.mean,
            "standard_error": None if estimate.n < 2 else estimate.stderr,
            "episodes": estimate.n,
            "discarded": result.discarded,
            "seed": result.seed,
            "perturbation": repr(_perturbation(arguments)),
        }
    )


def run_record(arguments: argparse.Namespace) -> None:
    """Play episodes and write them."""
    from sdewm.worldmodel.record import record

    agent, make = _loaded(arguments)
    record(
        agent,
        make,
        arguments.out,
        count=arguments.count,
        seed=arguments.seed,
        video=arguments.video,
        prediction=arguments.prediction,
        report=_print_json,
    )


def _loaded(arguments: argparse.Namespace) -> tuple[Agent, MakeEnvironment]:
    """The run's agent, and what makes the environment that it is to play in."""
    from sdewm.worldmodel.environments import make_environment
    from sdewm.worldmodel.saved_agent import load_agent

    agent = load_agent(arguments.run)
    config = agent.config if arguments.task is None else replace(agent.config, task=arguments.task)
    _confirm_code(arguments.task, config.task)
    return agent, lambda: make_environment(config)


def _confirm_code(named: str | None, task: str) -> None:
    """A checkpoint alone makes nothing be imported: a module with the user's environment is named by the user."""
    from sdewm.worldmodel.environments import needs_code

    if not needs_code(task):
        return
    if named is None:
        raise ValueError(f"the run's environment is code, which is imported only if you name it: add --task {task}")
    sys.path.insert(0, os.getcwd())


def run_presets(arguments: argparse.Namespace) -> None:
    """Print the presets."""
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
