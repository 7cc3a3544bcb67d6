"""A run's folder: whose it is, its lock, what is left of a damaged run; stopping by a signal; files that last."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from damage import damage
from support import refuses
from training_runs import DEBUG, assert_equal_runs

from sdewm.cli import main
from sdewm.files import cut_back, write_whole
from sdewm.worldmodel import CheckpointError, train
from sdewm.worldmodel.run_folder import RunFolder, RunInUse
from sdewm.worldmodel.stopping import asked_to_stop


def tree(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


# Whose folder it is.


def test_a_folder_of_other_things_is_refused_and_left_alone(tmp_path):
    (tmp_path / "data").mkdir()
    np.save(tmp_path / "data" / "000001.npy", np.arange(3))
    (tmp_path / "metrics.jsonl").write_text("years of work\n")
    before = tree(tmp_path)
    with refuses(ValueError, "run: expected a new or empty folder", "data, metrics.jsonl; name another folder"):
        train(tmp_path, DEBUG)
    with pytest.raises(SystemExit, match="sdewm train: run: expected a new or empty folder"):
        main(["train", str(tmp_path), "--preset", "debug"])
    assert tree(tmp_path) == before


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "run").write_text("")
    with refuses(ValueError, "run: expected a folder, got the file"):
        train(tmp_path / "run", DEBUG)


def test_files_beside_a_runs_own_stay(whole, tmp_path):
    train(tmp_path, replace(DEBUG, frames=160))
    (tmp_path / "replay" / "mine.npy").write_text("mine")
    (tmp_path / "notes.txt").write_text("mine")
    train(tmp_path, DEBUG)
    assert (tmp_path / "replay" / "mine.npy").read_text() == (tmp_path / "notes.txt").read_text() == "mine"
    (tmp_path / "replay" / "mine.npy").unlink()
    assert_equal_runs(whole, tmp_path)


def test_a_run_that_cannot_start_leaves_no_folder(tmp_path):
    with pytest.raises(SystemExit):
        main(["train", str(tmp_path / "run"), "--preset", "debug", "--task", "moon-landing"])
    assert not (tmp_path / "run").exists()


def test_a_run_that_was_killed_before_it_had_begun_begins(tmp_path):
    (tmp_path / "run.json.partial").write_text('{"sdewm"')
    (tmp_path / ".lock").write_text("")
    with RunFolder(tmp_path):
        assert sorted(file.name for file in tmp_path.iterdir() if file.name != ".lock") == ["run.json"]


# One process at a time.


HOLD = """
import sys, time
from sdewm.worldmodel.run_folder import RunFolder
with RunFolder(sys.argv[1]):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_process_is_refused_and_a_dead_ones_lock_is_gone(tmp_path):
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline() == "held\n"
        with refuses(RunInUse, str(tmp_path), "another process is working in this run"):
            train(tmp_path, DEBUG)
        with pytest.raises(SystemExit, match=r"sdewm train: .*another process is working in this run"):
            main(["train", str(tmp_path), "--preset", "debug"])
    finally:
        holder.kill()
        holder.wait()
    with RunFolder(tmp_path):
        pass


# What is left when something is missing or damaged.


def test_a_missing_checkpoint_is_noticed_and_the_way_out_is_named(tmp_path):
    train(tmp_path, replace(DEBUG, frames=160))
    (tmp_path / "checkpoint.safetensors").unlink()
    before = tree(tmp_path)
    with refuses(CheckpointError, "missing; its 4 episodes are still there, `sdewm fit NEW --replay", "put a copy"):
        train(tmp_path, DEBUG)
    assert tree(tmp_path) == before


def test_a_damaged_episode_is_counted_and_the_run_goes_on(tmp_path):
    train(tmp_path, replace(DEBUG, frames=240))
    file = tmp_path / "replay" / "000001.npy"
    data = bytearray(file.read_bytes())
    data[-9] ^= 4
    file.write_bytes(data)
    train(tmp_path, DEBUG)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    (line,) = (line for line in lines if line["kind"] == "damaged")
    assert line["damaged"] == 1 and "000001.npy: damaged, its contents do not match" in line["reason"]
    assert file.with_suffix(".damaged").read_bytes() == data and not file.exists()


@pytest.mark.parametrize("left", [None, 0, 100])
def test_metrics_that_are_missing_or_shorter_are_said_to_be(tmp_path, left):
    train(tmp_path, replace(DEBUG, frames=160))
    file = tmp_path / "metrics.jsonl"
    text = file.read_bytes()
    file.unlink() if left is None else file.write_bytes(text[:left])
    train(tmp_path, DEBUG)
    lines = [json.loads(line) for line in file.read_bytes().decode().splitlines()]
    kept = text[: left or 0].rfind(b"\n") + 1
    assert [line["bytes"] for line in lines if line["kind"] == "metrics lost"] == [len(text) - kept]


def test_cutting_back_keeps_whole_lines(tmp_path):
    file = tmp_path / "lines"
    assert cut_back(file, 0) == 0
    file.write_bytes(b"one\ntwo\nthr")
    assert cut_back(file, 8) == 0 and file.read_bytes() == b"one\ntwo\n"
    file.write_bytes(b"one\ntw")
    assert cut_back(file, 8) == 4 and file.read_bytes() == b"one\n"


