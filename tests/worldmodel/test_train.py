"""The agent's run: determinism, resuming after a kill, failures of environment and disk, the command line."""

import errno
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from support import refuses
from training_runs import DEBUG, PIXELS, Counting, assert_equal_runs, contents

from sdewm.cli import main
from sdewm.worldmodel import (
    CheckpointError,
    EnvironmentFailure,
    Learner,
    PointMass,
    TimeStep,
    evaluate,
    load_agent,
    preset,
    train,
)
from sdewm.worldmodel.checkpoint import load_checkpoint, save_checkpoint

# Determinism, resuming, kills.


def test_one_seed_determines_a_run(whole, tmp_path):
    train(tmp_path / "again", DEBUG)
    assert_equal_runs(whole, tmp_path / "again")
    train(tmp_path / "other", replace(DEBUG, seed=1, frames=200))
    weights = [
        load_checkpoint(run / "checkpoint.safetensors")[0]["agent.critic.network.0.weight"]
        for run in (whole, tmp_path / "other")
    ]
    assert not torch.equal(*weights)


def test_one_seed_determines_a_run_of_full_size(tmp_path):
    config = preset(
        "lean-proprio", task="point-mass", action_repeat=1, frames=120, prefill=2, pretrain=3, train_every=20.0,
        log_every=1, evaluate_every=5, evaluate_episodes=1,
    )  # fmt: skip
    for name in ("a", "b"):
        train(tmp_path / name, config)
    assert_equal_runs(tmp_path / "a", tmp_path / "b")
    assert sum(line.get("kind") == "train" for line in contents(tmp_path / "a")[1]) >= 4


KILLED = """
import os, signal, sys, torch
from sdewm.worldmodel import Learner, preset, train
torch.set_num_threads(1)
update = Learner._update_behaviour
def killed(self, batch, filtered):
    if self.updates == int(sys.argv[2]):  # the world model has been updated, actor and critic have not
        os.kill(os.getpid(), signal.SIGKILL)
    return update(self, batch, filtered)
Learner._update_behaviour = killed
train(sys.argv[1], preset("debug"))
"""


@pytest.mark.parametrize("update", [3, 18], ids=["before the first checkpoint", "between two"])
def test_a_run_killed_in_mid_update_and_taken_up_equals_one_that_was_not(whole, tmp_path, update):
    killed = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), str(update)], timeout=120)
    assert killed.returncode == -signal.SIGKILL
    saved = tmp_path / "checkpoint.safetensors"
    assert saved.exists() == (update > DEBUG.checkpoint_every)
    if saved.exists():  # it lost the updates since the last checkpoint, and no more
        assert load_checkpoint(saved)[1]["progress"]["update"] == 15
    with open(tmp_path / "metrics.jsonl", "a") as stream:
        stream.write('{"update": 18, "ki')
    (tmp_path / "replay" / "000099.npy").write_bytes(b"left over")
    train(tmp_path, DEBUG)
    assert_equal_runs(whole, tmp_path)


def test_a_finished_run_can_go_on_for_longer(tmp_path):
    train(tmp_path / "parts", replace(DEBUG, frames=200))
    train(tmp_path / "parts", DEBUG)
    train(tmp_path / "whole", DEBUG)
    assert_equal_runs(tmp_path / "whole", tmp_path / "parts")


def test_a_long_run_forgets_old_episodes_and_is_resumed_all_the_same(tmp_path):
    config = replace(DEBUG, capacity=90, frames=400)
    train(tmp_path / "whole", config)
    train(tmp_path / "parts", replace(config, frames=240))
    train(tmp_path / "parts", config)
    assert_equal_runs(tmp_path / "whole", tmp_path / "parts")
    assert len(list((tmp_path / "whole" / "replay").iterdir())) <= 3


def test_errors_in_the_latent_are_part_of_what_is_repeated(tmp_path):
    config = replace(DEBUG, error="non-zero-drift", error_mean=1.0, error_variance=2.0, error_unit="spread", frames=240)
    train(tmp_path / "whole", config)
    train(tmp_path / "parts", replace(config, frames=160))
    train(tmp_path / "parts", config)
    assert_equal_runs(tmp_path / "whole", tmp_path / "parts")


# Checkpoints that cannot be used, disks that are full.


