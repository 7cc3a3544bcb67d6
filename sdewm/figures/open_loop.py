"""What the shipped pair of agents predicts from actions alone: error against the horizon, and the frames themselves."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
import torch
from matplotlib.axes import Axes

from sdewm.drawing import GUIDE, OTHER, Look, save, styled
from sdewm.figures.record import load
from sdewm.worldmodel import load_trained, open_loop
from sdewm.worldmodel.prediction import CONTEXT, HORIZON, windows
from sdewm.worldmodel.shipped import LEAN, LEAN_REGULARIZED

STEP_SECONDS = 0.08  # simulated seconds of an agent step: 8 frames of 0.01
SHOWN = (1, 2, 3, 5, 8, 11, 15, 20, 25, 30)  # steps ahead, the columns
LOOKS = {
    "without": Look("#1f5fa8", "-", "o"),
    "regularized": Look("#d9730d", "--", "s"),
    "last observation seen": OTHER[0],
    "mean image": OTHER[1],
}
LABELS = {"last observation seen": "last frame seen, left as it is", "mean image": "mean image"}


def draw(results: Path, out: Path) -> list[Path]:
    path = results / "agent" / "open_loop.json"
    record = load(results, "agent/open_loop.json", f"python -m benchmarks.open_loop --json {path}")
    with styled(7.2, 5.4) as figure:
        [top], [bottom] = figure.subfigures(2, 1, squeeze=False, height_ratios=(1.25, 1))
        left, right = top.subplots(1, 2)
        plain, regularized = record["weights"]
        _draw_errors(left, record, {"without": f"λ = {plain:g}", "regularized": f"λ = {regularized:g}", **LABELS})
        _draw_difference(right, record)
        _draw_frames(bottom)
        return save(figure, out, "open_loop")


def _draw_errors(axes: Axes, record: dict, labels: dict[str, str]) -> None:
    ahead = np.arange(1, record["horizon"] + 1)
    for name, look in LOOKS.items():
        curve, label = record["curves"][name], labels[name]
        axes.plot(
            ahead, curve["mean"], color=look.color, ls=look.linestyle, marker=look.marker, markevery=5, label=label
        )
        axes.fill_between(ahead, curve["low"], curve["high"], color=look.color, alpha=0.15, lw=0)
    axes.set_ylim(0, None)
    axes.set_xlabel("steps ahead")
    axes.set_title("Open-loop error, nats per step\n(½ squared standardized error, summed over pixels)")
    axes.legend()


def _draw_difference(axes: Axes, record: dict) -> None:
    ahead, curve = np.arange(1, record["horizon"] + 1), record["curves"]["regularized less without"]
    for values in curve["by episode"]:
        axes.plot(ahead, values, color="#c4c4c4", lw=0.6)
    axes.plot(
        ahead, curve["mean"], color=LOOKS["regularized"].color, marker=LOOKS["regularized"].marker, markevery=5, lw=1.8
    )
    axes.fill_between(ahead, curve["low"], curve["high"], color=LOOKS["regularized"].color, alpha=0.25, lw=0)
    axes.axhline(0, **GUIDE)
    axes.set_xlabel("steps ahead")
    number, confidence = record["episodes"], record["confidence"]
    axes.set_title(f"Regularized less without\n(thin: {number} held-out episodes; bands: {confidence:.0%} intervals)")


@torch.no_grad()
def _draw_frames(figure: matplotlib.figure.SubFigure) -> None:
    (plain, episodes), (regularized, _) = load_trained(LEAN), load_trained(LEAN_REGULARIZED)
    batch = windows(episodes[:1], CONTEXT + HORIZON, torch.float64)
    liveliest = int(batch.observations.double().diff(dim=1).abs().flatten(1).mean(1).argmax())
    batch = type(batch)(*(part[liveliest : liveliest + 1] for part in batch))
    rows = {"recorded": batch.observations[0, CONTEXT:, 0].double() / 255}
    for agent in (plain, regularized):
        model, name = agent.world_model, f"λ = {agent.config.jacobian_weight:g}"
        rows[name] = model.observations(open_loop(model, batch, CONTEXT))[0, :, 0]
    grid = figure.subplots(len(rows), len(SHOWN), gridspec_kw={"wspace": 0.04, "hspace": 0.04})
    low, high = float(rows["recorded"].min()), float(rows["recorded"].max())
    for row, (name, images) in zip(grid, rows.items(), strict=True):
        row[0].set_ylabel(name)
        for axes, n in zip(row, SHOWN, strict=True):
            axes.set(xticks=[], yticks=[])
            axes.imshow(images[n - 1], cmap="gray", vmin=low, vmax=high, interpolation="nearest")
    for axes, n in zip(grid[0], SHOWN, strict=True):
        axes.set_title(f"+{n}", fontsize=8)
    figure.suptitle(
        f"A held-out window: +n is n steps of {STEP_SECONDS:g} s after {CONTEXT} frames seen; actions alone after that",
        fontsize=9,
    )
