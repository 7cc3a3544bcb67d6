"""Fitting an agent to a fixed replay: the same data whatever λ, resuming, what does not fit."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from small_agents import WALKER, random_episode
from support import refuses
from training_runs import DEBUG, PIXELS, contents

from sdewm.cli import main
from sdewm.worldmodel import CheckpointError, Learner, PointMass, Replay, fit, load_agent, play, train
from sdewm.worldmodel.replay import split

OFFLINE = replace(PIXELS, log_every=1, evaluate_every=3, checkpoint_every=2, length=6)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory) -> Path:
    """Five episodes of a point mass from pixels, all 41 steps long."""
    folder = tmp_path_factory.mktemp("recorded")
    replay = Replay(folder, capacity=10**6)
    for number in range(5):
        replay.add(number, play(PointMass(16), lambda s: np.zeros(1), seed=number))
    return folder


def metrics(run: Path, kind: str = "train") -> list[dict]:
    lines = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return [line for line in lines if line["kind"] == kind]


def fitted(run: Path, recorded: Path, updates: int = 6, heldout: int = 2, **changes) -> Path:
    fit(run, replace(OFFLINE, **changes), recorded, heldout=heldout, updates=updates)
    return run


def test_a_fit_in_parts_is_the_whole_fit_and_leaves_the_replay_alone(recorded, tmp_path):
    before = {file.name: file.read_bytes() for file in recorded.iterdir()}
    fitted(tmp_path / "whole", recorded)
    fitted(tmp_path / "parts", recorded, updates=3)
    fitted(tmp_path / "parts", recorded)
    (tensors, lines), (others, other_lines) = (_read(tmp_path / name) for name in ("whole", "parts"))
    assert tensors.keys() == others.keys()
    assert [name for name in tensors if not torch.equal(tensors[name], others[name])] == []
    assert lines == other_lines
    assert {file.name: file.read_bytes() for file in recorded.iterdir()} == before
    assert load_agent(tmp_path / "whole").config == OFFLINE


def _read(run: Path) -> tuple[dict[str, torch.Tensor], list[dict]]:
    (run / "replay").mkdir()  # a fit has none
    tensors, lines, _ = contents(run)
    return tensors, lines


def test_a_walker_with_a_penalty_is_fitted_in_parts_as_in_one(tmp_path):
    replay = Replay(tmp_path / "replay", capacity=10**6)
    for number in range(3):
        replay.add(number, random_episode(WALKER, number))
    config = replace(WALKER, jacobian_weight=0.5)
    for name, updates in (("whole", 6), ("parts", 3), ("parts", 6)):
        fit(tmp_path / name, config, tmp_path / "replay", heldout=1, updates=updates)
    (tensors, lines), (others, other_lines) = (_read(tmp_path / name) for name in ("whole", "parts"))
    assert [name for name in tensors if not torch.equal(tensors[name], others[name])] == []
    assert lines == other_lines
    assert {"policy", "jacobian", "reconstruction"} <= metrics(tmp_path / "whole")[0].keys()
    with refuses(ValueError, "behaviour: expected imagination to collect and learn, got imitation"):
        train(tmp_path / "new", config)


def test_heldout_episodes_are_not_trained_on(recorded, tmp_path, monkeypatch):
    assert split(recorded, 2) == ([0, 1, 2], [3, 4])
    seen = []
    update = Learner.update
    monkeypatch.setattr(
        Learner, "update", lambda self, batch: (seen.append(batch.observations), update(self, batch))[1]
    )
    fitted(tmp_path, recorded)
    of_each = [np.load(recorded / f"{number:06d}.npy")["observation"] for number in range(5)]
    drawn = {frame.numpy().tobytes() for batch in seen for frame in batch.flatten(0, 1)}
    shared = [any(frame.tobytes() in drawn for frame in frames) for frames in of_each]
    assert shared == [True, True, True, False, False]


def test_runs_that_differ_in_the_penalty_alone_see_the_same_batches_and_noise(recorded, tmp_path, monkeypatch):
    """Without a penalty that acts (its weight is tiny) they stay equal: nothing else was drawn for it."""
    seen: dict[float, list[torch.Tensor]] = {0.0: [], 5.0: [], 1e-30: []}
    update = Learner.update

    def watched(self, batch):
        seen[self.config.jacobian_weight].append(batch.observations)
        return update(self, batch)

    monkeypatch.setattr(Learner, "update", watched)
    runs = {weight: fitted(tmp_path / f"{weight}", recorded, jacobian_weight=weight) for weight in seen}
    assert all(torch.equal(a, b) for a, b in zip(seen[0.0], seen[5.0], strict=True))
    plain, tiny, regularized = (metrics(runs[weight]) for weight in (0.0, 1e-30, 5.0))
    assert [line["kl"] for line in plain] == [line["kl"] for line in tiny]
    assert plain[0]["kl"] == regularized[0]["kl"] and plain[-1]["kl"] != regularized[-1]["kl"]
    jacobian = [line["jacobian"] for line in tiny]
    assert len(set(jacobian)) == len(jacobian)


def test_heldout_lines_have_the_objective_and_the_open_loop(recorded, tmp_path):
    lines = metrics(fitted(tmp_path, recorded), "heldout")
    assert [line["update"] for line in lines] == [3, 6]
    assert {"reconstruction", "kl", "open_1", "open_30", "held_30"} <= lines[0].keys()


def test_what_does_not_fit_is_refused(recorded, tmp_path):
    with refuses(ValueError, "observation_shape: expected ('n',) for observation=state, got (1, 16, 16)"):
        fit(tmp_path, DEBUG, recorded, heldout=1, updates=1)
    with refuses(ValueError, "heldout: expected 1 or more, less than the 5 episodes", "got 5"):
        fitted(tmp_path, recorded, heldout=5)
    with refuses(ValueError, "heldout: expected 1 or more, less than the 0 episodes"):
        fitted(tmp_path, tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()
    mixed = tmp_path / "mixed"
    Replay(mixed, 100).add(0, play(PointMass(16), lambda s: np.zeros(1), seed=0))
    Replay(mixed, 100).add(1, play(PointMass(), lambda s: np.zeros(1), seed=0))
    with refuses(ValueError, "replay: expected episodes of one environment"):
        fitted(tmp_path, mixed, heldout=1)


def test_a_run_goes_on_only_as_it_began(recorded, tmp_path):
    fitted(tmp_path, recorded, updates=2)
    with pytest.raises(CheckpointError, match="was fitted to other episodes"):
        fitted(tmp_path, recorded, heldout=1)
    with pytest.raises(CheckpointError, match="differing in: jacobian_weight"):
        fitted(tmp_path, recorded, jacobian_weight=1.0)
    with pytest.raises(CheckpointError, match="was fitted to a fixed replay, and can only go on so"):
        train(tmp_path, OFFLINE)
    collected = tmp_path / "collected"
    train(collected, replace(OFFLINE, frames=90, pretrain=0))
    with pytest.raises(CheckpointError, match="collects its episodes, and can only go on so"):
        fitted(collected, recorded)


def test_command_line_fits_and_takes_up(recorded, tmp_path, capsys):
    run = str(tmp_path / "run")
    sizes = ["--observation", "pixels", "--image-size", "16", "--encoder-kernels", "4,4", "--decoder-kernels", "4,4"]
    common = ["--replay", str(recorded), "--heldout", "2"]
    main(["fit", run, "--preset", "debug", "--updates", "5", *common, *sizes])
    main(["fit", run, "--updates", "10", *common])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["update"], line["kind"]) for line in lines] == [(5, "train"), (10, "train"), (10, "heldout")]
    with pytest.raises(SystemExit, match="heldout: expected 1 or more"):
        main(["fit", run, "--replay", str(recorded), "--heldout", "9"])
