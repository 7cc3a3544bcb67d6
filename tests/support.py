"""What several test files share: exact messages, intervals at a stated level, a problem on a grid, small agents."""

from __future__ import annotations

import json
import re
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from sdewm.estimate.estimates import Estimate
from sdewm.exact.problems import Problem
from sdewm.noise.grid import TimeGrid
from sdewm.worldmodel import Step, preset
from sdewm.worldmodel.checkpoint import load_checkpoint

F64 = torch.float64
EULER_METHODS = ("euler", "euler-sequential")
# Chance that a correct library fails one statistical test, at a seed drawn afresh; intervals for several
# quantities share it (Bonferroni). Student-t intervals over replicates take their means to be normal.
FALSE_FAILURE = 1e-3
# Chance that a difference called a mistake is sampling error alone.
FALSE_ALARM = 1e-6
# Agents that train in seconds, from states and from pixels.
DEBUG = preset("debug")
PIXELS = replace(DEBUG, observation="pixels", image_size=16, encoder_kernels=(4, 4), decoder_kernels=(4, 4), unit=0.1)


def refuses(error: type[BaseException], *fragments: str) -> AbstractContextManager:
    """The error is raised, and its message has the fragments in that order."""
    return pytest.raises(error, match="(?s)" + ".*".join(re.escape(f) for f in fragments))


def agrees(estimate: Estimate, truth: float, *, comparisons: int = 1, bias: float = 0.0) -> bool:
    """The truth lies in the estimate's interval, one of several that share the false-failure rate."""
    return abs(estimate.mean - truth) <= estimate.half_width(1 - FALSE_FAILURE / comparisons) + bias


def convicts(estimate: Estimate, truth: float, *, bias: float = 0.0) -> bool:
    """Sampling error alone would put the truth so far outside at the false-alarm rate only."""
    return abs(estimate.mean - truth) > estimate.half_width(1 - FALSE_ALARM) + bias


def normal_increments(grid: TimeGrid, paths: int, channels: int, seed: int = 0) -> Tensor:
    """Brownian increments ``(steps, paths, channels)``."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(grid.steps, paths, channels, generator=generator, dtype=F64) * grid.dt**0.5


def grid_of(problem: Problem, steps: int) -> TimeGrid:
    return TimeGrid(0.0, problem.horizon, steps)


class Counting:
    """Observes its time; the reward on the way into t is 10 t + the action before; ends at ``length`` by time limit."""

    observation_shape, action_size, action_repeat = (2,), 1, 1

    def __init__(self, length: int = 9) -> None:
        self.length = length

    def reset(self, seed: int) -> Step:
        self.seed, self.time = seed, 0
        return Step(np.array([seed, 0.0]), 0.0, False, False)

    def step(self, action: np.ndarray) -> Step:
        self.time += 1
        reward = 10 * self.time + float(action[0])
        return Step(np.array([self.seed, self.time]), reward, False, self.time == self.length)


def contents(run: Path) -> tuple[dict[str, torch.Tensor], list[dict], dict[str, bytes]]:
    """What two equal runs share: tensors, metrics but for what is measured in seconds, and the replay's files."""
    tensors, metadata = load_checkpoint(run / "checkpoint.safetensors")
    measured = ("seconds", "cpu_seconds", "frames_per_second", "seconds_left")
    lines = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    metrics = [{name: value for name, value in line.items() if name not in measured} for line in lines]
    progress = {k: v for k, v in metadata["progress"].items() if k not in ("seconds", "cpu_seconds", "metrics_bytes")}
    files = {file.name: file.read_bytes() for file in (run / "replay").iterdir()}
    return tensors, [progress, *metrics], files


def assert_equal_runs(a: Path, b: Path) -> None:
    (tensors, metrics, files), (others, other_metrics, other_files) = contents(a), contents(b)
    assert tensors.keys() == others.keys()
    assert [name for name in tensors if not torch.equal(tensors[name], others[name])] == []
    assert metrics == other_metrics
    assert files == other_files
