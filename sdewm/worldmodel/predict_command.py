"""``sdewm predict``: by how much a perturbation of the images raises a checkpoint's losses."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from sdewm.worldmodel.perturbations import PerturbationKind, perturbation_of

if TYPE_CHECKING:
    import numpy as np

    from sdewm.estimate.estimates import Estimate
    from sdewm.worldmodel.agent import Agent
    from sdewm.worldmodel.loss_prediction import LossPrediction

EPILOG = """\
The size is the standard deviation of noise on intensities in [0, 1], a rotation in degrees, or the percentage of pixels
that a mask puts noise in the place of. Losses are along recorded frames, not returns: no environment is played.

  sdewm predict runs/walker --perturbation noise --size 0.02
  sdewm predict walker_walk --perturbation rotation --size 2 --measure       an agent that ships
"""


def add_predict_parser(commands: Any) -> None:
    """Add ``predict`` to a parser's subcommands."""
    parser = commands.add_parser(
        "predict",
        help="by how much perturbed images raise the world model's losses",
        epilog=EPILOG,
        description="Predict, from the encoder alone, by how much a perturbation of the images raises the world\n"
        "model's own losses, what raises them, and whether that is to be trusted.",
    )
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="a run, its checkpoint, or an agent that ships")
    parser.add_argument("--perturbation", required=True, choices=get_args(PerturbationKind), help="of every image")
    parser.add_argument("--size", required=True, type=float, help="how strong; see below")
    parser.add_argument("--episodes", type=Path, metavar="FOLDER", help="of episodes NNNNNN.npy (the run's own replay)")
    parser.add_argument("--heldout", type=int, default=2, help="the last so many are taken (default %(default)s)")
    parser.add_argument("--draws", type=int, default=64, help="perturbed copies of a frame (default %(default)s)")
    parser.add_argument("--paths", type=int, default=64, help="latent paths from each start (default %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of all that is drawn (default %(default)s)")
    parser.add_argument("--measure", action="store_true", help="perturb the images too, and print what came beside it")
    parser.set_defaults(run_command=run_predict)


def run_predict(arguments: argparse.Namespace) -> None:
    """Predict, and measure where asked to."""
    from sdewm.worldmodel.loss_prediction import predict_losses
    from sdewm.worldmodel.measured_increase import measure_losses

    perturbation = perturbation_of(arguments.perturbation, arguments.size)
    agent, episodes = _loaded(arguments)
    model = agent.world_model
    if not model.images:
        raise ValueError(f"checkpoint: expected a world model of images, got one of states {model.observation_shape}")
    found = predict_losses(
        model, perturbation, episodes, draws=arguments.draws, paths=arguments.paths, seed=arguments.seed
    )
    measured = measure_losses(model, perturbation, episodes, seed=arguments.seed) if arguments.measure else {}
    print(as_text(found, measured))


def as_text(found: LossPrediction, measured: Mapping[str, Estimate]) -> str:
    """A prediction as text, beside what was measured where that is given."""
    from sdewm.worldmodel.loss_prediction import LOSSES, PARTS, SOURCES

    lines = [str(found.error), "", "increase of each loss, per step; ± standard errors"]
    names = ["now", "predicted", "fitted SDE", *["measured"] * bool(measured)]
    names += [f"{source}, {part}" for source in SOURCES for part in PARTS]
    lines.append("     " + "".join(f"{name:>22}" for name in names))
    for loss, one in found.losses.items():
        cells = [one.loss0, one.increase, one.simulated, *([measured[loss]] if measured else [])]
        cells += [one.parts[source, part] for source in SOURCES for part in PARTS]
        lines.append(f"{loss:<5}" + "".join(f"{f'{cell:.3g}':>22}" for cell in cells))
    lines += ["", *(f"{loss}  {meaning}" for loss, meaning in LOSSES.items()), ""]
    for loss, one in found.losses.items():
        trust = "nothing speaks against the prediction" if not one.flags else "not to be trusted:"
        lines.append(f"{loss}  {trust}")
        lines += [f"     {flag}" for flag in one.flags]
    return "\n".join(lines)


def _loaded(arguments: argparse.Namespace) -> tuple[Agent, list[np.ndarray]]:
    """The agent in float64, and the episodes that its losses are taken along."""
    from sdewm.worldmodel.replay import Replay, split
    from sdewm.worldmodel.saved_agent import load_agent
    from sdewm.worldmodel.shipped import load_trained

    path, folder = Path(arguments.checkpoint), arguments.episodes
    if path.exists():
        agent = load_agent(path).double()
        folder = folder or (path if path.is_dir() else path.parent) / "replay"
    else:
        try:
            agent, shipped = load_trained(arguments.checkpoint)
        except ValueError as error:
            raise ValueError(f"checkpoint: no such file, and no agent that ships. {error}") from None
        if folder is None:
            return agent, shipped[: arguments.heldout]
    if not folder.is_dir():
        raise ValueError(f"--episodes: expected a folder of episodes, got {folder}, which is none")
    source = Replay(folder, capacity=1)
    return agent, [source.episode(number) for number in split(folder, arguments.heldout)[1]]