def fuzz(whole: Path, tmp_path: Path, cases: int, seed: int) -> dict[str, int]:
    """Damage one or two files of a run and take it up; count how that ends, which is in a line or not at all."""
    rng, counts = np.random.default_rng(seed), {"refused": 0, "taken up": 0}
    names = sorted(str(file.relative_to(whole)) for file in whole.rglob("*") if file.is_file())
    for case in range(cases):
        run = Path(shutil.copytree(whole, tmp_path / f"run{case}"))
        done = {name: damage(run / name, rng) for name in rng.choice(names, rng.integers(1, 3), replace=False)}
        began = time.process_time()
        try:
            train(run, DEBUG, stop=lambda: True)
            counts["taken up"] += 1
        except (CheckpointError, ValueError, OSError) as error:  # what the command line says in a line
            assert len(str(error).splitlines()) == 1, (done, str(error))
            assert str(run) in str(error), (done, str(error))
            counts["refused"] += 1
        except Exception as error:
            raise AssertionError(f"{done}: {error!r}") from error
        assert time.process_time() - began < 5
        shutil.rmtree(run)
    return counts


def test_damaged_folders_are_one_line_each(whole, tmp_path):
    counts = fuzz(whole, tmp_path, 60, seed=0)
    assert min(counts.values()) > 5


@pytest.mark.slow
def test_thousands_of_damaged_folders_are_one_line_each(whole, tmp_path):
    counts = fuzz(whole, tmp_path, 2500, seed=1)
    print(json.dumps(counts))
    assert min(counts.values()) > 500
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 2**20  # KiB


# Signals.


@pytest.mark.parametrize(("sent", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_the_run_which_then_goes_on_as_if_it_had_not_stopped(whole, tmp_path, sent, status):
    command = [sys.executable, "-m", "sdewm", "train", str(tmp_path / "run"), "--preset", "debug"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for line in process.stdout:
        if "episode 3" in line:
            break
    process.send_signal(sent)
    _, errors = process.communicate(timeout=60)
    if process.returncode == 0:
        pytest.fail("the run had finished before the signal came")
    assert process.returncode == status
    assert errors.splitlines() == [
        f"stopped by {sent.name}; {tmp_path / 'run'} has its checkpoint, and the same command goes on from there"
    ]
    train(tmp_path / "run", DEBUG)
    assert_equal_runs(whole, tmp_path / "run")


def test_a_second_signal_ends_the_process_as_always(request):
    # A shell ignores Ctrl-C for what it starts in the background.
    request.addfinalizer(partial(signal.signal, signal.SIGINT, signal.getsignal(signal.SIGINT)))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with pytest.raises(KeyboardInterrupt), asked_to_stop() as stop:
        assert not stop()
        signal.raise_signal(signal.SIGINT)
        assert stop() and stop.signal == signal.SIGINT
        signal.raise_signal(signal.SIGINT)
        time.sleep(1)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.slow
def test_a_hundred_kills_at_random_moments_lose_nothing(whole, tmp_path):
    rng, kills, runs = np.random.default_rng(0), 0, 0
    while kills < 100:
        run, ended = tmp_path / f"run{runs}", None
        runs += 1
        while ended != 0:
            command = [sys.executable, "-u", "-m", "sdewm", "train", str(run), "--preset", "debug"]
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
            for _ in range(rng.integers(30)):
                process.stdout.readline()
            time.sleep(rng.uniform(0, 0.2))
            process.kill()
            process.communicate()
            ended = process.returncode
            kills += ended != 0
        assert_equal_runs(whole, run)
        assert sorted(entry.name for entry in run.iterdir() if not entry.name.startswith(".")) == [
            "checkpoint.safetensors",
            "metrics.jsonl",
            "replay",
            "run.json",
        ]
    print(f"{kills} kills over {runs} runs")


# Files that last.


def test_a_file_is_synced_before_it_is_renamed_and_its_folder_after(tmp_path, monkeypatch):
    done = []
    fsync, put = os.fsync, os.replace

    def sync(descriptor: int) -> None:
        done.append(("sync", Path(os.readlink(f"/proc/self/fd/{descriptor}")).name))
        fsync(descriptor)

    def rename(source: Path, target: Path) -> None:
        done.append(("rename", target.name))
        put(source, target)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(os, "replace", rename)
    folder = tmp_path / "folder"
    folder.mkdir()
    write_whole(folder / "a.txt", lambda stream: stream.write(b"whole"))
    assert done == [("sync", "a.txt.partial"), ("rename", "a.txt"), ("sync", "folder")]
    done.clear()
    train(tmp_path / "run", replace(DEBUG, frames=120))
    renamed = [name for what, name in done if what == "rename"]
    assert renamed.count("checkpoint.safetensors") >= 1 and "000002.npy" in renamed
    for i, (what, name) in enumerate(done):
        if what == "rename":  # nothing that is renamed could be lost by a power cut
            assert done[i - 1] == ("sync", name + ".partial")
            assert done[i + 1] == ("sync", "replay" if name.endswith(".npy") else "run")
    checkpoints = [i for i, (what, name) in enumerate(done) if (what, name) == ("rename", "checkpoint.safetensors")]
    assert all(("sync", "metrics.jsonl") in done[max(0, i - 3) : i] for i in checkpoints)


def test_torchs_random_state_is_left_alone(tmp_path):
    before = torch.random.get_rng_state()
    train(tmp_path, replace(DEBUG, frames=80))
    assert torch.equal(before, torch.random.get_rng_state())
