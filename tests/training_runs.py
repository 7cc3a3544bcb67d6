"""Agents that train in seconds, an environment that counts, and what two equal runs have in common."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from sdewm.worldmodel import TimeStep, preset
from sdewm.worldmodel.checkpoint import load_checkpoint

DEBUG = preset("debug")
PIXELS = replace(DEBUG, observation="pixels", image_size=16, encoder_kernels=(4, 4), decoder_kernels=(4, 4), unit=0.1)


class Counting:
    """Observes its time; the reward on the way into t is 10 t + the action before; ends at ``length`` by time limit."""

    observation_shape, action_size, action_repeat = (2,), 1, 1

    def __init__(self, length: int = 9) -> None:
        self.length = length

    def reset(self, seed: int) -> TimeStep:
        self.seed, self.time = seed, 0
        return TimeStep(np.array([seed, 0.0]), 0.0, False, False)

    def step(self, action: np.ndarray) -> TimeStep:
        self.time += 1
        reward = 10 * self.time + float(action[0])
        return TimeStep(np.array([self.seed, self.time]), reward, False, self.time == self.length)


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
