"""Runs on disks that are full or read-only, in use by another process, or that lose power: one line, data intact."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from disks import Forgetful, read_only, small
from training_runs import DEBUG, assert_equal_runs, contents

from sdewm.cli import main as sdewm
from sdewm.verification.settings import Settings
from sdewm.verification.store import Store
from sdewm.worldmodel import Replay, fit, train
from sdewm.worldmodel.checkpoint import load_checkpoint
from sdewm.worldmodel.run import Run
from sdewm.worldmodel.run_folder import RunFolder
from theory_checks.run import main as theory_checks
from theory_checks.unit_store import unit_store

UPDATES = 20


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    run = tmp_path_factory.mktemp("whole")
    train(run, DEBUG)
    return run


@pytest.fixture(scope="module")
def fitted(whole) -> Path:
    run = whole.parent / "fitted"
    fit(run, DEBUG, whole / "replay", heldout=2, updates=UPDATES)
    return run


def one_line(command: list[str], capsys) -> str:
    """What ``sdewm`` says on a mistake: one line, which names the command."""
    with pytest.raises(SystemExit) as stopped:
        sdewm(command)
    out, err = capsys.readouterr()
    assert err == "" and isinstance(stopped.value.code, str)
    assert "\n" not in stopped.value.code and "Traceback" not in out
    assert stopped.value.code.startswith(f"sdewm {command[0]}: ")
    return stopped.value.code


def fit_command(run: Path, replay: Path) -> list[str]:
    return ["fit", str(run), "--preset", "debug", "--replay", str(replay), "--heldout", "2", "--updates", str(UPDATES)]


def assert_equal_fits(a: Path, b: Path) -> None:
    for run in (a, b):
        (run / "replay").mkdir(exist_ok=True)  # a fit has none
    (tensors, metrics, _), (others, other_metrics, _) = contents(a), contents(b)
    assert [name for name in tensors if not torch.equal(tensors[name], others[name])] == []
    assert metrics == other_metrics


# -- a full disk ----------------------------------------------------------------------------------------------------

CHECKS = ["tables", "covering_map", "--quick", "--workers", "1"]


def checks(runs: Path, report: Path) -> list[str]:
    return [*CHECKS, "--runs", str(runs), "--json", str(report)]


@pytest.mark.parametrize("size", ["4k", "16k", "40k", "64k", "96k"])
def test_training_on_a_full_disk_says_so_and_goes_on_where_there_is_room(whole, tmp_path, capsys, size):
    (tmp_path / "disk").mkdir()
    with small(tmp_path / "disk", size) as disk:
        said = one_line(["train", str(disk / "run"), "--preset", "debug"], capsys)
        assert "No space left on device" in said and str(disk) in said
        assert list(disk.rglob("*.partial")) == []
        shutil.copytree(disk / "run", tmp_path / "run", ignore=shutil.ignore_patterns(".lock"))
    train(tmp_path / "run", DEBUG)
    assert_equal_runs(whole, tmp_path / "run")


@pytest.mark.parametrize("size", ["4k", "40k", "60k"])
def test_fitting_on_a_full_disk_says_so_and_goes_on_where_there_is_room(whole, fitted, tmp_path, capsys, size):
    (tmp_path / "disk").mkdir()
    with small(tmp_path / "disk", size) as disk:
        said = one_line(fit_command(disk / "run", whole / "replay"), capsys)
        assert "No space left on device" in said and str(disk) in said
        shutil.copytree(disk / "run", tmp_path / "run", ignore=shutil.ignore_patterns(".lock"))
    sdewm(fit_command(tmp_path / "run", whole / "replay"))
    assert_equal_fits(fitted, tmp_path / "run")


def test_checks_whose_units_find_no_room_say_so_once_and_go_on(tmp_path, capsys):
    (tmp_path / "disk").mkdir()
    with small(tmp_path / "disk", "20k") as disk:
        assert theory_checks(checks(disk / "runs", tmp_path / "report.json")) == 0
        (line,) = capsys.readouterr().err.splitlines()
        expected = r"units that finish from here on are not kept: \[Errno 28\] No space left on device: '.*\.json'"
        assert re.fullmatch(expected, line)
        kept = len(list(disk.rglob("*.json")))
        assert 0 < kept < 8 and list(disk.rglob("*.partial")) == []
        assert theory_checks(checks(disk / "runs", tmp_path / "again.json")) == 0
        assert capsys.readouterr().err.startswith(f"{kept} of 8 units resumed from ")
    finished = [json.loads((tmp_path / name).read_text())["run"]["finished"] for name in ("report.json", "again.json")]
    assert finished[0] == finished[1] and len(finished[0]) == 8


def test_a_report_that_finds_no_room_is_said_to_be_missing_and_the_table_is_printed(tmp_path, capsys):
    (tmp_path / "disk").mkdir()
    with small(tmp_path / "disk", "4k") as disk:
        report = disk / "report.json"
        assert theory_checks([*checks(tmp_path / "runs", report), "--html", str(disk / "page.html")]) == 1
        out, err = capsys.readouterr()
        assert err.splitlines() == [
            f"{path}: cannot be written (No space left on device)" for path in (report, disk / "page.html")
        ]
        assert "as corrected" in out
        assert list(disk.iterdir()) in ([], [report])
        if report.exists():  # that of the first units found room, and is whole
            assert len(json.loads(report.read_text())["run"]["finished"]) < 8
    assert theory_checks(checks(tmp_path / "runs", tmp_path / "report.json")) == 0
    assert capsys.readouterr().err.startswith("8 of 8 units resumed from ")


# -- a folder that is read-only -------------------------------------------------------------------------------------


def test_training_in_a_read_only_folder_is_refused_in_a_line(whole, tmp_path, capsys):
    train(tmp_path / "run", DEBUG)
    with read_only(tmp_path) as disk:
        for run in ("run", "new"):
            said = one_line(["train", str(disk / run), "--preset", "debug", "--frames", "400"], capsys)
            assert "Read-only file system" in said and str(disk / run) in said
    assert_equal_runs(whole, tmp_path / "run")
    assert not (tmp_path / "new").exists()


def test_a_read_only_replay_is_enough_to_fit(whole, fitted, tmp_path, capsys):
    shutil.copytree(whole / "replay", tmp_path / "replay")
    with read_only(tmp_path / "replay") as replay:
        sdewm(fit_command(tmp_path / "run", replay))
        assert "Read-only file system" in one_line(fit_command(replay / "run", replay), capsys)
    assert_equal_fits(fitted, tmp_path / "run")


def test_checks_take_up_what_a_read_only_folder_keeps_and_say_that_the_rest_is_not_kept(tmp_path, capsys):
    runs = tmp_path / "runs"
    assert theory_checks(["tables", "--quick", "--workers", "1", "--runs", str(runs)]) == 0
    capsys.readouterr()
    before = {file: file.read_bytes() for file in runs.rglob("*.json")}
    with read_only(runs) as disk:
        assert theory_checks(checks(disk, disk / "report.json")) == 1
        resumed, not_kept, unwritten = capsys.readouterr().err.splitlines()
    assert resumed.startswith("6 of 8 units resumed")
    assert not_kept.startswith("units that finish from here on are not kept: [Errno 30] Read-only file system")
    assert unwritten == f"{disk / 'report.json'}: cannot be written (Read-only file system)"
    assert {file: file.read_bytes() for file in runs.rglob("*.json")} == before


# -- two processes at once ------------------------------------------------------------------------------------------


def test_a_second_fit_of_the_same_run_is_refused_in_a_line(whole, fitted, tmp_path, capsys):
    run = shutil.copytree(fitted, tmp_path / "run")
    with RunFolder(run):  # a lock is an open file's, so that this is as good as another process
        said = one_line(fit_command(run, whole / "replay"), capsys)
        assert said == f"sdewm fit: {run}: another process is working in this run; wait for it, or stop it"
    assert_equal_fits(fitted, run)


# -- power losses ---------------------------------------------------------------------------------------------------


@contextmanager
def losing_power(root: Path, finished: Callable[[], int]) -> Iterator[list[tuple[Path, int]]]:
    """Watch the folder ``root``: what a power loss at each moment leaves of it, and what was finished by then."""
    images: list[tuple[Path, int]] = []

    def moment() -> None:
        for look in (disk.synced, disk.torn):
            images.append((look(root.parent / f"image{len(images)}"), finished()))

    root.mkdir()
    with pytest.MonkeyPatch.context() as patches:
        disk = Forgetful(root, patches, moment)
        yield images
    disk.close()


def saved_updates(monkeypatch) -> list[int]:
    """The update of each checkpoint that a run was told is saved, as it is told."""
    told = [0]
    save = Run.save

    def saved(self: Run) -> None:
        save(self)
        told.append(self.progress.update)

    monkeypatch.setattr(Run, "save", saved)
    return told


@pytest.mark.parametrize("how", ["train", "fit"])
def test_a_power_loss_at_any_moment_costs_a_run_nothing_that_was_saved(whole, fitted, tmp_path, monkeypatch, how):
    def go_on(run: Path, stop: Callable[[], bool] = lambda: False) -> None:
        if how == "train":
            train(run, DEBUG, stop=stop)
        else:
            fit(run, DEBUG, whole / "replay", heldout=2, updates=UPDATES, stop=stop)

    with monkeypatch.context() as patches:
        told = saved_updates(patches)
        with losing_power(tmp_path / "root", lambda: told[-1]) as images:
            go_on(tmp_path / "root" / "run")
    assert told[-1] >= UPDATES and len(images) > 2 * 3 * (len(told) - 1)
    for image, update in images:
        checkpoint = image / "run" / "checkpoint.safetensors"
        found = load_checkpoint(checkpoint)[1]["progress"]["update"] if checkpoint.exists() else 0
        assert found >= update, f"{image.name}: update {update} was saved, and {found} is there"
    some = [images[i][0] / "run" for i in np.random.default_rng(0).choice(len(images), 40, replace=False)]
    for run in some:
        go_on(run, stop=lambda: True)  # it can be taken up, and nothing is found damaged
        assert b'"damaged"' not in (run / "metrics.jsonl").read_bytes()
    for run in some[:4]:
        go_on(run)
        if how == "train":
            assert_equal_runs(whole, run)
        else:
            assert_equal_fits(fitted, run)


def test_a_power_loss_at_any_moment_costs_no_unit_that_was_kept(tmp_path, monkeypatch):
    kept = []
    keep = Store.keep

    def keeps(self, unit, finished):
        result = keep(self, unit, finished)
        kept.append(unit)
        return result

    with monkeypatch.context() as patches:
        patches.setattr(Store, "keep", keeps)
        with losing_power(tmp_path / "root", lambda: len(kept)) as images:
            assert theory_checks(checks(tmp_path / "root" / "runs", tmp_path / "root" / "report.json")) == 0
    assert len(kept) == 8 and len(images) > 2 * 3 * 8
    for image, number in images:
        said: list[str] = []
        found = unit_store(image / "runs", Settings(precision=1e-2), said.append).take_up(kept)
        assert set(kept[:number]) <= found.keys() and said == []
        if (report := image / "report.json").exists():
            json.loads(report.read_bytes())


def test_a_replay_that_was_only_recorded_is_on_disk(tmp_path):
    made = []
    with losing_power(tmp_path / "root", lambda: len(made)) as images:
        for number in range(3):
            replay = Replay(tmp_path / "root" / "a" / "b", 100)
            replay.add(number, np.zeros(4, [("observation", np.float32, (2,))]))
            made.append(number)
    for image, number in images:
        assert len(list((image / "a" / "b").glob("*.npy"))) >= number
