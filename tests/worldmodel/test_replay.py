"""The replay: what an episode pairs, what is sampled, what is dropped."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from support import refuses
from training_runs import Counting

from sdewm.worldmodel import PointMass, Replay, play, random_policy, to_sequences
from sdewm.worldmodel.replay import HeldEpisode, step_dtype


def test_an_episode_pairs_actions_rewards_and_observations():
    episode = play(Counting(), random_policy(1, seed=0), seed=7)
    assert len(episode) == 10
    np.testing.assert_array_equal(episode["observation"], [[7, t] for t in range(10)])
    for t in range(1, 10):  # what is collected on the way into t was paid for by the action at t − 1
        assert episode["reward"][t] == pytest.approx(10 * t + episode["action"][t - 1][0], rel=1e-6)
    assert episode["reward"][0] == 0 and episode["action"][9] == 0
    assert episode["first"].tolist() == [True] + 9 * [False] and not episode["terminal"].any()


def test_a_time_limit_is_not_terminal_and_a_fall_is():
    episode = play(PointMass(), lambda s: np.ones(1), seed=0)
    assert episode["terminal"].tolist() == [False] * (len(episode) - 1) + [True]
    assert abs(episode["observation"][-1, 0]) > 2
    episode = play(PointMass(), lambda s: np.zeros(1), seed=0)
    assert len(episode) == PointMass.frames + 1 and not episode["terminal"].any()


def test_sampled_sequences_are_stretches_of_the_episodes_laid_end_to_end(tmp_path):
    replay = Replay(tmp_path, capacity=10**6)
    lengths = (3, 9, 1, 6)
    for number, length in enumerate(lengths):
        replay.add(number, play(Counting(length), random_policy(1, seed=number), seed=number))
    whole = np.concatenate([replay.episode(number) for number in range(4)])
    order = {tuple(s): i for i, s in enumerate(whole["observation"].tolist())}
    batch = replay.sample(500, 8, torch.Generator().manual_seed(0))
    starts = set()
    for row in range(500):
        start = order[tuple(batch.observations[row, 0].tolist())]
        starts.add(start)
        expected = to_sequences(whole[None, start : start + 8])
        assert all(torch.equal(ours[row], theirs[0]) for ours, theirs in zip(batch, expected, strict=True))
    assert starts == set(range(len(whole) - 7))  # each start is possible; missing one has a chance below 1e-17
    with refuses(ValueError, f"length: expected at most the {len(whole)} steps collected, got 100"):
        replay.sample(1, 100, torch.Generator())


def test_old_episodes_are_dropped_and_deleted_only_when_tidied(tmp_path):
    replay = Replay(tmp_path, capacity=25)
    for number in range(4):
        replay.add(number, play(Counting(), random_policy(1, seed=0), seed=number))
    assert [entry[:2] for entry in replay.index] == [(2, 10), (3, 10)] and replay.steps == 20
    assert len(list(tmp_path.iterdir())) == 4
    replay.tidy()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["000002.npy", "000003.npy"]
    assert replay.sample(50, 5, torch.Generator().manual_seed(0)).observations[..., 0].unique().tolist() == [2, 3]


@pytest.mark.parametrize(("capacity", "held"), [(20, [1, 2]), (19, [2]), (10, [2]), (9, [2])])
def test_a_replay_holds_as_many_steps_as_its_capacity(tmp_path, capacity, held):
    """Two episodes of ten steps fit in twenty exactly; the newest is held whatever its length."""
    replay = Replay(tmp_path, capacity)
    for number in range(3):
        replay.add(number, play(Counting(), random_policy(1, seed=0), seed=number))
    assert [entry.number for entry in replay.index] == held and replay.steps == 10 * len(held)


def flip_a_bit(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[-5] ^= 1
    file.write_bytes(data)


RECORD = step_dtype((2,), 1)  # of what Counting shows


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (flip_a_bit, r"000001\.npy: damaged, its contents do not match its checksum"),
        (lambda file: file.write_bytes(b"\x93NUMPY"), r"000001\.npy: missing or damaged"),
        (lambda file: file.unlink(), r"000001\.npy: missing or damaged"),
        (lambda file: np.save(file, np.load(file)[:-1]), r"000001\.npy: expected 10 steps of .*, got shape \(9,\)"),
        # The same bytes, read as another kind of numbers.
        (
            lambda file: file.write_bytes(file.read_bytes().replace(b"('reward', '<f4')", b"('reward', '<i4')")),
            r"000001\.npy: expected 10 steps of .*<f4.*, got .*<i4",
        ),
        (lambda file: file.write_bytes(file.read_bytes().replace(b"'descr': [", b"'descr': ((")), "missing or damaged"),
    ],
)
def test_a_missing_or_damaged_episode_is_named_and_left_out(tmp_path, damage, reason):
    replay = Replay(tmp_path, capacity=100)
    for number in range(3):
        replay.add(number, play(Counting(), random_policy(1, seed=0), seed=number))
    damage(tmp_path / "000001.npy")
    again = Replay(tmp_path, 100)
    (wrong,) = again.restore(replay.index, RECORD)
    assert re.search(reason, wrong)
    assert [entry.number for entry in again.index] == [0, 2] and again.steps == 20
    assert {file.suffix for file in tmp_path.glob("000001.*")} <= {".damaged"}
    assert Replay(tmp_path, 100).restore(again.index, RECORD) == []


def test_an_index_without_checksums_is_read(tmp_path):
    replay = Replay(tmp_path, capacity=100)
    replay.add(0, play(Counting(), random_policy(1, seed=0), seed=0))
    assert Replay(tmp_path, 100).restore([HeldEpisode(0, 10)], RECORD) == []


def test_only_episodes_are_ever_deleted(tmp_path):
    names = ("000009.npy", "000009.npy.partial", "notes.npy", "data.partial", "000009.txt", "1.npy")
    for name in names:
        (tmp_path / name).write_text("mine")
    Replay(tmp_path, 100).tidy()
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted(names[2:])
