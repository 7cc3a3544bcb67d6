"""The shipped world model: how it was trained, and what it reconstructs and predicts on held-out frames."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator

from sdewm.drawing import save, styled
from sdewm.worldmodel import WorldModel, load_trained, open_loop, to_sequences
from sdewm.worldmodel.shipped import training_metrics

BLUE, ORANGE, GREY = "#1f5fa8", "#d9730d", "#555555"  # told apart without colour by line style as well
CONTEXT = 5  # frames seen before the open loop
STEP_SECONDS = 0.05  # simulated seconds of an agent step
START = 50  # first step of the window shown
SHOWN = (0, 2, 4, 5, 6, 7, 9, 11, 14, 19)  # its columns


def draw(results: Path, out: Path) -> list[Path]:
    """Drawn from the package's own data; ``results`` is not used."""
    agent, episodes = load_trained()
    curve = training_metrics()

    with styled(7.2, 5.4) as figure:
        [top], [bottom] = figure.subfigures(2, 1, squeeze=False, height_ratios=(1, 1.15))
        left, right = top.subplots(1, 2)
        _draw_bound(left, curve)
        _draw_explained(right, curve)
        _draw_frames(bottom, agent.world_model, episodes[1])
        return save(figure, out, "trained_model")


def _column(curve: list[dict], kind: str, name: str) -> tuple[list[int], list[float]]:
    lines = [line for line in curve if line["kind"] == kind]
    return [line["update"] for line in lines], [line[name] for line in lines]


def _draw_bound(axes: Axes, curve: list[dict]) -> None:
    for name, label, colour, marker in (
        ("reconstruction", "reconstruction", BLUE, "o"),
        ("kl", "KL", ORANGE, "s"),
    ):
        axes.plot(*_column(curve, "train", name), color=colour, lw=0.6, alpha=0.5)
        updates, values = _column(curve, "heldout", name)
        axes.plot(updates, values, color=colour, lw=1.5, marker=marker, ms=3)
        end = (updates[-1], values[-1])
        text = f"{label}: {values[-1]:.0f}"
        axes.annotate(text, end, (0, 7), ha="right", color=colour, textcoords="offset points")
    axes.set_yscale("log")
    axes.set_yticks([10, 20, 50, 100, 200, 500], labels=["10", "20", "50", "100", "200", "500"])
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_title("Negative evidence bound, nats per step\n(thin: training batches; marked: held out)")
    axes.set_xlabel("updates")


def _draw_explained(axes: Axes, curve: list[dict]) -> None:
    rows = (
        ("explained_basis", GREY, "-", None, 2, "limit of the image basis"),
        ("explained", BLUE, "-", "o", -1, "frame seen (posterior)"),
        ("explained_open_1", ORANGE, "--", "s", -2, "1 step ahead"),
        ("explained_open_5", ORANGE, "-.", "^", 0, "5 steps ahead"),
        ("explained_open_15", ORANGE, ":", "v", 0, "15 steps ahead"),
    )
    last = 0
    for name, colour, line, marker, lift, label in rows:
        updates, values = _column(curve, "heldout", name)
        axes.plot(updates, values, color=colour, ls=line, marker=marker, ms=3, lw=1.2)
        last = updates[-1]
        axes.annotate(
            label,
            (last, values[-1]),
            (5, lift),
            textcoords="offset points",
            va="center",
            color=colour,
            fontsize=7,
        )
    axes.axhline(0, color=GREY, lw=0.5)
    axes.set_xlim(0, 1.65 * last)  # room for the names
    axes.set_xticks(range(0, last + 1, last // 5))
    axes.set_ylim(-0.2, 0.8)
    axes.set_title("Held-out variance of moving pixels explained\n(ahead: from actions alone, after 5 frames)")
    axes.set_xlabel("updates")


@torch.no_grad()
def _draw_frames(figure: matplotlib.figure.SubFigure, model: WorldModel, episode: np.ndarray) -> None:
    batch = to_sequences(episode[None, START : START + SHOWN[-1] + 1], torch.float64)
    recorded, rollout = batch.observations[0, :, 0] / 255, model.filter(batch)
    seen = model.observations(model.decode(rollout.h, rollout.z))[0, :, 0]
    foreseen = model.observations(open_loop(model, batch, CONTEXT))[0, :, 0]
    rows = {"recorded": recorded, "reconstructed": seen, "foreseen": foreseen}
    grid = figure.subplots(len(rows), len(SHOWN), gridspec_kw={"wspace": 0.04, "hspace": 0.04})
    high = float(recorded.max())
    for row, (name, images) in zip(grid, rows.items(), strict=True):
        row[0].set_ylabel(name)
        for axes, t in zip(row, SHOWN, strict=True):
            axes.set(xticks=[], yticks=[])
            index = t - CONTEXT if name == "foreseen" else t
            if index >= 0:
                axes.imshow(images[index], cmap="gray", vmin=0, vmax=high, interpolation="nearest")
            else:
                axes.set_frame_on(False)
    for axes, t in zip(grid[0], SHOWN, strict=True):
        axes.set_title(f"t = {t}" if t < CONTEXT else f"+{t - CONTEXT + 1}", fontsize=8)
    text = f"{CONTEXT} frames seen,\nthen actions alone"
    note = grid[-1][1].annotate(text, (0.5, 0.5), xycoords="axes fraction", ha="center", va="center")
    note.set_in_layout(False)
    figure.suptitle(
        f"Held-out frames; +n: n steps of {STEP_SECONDS:g} s after the last frame seen by the open loop",
        fontsize=9,
    )