def test_other_settings_or_another_environment_are_refused(whole):
    with pytest.raises(CheckpointError, match="other settings, differing in: clip, seed"):
        train(whole, replace(DEBUG, clip=1.0, seed=3))
    with pytest.raises(CheckpointError, match=r"expected an environment with observations \(2,\) and 1 actions"):
        Counting3 = type("Counting3", (Counting,), {"observation_shape": (3,)})
        train(whole, DEBUG, Counting3)


def test_damaged_and_foreign_checkpoints_are_one_clear_error(whole, tmp_path):
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        load_agent(tmp_path)
    file = tmp_path / "checkpoint.safetensors"
    save_checkpoint(file, {"x": torch.zeros(2)}, {})
    with pytest.raises(CheckpointError, match="kind None; expected 'dreamer-1'"):
        load_agent(tmp_path)
    with pytest.raises(CheckpointError, match="kind None"):
        train(tmp_path, DEBUG)
    data = (whole / "checkpoint.safetensors").read_bytes()
    for damaged in (data[:-3] + bytes([data[-3] ^ 1]) + data[-2:], data[: len(data) // 2], b""):
        file.write_bytes(damaged)
        for use in (load_agent, lambda run: train(run, DEBUG)):
            with pytest.raises(CheckpointError, match="damaged"):
                use(tmp_path)


def test_a_full_disk_leaves_the_checkpoint_and_a_run_that_can_be_taken_up(whole, tmp_path, monkeypatch):
    calls, fsync = [], os.fsync

    def full(descriptor: int) -> None:
        if Path(os.readlink(f"/proc/self/fd/{descriptor}")).name == "checkpoint.safetensors.partial":
            calls.append(descriptor)
            if len(calls) == 3:
                raise OSError(errno.ENOSPC, "No space left on device")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CheckpointError, match=r"No space left on device.*the checkpoint before it is intact"):
        train(tmp_path, DEBUG)
    assert load_checkpoint(tmp_path / "checkpoint.safetensors")[1]["progress"]["update"] == 10
    assert not list(tmp_path.glob("*.partial"))
    train(tmp_path, DEBUG)
    assert_equal_runs(whole, tmp_path)


def test_a_full_disk_leaves_no_part_of_an_episode(whole, tmp_path, monkeypatch):
    calls, write = [], np.save

    def full(stream, episode, **options) -> None:
        calls.append(episode)
        if len(calls) == 4:
            stream.write(b"begun")
            raise OSError(errno.ENOSPC, "No space left on device")
        write(stream, episode, **options)

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(OSError, match="No space left on device"):
        train(tmp_path, DEBUG)
    assert sorted(file.name for file in (tmp_path / "replay").iterdir()) == [f"{n:06d}.npy" for n in range(3)]
    train(tmp_path, DEBUG)
    assert_equal_runs(whole, tmp_path)


def test_numbers_that_are_not_finite_stop_the_run(tmp_path, monkeypatch):
    update = Learner.update
    monkeypatch.setattr(Learner, "update", lambda self, batch: update(self, batch) | {"kl": torch.tensor(float("nan"))})
    with pytest.raises(FloatingPointError, match="expected finite numbers, got others in kl"):
        train(tmp_path, DEBUG)


# Environments that fail.


class Failing(PointMass):
    """Fails in the ``failing`` episodes, counted over all its instances, in the way ``fault`` says."""

    begun = 0
    failing: tuple[int, ...] = (1, 4)
    fault = "dies"

    def reset(self, seed: int) -> TimeStep:
        self.number = type(self).begun
        type(self).begun += 1
        return super().reset(seed)

    def step(self, action: np.ndarray) -> TimeStep:
        step = super().step(action)
        if self.number not in self.failing or self._frame < 5:
            return step
        match self.fault:
            case "dies":
                raise RuntimeError("the simulator is gone")
            case "reward":
                return step._replace(reward=float("nan"))
            case "state":
                return step._replace(observation=np.array([np.inf, 0.0]))
            case _:
                return step._replace(observation=np.zeros(5))


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("dies", "RuntimeError: the simulator is gone"),
        ("reward", "reward: expected a finite number, got nan"),
        ("state", "observation: expected finite numbers"),
        ("shape", "observation: expected shape (2,), got (5,)"),
    ],
)
def test_a_failed_episode_is_discarded_and_counted_and_the_run_goes_on(tmp_path, fault, reason):
    environment = type("OneFault", (Failing,), {"fault": fault})
    train(tmp_path, replace(DEBUG, frames=200, evaluate_every=0), environment)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    discarded = [line for line in lines if line["kind"] == "discarded"]
    assert [line["discarded"] for line in discarded] == [1, 2]
    assert all(line["reason"].startswith(reason) for line in discarded)
    progress = load_checkpoint(tmp_path / "checkpoint.safetensors")[1]["progress"]
    assert progress["discarded"] == 2 and progress["attempts"] == progress["episodes"] + 2
    assert progress["frames"] == sum(line["steps"] for line in lines if line["kind"] == "episode") >= 200


