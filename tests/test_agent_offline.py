"""Fitting an agent to a fixed replay: the same data whatever λ, resuming, what does not fit; the pair that ships."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from support import DEBUG, PIXELS, refuses
from test_agent_training import contents

import sdewm.worldmodel
from sdewm.cli import main
from sdewm.worldmodel import (
    Learner,
    PointMass,
    Replay,
    fit,
    load_agent,
    load_lean,
    play,
    random_policy,
    to_sequences,
    train,
)
from sdewm.worldmodel.fit import split
from sdewm.worldmodel.losses import consistency_loss, reconstruction_loss, reward_loss
from sdewm.worldmodel.prediction import windows
from sdewm.worldmodel.shipped import WEIGHT, release_pair
from sdewm.worldmodel.walker import CheckpointError, load_trained

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


def test_windows_stay_within_their_episode():
    episodes = [play(PointMass(), random_policy(1, seed=number), seed=number)[:n] for number, n in ((0, 20), (1, 13))]
    batch = windows(episodes, 8)
    starts = [(0, 0), (0, 4), (0, 8), (0, 12), (1, 0), (1, 4)]
    assert len(batch.rewards) == len(starts)
    for row, (number, start) in zip(batch.observations, starts, strict=True):
        np.testing.assert_array_equal(row, episodes[number]["observation"][start : start + 8])
    with refuses(ValueError, "length: expected at most the 20 steps of an episode, got 21"):
        windows(episodes, 21)


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


# The pair that ships.


@pytest.fixture(scope="module")
def pair() -> list:
    return [load_lean(jacobian=jacobian) for jacobian in (False, True)]


def test_the_pair_that_ships_differs_in_the_penalty_alone(pair):
    (plain, episodes), (regularized, others) = pair
    assert replace(regularized.config, jacobian_weight=0.0) == plain.config
    assert regularized.config.jacobian_weight == WEIGHT
    for agent, _ in pair:
        assert agent.world_model.observation_mean.dtype == torch.float64
        assert not any(p.requires_grad for p in agent.parameters())
    for a, b in zip(episodes, others, strict=True):
        np.testing.assert_array_equal(a, b)
    means = [agent.world_model.observation_mean for agent, _ in pair]
    assert torch.equal(*means)  # fitted to the same episodes
    differing = plain.world_model.cell.from_state.weight - regularized.world_model.cell.from_state.weight
    assert differing.abs().max() > 1e-3


def test_the_pair_needs_no_dm_control():
    code = (
        "import sys; sys.modules['dm_control'] = None; sys.modules['mujoco'] = None\n"
        "from sdewm.worldmodel import load_lean\n"
        "agent, episodes = load_lean(jacobian=True)\n"
        "print(type(agent).__name__, len(episodes))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.startswith("Agent"), done.stderr


def test_what_ships_fits_the_package():
    folder = Path(sdewm.worldmodel.__file__).parent / "data"
    assert sum(file.stat().st_size for file in folder.iterdir()) < 6e6
    with refuses(ValueError, "no trained model named 'cartpole_balance_jacobian_0'; there is: walker_walk,"):
        load_trained("cartpole_balance_jacobian_0")


def test_the_shipped_models_losses_are_the_objectives(pair):
    """J_O, J_R and J_D of a filtered state, in the SDE's own layout, are the terms that training adds up."""
    agent, episodes = pair[0]
    model, t = agent.world_model, 7
    episode = to_sequences(episodes[0][None], torch.float64)
    noise = torch.zeros(*episode.rewards.shape, model.config.stoch, dtype=torch.float64)
    rollout = model.observe(episode.observations, episode.actions, episode.first, noise)
    terms = model.terms(episode, rollout)
    h, z = rollout.h[0, t : t + 1], rollout.z[0, t : t + 1]
    x = torch.cat([z, h, z, model.decode(h, z).flatten(1)], -1)
    pixels = x.shape[1] - 2 * z.shape[1] - h.shape[1]
    expected = {
        reconstruction_loss: terms.reconstruction / pixels,
        reward_loss: terms.reward,
        consistency_loss: terms.kl,
    }
    for loss, term in expected.items():
        torch.testing.assert_close(loss(model, episode)(float(t), x), term[0, t : t + 1], rtol=1e-9, atol=1e-12)
        assert (
            not torch.allclose(loss(model, episode)(t + 0.5, x), term[0, t : t + 1], rtol=1e-3) or loss is reward_loss
        )


def test_a_pair_is_released_only_if_alike_but_for_the_weight(recorded, tmp_path):
    runs = [fitted(tmp_path / f"{w:g}", recorded, updates=2, jacobian_weight=w) for w in (WEIGHT, 0.0)]
    common = {"replay": recorded, "heldout": 2, "out": tmp_path / "out"}
    paths = release_pair(runs, **common)
    assert [path.name for path in paths] == [
        "cartpole_balance_jacobian_0.safetensors", f"cartpole_balance_jacobian_{WEIGHT:g}.safetensors",
        "cartpole_balance_heldout.npz", "cartpole_balance_training.jsonl",
    ]  # fmt: skip
    released, run = load_agent(paths[1]).state_dict(), load_agent(runs[0]).state_dict()
    assert all(torch.equal(released[name], run[name]) for name in run)
    assert paths[0].stat().st_size < 0.6 * (runs[1] / "checkpoint.safetensors").stat().st_size
    with np.load(paths[2]) as arrays:
        np.testing.assert_array_equal(arrays["episode_000004"], np.load(recorded / "000004.npy"))
    assert {json.loads(line)["weight"] for line in paths[3].read_text().splitlines()} == {0.0, WEIGHT}
    other = fitted(tmp_path / "other", recorded, updates=2, seed=1)
    for wrong in ([runs[0], other], [runs[0], runs[0]]):
        with pytest.raises(CheckpointError, match="expected two runs alike but for λ = 0"):
            release_pair(wrong, **common)
