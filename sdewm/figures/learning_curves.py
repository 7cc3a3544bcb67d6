"""The agent's returns against frames: every recorded run of a task, their mean, and the return of a random policy."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

import numpy as np
from jaxtyping import Num
from matplotlib.axes import Axes

from sdewm.drawing import CORRECTED, GUIDE, OTHER, save, styled


@dataclass(frozen=True)
class Task:
    """Runs are recorded in NAME.jsonl (seed 0) and NAME_SEED.jsonl; ``target`` is the return that they are to reach."""

    title: str
    target: float


TASKS = {
    "cartpole_swingup_proprio": Task("cartpole-swingup from its state", 600),
    "cartpole_balance_pixels": Task("cartpole-balance from pixels", 700),
}
LOOKS = (CORRECTED, *OTHER)  # by seed


def draw(results: Path, out: Path) -> list[Path]:
    found = {task: r for name, task in TASKS.items() if (r := runs(results / "agent", name))}
    if not found:
        raise FileNotFoundError(
            f"{results / 'agent'}: no runs; make one with: sdewm train RUN, and copy its metrics.jsonl there"
        )
    with styled(3.6 * len(found), 3.6) as figure:
        row = figure.subplots(1, len(found), squeeze=False)[0]
        for axes, (task, by_seed) in zip(row, found.items(), strict=True):
            _draw_task(axes, task, by_seed)
        row[0].set_ylabel("return of an episode")
        return save(figure, out, "learning_curves")


def runs(folder: Path, name: str) -> dict[int, list[dict]]:
    """{seed: lines of metrics} of a task's runs."""
    found = {}
    for path in sorted(folder.glob(f"{name}*.jsonl")):
        if match := re.fullmatch(rf"{name}(?:_(\d+))?\.jsonl", path.name):
            found[int(match[1] or 0)] = [json.loads(line) for line in path.read_text().splitlines()]
    return dict(sorted(found.items()))


def evaluations(lines: list[dict]) -> tuple[Num[np.ndarray, " points"], Num[np.ndarray, " points"]]:
    """Frames and returns of the actor's mode."""
    scored = [(line["frames"], line["return"]) for line in lines if line["kind"] == "evaluation"]
    return np.array([f for f, _ in scored]), np.array([r for _, r in scored])


def reached(lines: list[dict], target: float) -> tuple[int, float | None] | None:
    """Frames, and CPU minutes where they were recorded, at the first evaluation of at least ``target``."""
    seconds = None
    for line in lines:
        seconds = line.get("cpu_seconds", seconds)
        if line["kind"] == "evaluation" and line["return"] >= target:
            return line["frames"], None if seconds is None else seconds / 60
    return None


def _draw_task(axes: Axes, task: Task, by_seed: dict[int, list[dict]]) -> None:
    random = [line["return"] for lines in by_seed.values() for line in lines if line.get("random")]
    curves = {seed: evaluations(lines) for seed, lines in by_seed.items()}
    for look, (seed, (frames, returns)) in zip(cycle(LOOKS), curves.items(), strict=False):
        axes.plot(frames, returns, color=look.color, ls=look.linestyle, lw=0.8, label=_label(seed, by_seed[seed], task))
        if at := reached(by_seed[seed], task.target):
            score = returns[list(frames).index(at[0])]
            axes.plot(at[0], score, color=look.color, marker=look.marker, ms=4, ls="")
    if len(curves) > 1:
        common = np.arange(max(f[0] for f, _ in curves.values()), min(f[-1] for f, _ in curves.values()) + 1, 1000)
        mean = np.mean([np.interp(common, frames, returns) for frames, returns in curves.values()], 0)
        axes.plot(common, mean, color="#111111", lw=2, label=f"mean of {len(curves)} seeds")
    axes.axhline(task.target, **GUIDE)
    axes.axhline(float(np.mean(random)), **GUIDE)
    for reward, text, lift in ((task.target, f"target {task.target:g}", 2), (float(np.mean(random)), "random", -8)):
        axes.annotate(text, (0, reward), (3, lift), xycoords=("axes fraction", "data"), textcoords="offset points",
                      fontsize=7, color=GUIDE["color"])  # fmt: skip
    axes.set_xlim(0, None)
    axes.set_ylim(0, 1000)
    axes.xaxis.set_major_formatter(lambda x, _: f"{x / 1000:g}")
    axes.set_xlabel("frames, thousands")
    axes.set_title(task.title)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2))


def _label(seed: int, lines: list[dict], task: Task) -> str:
    if (at := reached(lines, task.target)) is None:
        return f"seed {seed}"
    frames, minutes = at
    return f"seed {seed}: target at {frames:,} frames" + ("" if minutes is None else f", {minutes:.0f} CPU min")