def test_an_environment_that_always_fails_stops_the_run(tmp_path):
    environment = type("AllFaults", (Failing,), {"failing": range(100)})
    with pytest.raises(EnvironmentFailure, match="3 episodes in a row failed; the last: RuntimeError"):
        train(tmp_path, replace(DEBUG, max_failures=3), environment)


def test_evaluation_discards_and_counts_too(whole):
    result = evaluate(load_agent(whole), type("Faults", (Failing,), {"begun": 0}), count=4, seed=0)
    assert len(result.returns) == 4 and result.discarded == 2


@pytest.mark.parametrize(
    ("spaces", "message"),
    [
        ({"observation_shape": (1, 16, 16)}, "observation_shape: expected ('n',) for observation=state, got (1, 1"),
        ({"action_size": 0}, "action_size: expected a positive number of continuous actions, got 0"),
        ({"action_repeat": 4}, "action_repeat: expected 1 as configured, got 4"),
    ],
)
def test_spaces_that_do_not_fit_are_refused(tmp_path, spaces, message):
    with refuses(ValueError, message):
        train(tmp_path, DEBUG, type("Other", (Counting,), spaces))
    with refuses(ValueError, "observation_shape: expected (1, 16, 16) for observation=pixels, got (2,)"):
        train(tmp_path, PIXELS, Counting)


# The command line.


def test_command_line_trains_takes_up_evaluates_and_records(tmp_path, capsys):
    run = str(tmp_path / "run")
    kernels = ["--encoder-kernels", "4,4", "--decoder-kernels", "4,4"]
    pixels = ["--observation", "pixels", "--image-size", "16", *kernels]
    main(["train", run, "--preset", "debug", "--frames", "120", *pixels])
    assert "episode 3: return" in capsys.readouterr().out
    main(["train", run, "--frames", "160"])
    assert load_checkpoint(tmp_path / "run" / "checkpoint.safetensors")[1]["config"]["frames"] == 160
    capsys.readouterr()
    main(["evaluate", run, "--count", "2", "--mask", "50", "0.5", "0.15"])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(lines) == 3 and lines[2]["episodes"] == 2
    assert lines[2]["return"] == pytest.approx((lines[0]["return"] + lines[1]["return"]) / 2)
    assert lines[2]["perturbation"].startswith("MaskedNoise(percent=50.0, mean=0.5, variance=0.15, mode='replace'")
    main(["record", run, "--count", "1", "--out", str(tmp_path / "out"), "--prediction", "5"])
    names = ["episode_0000.gif", "episode_0000.npy", "prediction_0000.gif"]
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == names
    capsys.readouterr()
    main(["presets"])
    assert "table5" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "RUN", "--deter", "0"], "sdewm train: deter: expected a positive number, got 0"),
        (["train", "RUN", "--task", "moon-landing"], "sdewm train: "),
        (["evaluate", "RUN"], "no such checkpoint"),
        (["evaluate", "RUN", "--mode", "add"], "no such checkpoint"),
    ],
)
def test_a_users_mistake_is_one_line(tmp_path, arguments, message):
    with pytest.raises(SystemExit, match=message):
        main([*(str(tmp_path / "run") if a == "RUN" else a for a in arguments)])


def test_tensorboard_gets_the_numbers_of_the_metrics(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(tmp_path, replace(DEBUG, frames=120))
    board = EventAccumulator(str(tmp_path / "tensorboard"))
    board.Reload()
    lines = map(json.loads, (tmp_path / "metrics.jsonl").read_text().splitlines())
    expected = [(line["update"], line["kl"]) for line in lines if line["kind"] == "train"]
    assert expected
    seen = [(event.step, event.value) for event in board.Scalars("train/kl")]
    np.testing.assert_allclose(seen, expected, rtol=1e-5)
