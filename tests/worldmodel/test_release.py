"""Runs written as package data."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from small_agents import WALKER, random_episode

from sdewm.cli import main
from sdewm.worldmodel import CheckpointError, Replay, fit, load_agent
from sdewm.worldmodel.release import release


@pytest.fixture(scope="module")
def recorded(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("recorded")
    for number in range(5):
        Replay(folder, capacity=10**6).add(number, random_episode(WALKER, number))
    return folder


def fitted(run: Path, recorded: Path, **changes) -> Path:
    fit(run, replace(WALKER, evaluate_every=0, **changes), recorded, heldout=2, updates=2)
    return run


def test_runs_are_released_only_if_alike_but_for_weight_and_seed(recorded, tmp_path):
    runs = [fitted(tmp_path / f"{w:g}", recorded, jacobian_weight=w) for w in (1.0, 0.0)]
    common = {"name": "toy", "replay": recorded, "heldout": 2, "out": tmp_path / "out"}
    paths = release(runs, **common)
    assert [path.name for path in paths] == [
        "toy_jacobian_0.safetensors",
        "toy_jacobian_1.safetensors",
        "toy_heldout.npz",
        "toy_training.jsonl",
    ]
    released, run = load_agent(paths[1]).state_dict(), load_agent(runs[0]).state_dict()
    assert all(torch.equal(released[name], run[name]) for name in run)
    assert paths[0].stat().st_size < 0.8 * (runs[1] / "checkpoint.safetensors").stat().st_size
    with np.load(paths[2]) as arrays:
        np.testing.assert_array_equal(arrays["episode_000004"], np.load(recorded / "000004.npy"))
    assert {json.loads(line)["weight"] for line in paths[3].read_text().splitlines()} == {0.0, 1.0}
    other = fitted(tmp_path / "other", recorded, seed=1, clip=1.0)
    for wrong in ([runs[0], other], [runs[0], runs[0]]):
        with pytest.raises(CheckpointError, match="runs: expected runs alike but for λ and the seed"):
            release(wrong, **common)


def test_seeds_are_named_and_half_is_rounded(recorded, tmp_path):
    runs = [str(fitted(tmp_path / f"{s}", recorded, seed=s)) for s in (0, 1)]
    arguments = ["--replay", str(recorded), "--heldout", "2", "--out", str(tmp_path / "out"), "--name", "toy", "--half"]
    main(["release", *runs, *arguments])
    names = [f"toy_jacobian_0_seed_{s}.safetensors" for s in (0, 1)]
    exact, rounded = load_agent(runs[0]).state_dict(), load_agent(tmp_path / "out" / names[0]).state_dict()
    assert all(torch.equal(exact[name].half().float(), rounded[name]) for name in exact)
    assert (tmp_path / "out" / names[1]).exists()
