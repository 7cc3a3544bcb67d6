"""Runs of the checks that are interrupted, and that go on; processes that die, one by one or all at once."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from damage import damage

from sdewm.files import cache_folder
from sdewm.verdicts.judge import LeftOut, Verdict
from sdewm.verdicts.record import Curve
from sdewm.verification.finished import Finished
from sdewm.verification.settings import Settings
from sdewm.verification.store import Store
from sdewm.verification.time_left import TimeLeft
from theory_checks import unit_store as unit_stores
from theory_checks.run import parse
from theory_checks.unit_store import PACKAGES, code_version, unit_store
from theory_checks.units import Unit

# Units of seven systems, of which that of the expansion samples; none takes more than a few seconds.
CLAIMED = ("theorem_3_7", "tables", "covering_map")
SYSTEMS = ("gbm", "batch-sizes", "summary", "repeated", "extended", "one-sheet", "two-sheets")
COMMAND = [*CLAIMED, *(word for system in SYSTEMS for word in ("--system", system)), "--quick"]
UNITS = len(SYSTEMS)

# The command, with checks that hang or die on the system that they are told to. Processes of it import it again.
TROUBLED = """
import dataclasses, json, os, signal, time
from pathlib import Path
from theory_checks import covering_map, tables
from theory_checks.run import main

def troubled(claim):
    def checked(rows, settings):
        system = rows.system
        log = Path(os.environ["LOG"])
        with log.open("a") as file:
            file.write(f"{system}|{os.getpid()}\\n")
        times = sum(line.startswith(f"{system}|") for line in log.read_text().splitlines())
        if system in os.environ.get("HANGS", "").split():
            time.sleep(600)
        if times <= json.loads(os.environ.get("DIES", "{}")).get(system, 0):
            time.sleep(1.0)  # others are at work by now
            os.kill(os.getpid(), signal.SIGKILL)
        if system == os.environ.get("RAISES"):
            raise ValueError("no such system")
        return claim.check(rows, settings)
    return dataclasses.replace(claim, check=checked)

tables.CLAIM, covering_map.CLAIM = troubled(tables.CLAIM), troubled(covering_map.CLAIM)

if __name__ == "__main__":
    raise SystemExit(main())
"""


class Run:
    """Commands on one run folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.log = folder, folder / "log"
        self.processes: list[subprocess.Popen[str]] = []
        self.script = folder / "troubled.py"
        self.script.write_text(TROUBLED)
        self.log.write_text("")

    def start(
        self, *arguments: str, workers: int = 2, command=COMMAND, stderr: int = subprocess.PIPE, **trouble: str
    ) -> subprocess.Popen[str]:
        program = [str(self.script)] if trouble else ["-m", "theory_checks"]
        process = subprocess.Popen(
            [
                sys.executable, *program, *command, "--runs", str(self.folder / "runs"),
                "--json", str(self.folder / "report.json"), "--workers", str(workers), *arguments,
            ],
            stdout=subprocess.PIPE, stderr=stderr, text=True, start_new_session=True,
            env={**os.environ, "LOG": str(self.log), **trouble},
        )  # fmt: skip
        self.processes.append(process)
        return process

    def end(self, process: subprocess.Popen[str]) -> tuple[int, str, str]:
        out, err = process.communicate(timeout=300)
        assert "Traceback" not in err + out
        return process.returncode, out, err

    def report(self) -> dict:
        """What is written, less what two runs of the same numbers differ in."""
        written = json.loads((self.folder / "report.json").read_text())
        for row in written["records"]:
            del row["seconds"]
        del written["run"]["seconds"], written["run"]["workers"]
        return written

    def started(self) -> dict[str, list[int]]:
        """The processes in which each system was begun, one for each time."""
        found: dict[str, list[int]] = {}
        for line in self.log.read_text().splitlines():
            system, pid = line.split("|")
            found.setdefault(system, []).append(int(pid))
        return found

    def records(self) -> list[Path]:
        return sorted((self.folder / "runs").glob("*/*.json"))


@pytest.fixture
def run(tmp_path) -> Iterator[Run]:
    run = Run(tmp_path)
    yield run
    for process in run.processes:  # of a test that failed
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory) -> dict:
    run = Run(tmp_path_factory.mktemp("uninterrupted"))
    status, _, err = run.end(run.start(workers=1))
    assert status == 0 and "resumed" not in err
    return run.report()


def wait_until(condition, seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # One that has ended and that nobody has waited for is still there.
    stat = Path(f"/proc/{pid}/stat")
    return not (stat.exists() and stat.read_text().rsplit(")", 1)[1].split()[0] == "Z")


# -- what is interrupted goes on ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "name", "workers"),
    [(signal.SIGINT, "Ctrl-C", 2), (signal.SIGTERM, "SIGTERM", 2), (signal.SIGINT, "Ctrl-C", 1)],
)
def test_a_stopped_run_ends_at_once_and_goes_on_to_the_same_numbers(run, uninterrupted, number, name, workers):
    process = run.start(workers=workers, HANGS="summary extended")
    # What comes after the first that hangs is left to a second process, and all to none after the second.
    hanging, finished = (["summary"], 2) if workers == 1 else (["summary", "extended"], 3)
    wait_until(lambda: set(hanging) <= set(run.started()) and len(run.records()) == finished)
    before = time.monotonic()
    # A terminal sends Ctrl-C to all processes, `kill` sends SIGTERM to one.
    os.killpg(process.pid, number) if number == signal.SIGINT else process.send_signal(number)
    status, out, err = run.end(process)
    assert time.monotonic() - before < 30
    assert status == 128 + number
    assert not any(alive(pid) for system in hanging for pid in run.started()[system])
    last = out.strip().splitlines()[-1]
    assert last == f"stopped by {name}: {finished} of {UNITS} units finished; the same command resumes"
    assert "as corrected" in out and "tables" in out and "theorem_3_7" in out
    assert err == ""
    assert len(run.report()["run"]["finished"]) == finished < UNITS

    status, out, err = run.end(run.start())
    assert status == 0
    assert err == f"{finished} of {UNITS} units resumed from {run.folder / 'runs'}; --fresh runs them again\n"
    assert run.report() == uninterrupted


def test_what_is_taken_up_keeps_its_seconds_and_fresh_takes_up_nothing(run):
    command = ["tables", "--system", "summary", "--system", "repeated"]
    run.end(run.start(command=command, workers=1))
    first = json.loads((run.folder / "report.json").read_text())["records"]
    records = {path: path.read_bytes() for path in run.records()}
    mine = run.records()[0].with_name("mine.txt")
    mine.write_text("not of a run")

    status, _, err = run.end(run.start(command=command, workers=1))
    assert status == 0 and err.startswith("2 of 2 units resumed")
    assert json.loads((run.folder / "report.json").read_text())["records"] == first
    assert {path: path.read_bytes() for path in run.records()} == records

    status, _, err = run.end(run.start("--fresh", command=command, workers=1))
    assert status == 0 and err == ""
    # The same but for the seconds, which tell that they were made again.
    again = {path: path.read_bytes() for path in run.records()}
    assert again.keys() == records.keys() and all(again[path] != records[path] for path in records)
    assert mine.read_text() == "not of a run"


# -- processes that die ---------------------------------------------------------------------------------------------


def test_a_unit_whose_process_dies_is_done_by_another_and_named_after_the_third(run, uninterrupted):
    status, out, err = run.end(run.start(DIES='{"repeated": 2, "summary": 99}'))
    assert (status, err) == (1, "")
    lost = "tables on summary: its process died 3 times, last of SIGKILL, as where memory runs out"
    assert [line for line in out.splitlines() if "not done" in line] == [f"  not done: {lost}"]
    started = run.started()
    assert len(set(started.pop("summary"))) == len(set(started.pop("repeated"))) == 3
    assert {len(pids) for pids in started.values()} == {1}  # what was at work beside them was not lost
    finished = run.report()["run"]["finished"]
    assert len(finished) == UNITS - 1 and ["tables", "summary"] not in finished
    # Once it lives it is all that is left to do.
    status, _, err = run.end(run.start())
    assert status == 0 and err.startswith(f"{UNITS - 1} of {UNITS} units resumed")
    assert run.report() == uninterrupted


def test_an_error_in_a_check_is_raised_and_what_was_finished_is_kept(run):
    process = run.start(RAISES="repeated", command=["tables"])
    _, err = process.communicate(timeout=300)
    assert process.returncode == 1
    assert "tables on repeated" in err and "ValueError: no such system" in err
    assert len(run.records()) >= 1


def test_processes_end_with_a_parent_that_is_killed(run):
    process = run.start(HANGS="summary extended", command=["tables"])
    wait_until(lambda: {"summary", "extended"} <= set(run.started()))
    at_work = [pid for system in ("summary", "extended") for pid in run.started()[system]]
    assert all(alive(pid) for pid in at_work)
    process.kill()
    process.communicate(timeout=60)  # nobody holds the pipes any more
    wait_until(lambda: not any(alive(pid) for pid in at_work), seconds=10)
    # What it had finished is whole.
    kept = len(run.records())
    status, _, err = run.end(run.start(command=["tables"], workers=1))
    assert status == 0 and err.startswith(f"{kept} of 6 units resumed") and kept > 0


def test_two_runs_at_once_do_no_harm(run):
    both = [run.start(command=["tables"], workers=1) for _ in range(2)]
    assert [run.end(process)[0] for process in both] == [0, 0]
    status, _, err = run.end(run.start(command=["tables"]))
    assert (status, err) == (0, f"6 of 6 units resumed from {run.folder / 'runs'}; --fresh runs them again\n")
    assert [path for path in (run.folder / "runs").rglob("*.partial")] == []


# -- the store ------------------------------------------------------------------------------------------------------

UNIT = Unit(("tables",), "summary")
SETTINGS = Settings(precision=1e-2, seed=3)


def a_finished_unit() -> Finished:
    verdict = Verdict(
        claim="tables", system="summary", quantity="q, ²", form="corrected", reading="", status="verified",
        statistic=np.float64(0.1), stderr=float("inf"), expected=1 / 3, numerical=1e-300, significance=1e-6,
        detectable=0.0, margin=-0.0, scale=5e-324, reach=1.0, paths=16, seconds=1.5,
        config={"n": np.int64(3), "pair": (1, 2), "of": ("a",), "grid": Path("x")},
    )  # fmt: skip
    left_out = LeftOut("tables", "summary", "other", "printed", "", "no rate")
    curve = Curve("tables", "summary", "label", [0.1, 0.2], [1.0, float("nan")], None, {"k": 1})
    return Finished(
        rows=(verdict, left_out), seconds=2.5, by_claim={"tables": 2.0}, terms=({"term": "P", "mean": 0.1},),
        curves=(curve,), series=("1 + ε",), notes=("a note",),
    )  # fmt: skip


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def store(tmp_path, said) -> Store[Unit]:
    return unit_store(tmp_path / "runs", SETTINGS, said.append)


def test_what_is_taken_up_is_what_the_run_reported(store, said):
    kept = store.keep(UNIT, a_finished_unit())
    assert repr(store.take_up([UNIT, Unit(("tables",), "repeated")])) == repr({UNIT: kept})
    row = kept.rows[0]
    assert (row.statistic, row.expected, row.scale, row.seconds) == (0.1, 1 / 3, 5e-324, 1.5)
    assert row.config == {"n": 3, "pair": [1, 2], "of": ["a"], "grid": "x"}
    assert store.seconds(UNIT) == 2.5
    assert said == []


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: b"",
        lambda text: b"[]",
        lambda text: text.replace(b'"statistic": 0.1', b'"statistic": 0.2'),
        lambda text: text.replace(b"verified", b"refuted"),
        lambda text: bytes([*text[:40], 0xFF, *text[41:]]),
        lambda text: b"[" * 100_000,
    ],
    ids=["cut", "empty", "no record", "a number", "a status", "no text", "nested"],
)
def test_a_damaged_record_is_named_and_made_again(store, said, damage):
    store.keep(UNIT, a_finished_unit())
    path = store.path(UNIT)
    assert damage(path.read_bytes()) != path.read_bytes()
    path.write_bytes(damage(path.read_bytes()))
    assert store.take_up([UNIT]) == {}
    assert len(said) == 1 and said[0].startswith(f"damaged, and made again: {path} (")
    store.keep(UNIT, a_finished_unit())
    assert list(store.take_up([UNIT])) == [UNIT]


def test_a_record_of_another_unit_is_not_taken_for_this_one(store, said):
    other = Unit(("tables",), "repeated")
    store.keep(other, a_finished_unit())
    store.path(other).rename(store.path(UNIT))
    assert store.take_up([UNIT]) == {} and "another unit" in said[0]


@pytest.mark.parametrize(
    "other",
    [
        (UNIT, dataclasses.replace(SETTINGS, seed=4)),
        (UNIT, dataclasses.replace(SETTINGS, precision=1e-3)),
        (UNIT, dataclasses.replace(SETTINGS, sampler="mc")),
        (Unit(("tables",), "repeated"), SETTINGS),
        (Unit(("w1_kl",), "summary"), SETTINGS),
        (Unit(("tables", "w1_kl"), "summary"), SETTINGS),
    ],
    ids=["seed", "precision", "sampler", "system", "claim", "claims"],
)
def test_only_the_same_unit_at_the_same_settings_is_taken_up(store, other):
    unit, settings = other
    store.keep(UNIT, a_finished_unit())
    assert unit_store(store.root, settings, print).take_up([unit]) == {}


@pytest.mark.parametrize(
    "changed", ["sdewm/noise/grid.py", "theory_checks/tables.py", "sdewm/worldmodel/data", "torch", "significance"]
)
def test_other_code_takes_up_nothing(store, monkeypatch, tmp_path, changed):
    store.keep(UNIT, a_finished_unit())
    if changed == "torch":
        monkeypatch.setattr("torch.__version__", "1.0")
    elif changed == "significance":
        monkeypatch.setattr(unit_stores, "SIGNIFICANCE", 1e-3)
    else:
        copies = [tmp_path / package.name for package in PACKAGES]
        for package, copy in zip(PACKAGES, copies, strict=True):
            shutil.copytree(package, copy, ignore=shutil.ignore_patterns("__pycache__"))
        monkeypatch.setattr(unit_stores, "PACKAGES", copies)
        assert code_version() == store.version  # wherever it is
        found = tmp_path / changed
        file = next(path for path in sorted(found.rglob("*")) if path.is_file()) if found.is_dir() else found
        file.write_bytes(file.read_bytes() + b"\n")
    later = unit_store(store.root, SETTINGS, print)
    assert later.take_up([UNIT]) == {}
    if changed != "significance":
        assert later.seconds(UNIT) == 2.5  # which tell how long it will take


def test_a_change_of_the_code_while_a_run_is_under_way_ends_the_keeping(store, said, monkeypatch):
    monkeypatch.setattr("sdewm.verification.store.code_version", lambda packages: "another")
    finished = store.keep(UNIT, a_finished_unit())
    assert finished.seconds == 2.5 and not store.path(UNIT).exists() and not store.keeps
    store.keep(UNIT, a_finished_unit())
    assert said == ["units that finish from here on are not kept: the code has changed since the run began"]


def test_where_nothing_can_be_written_the_run_goes_on(tmp_path, said):
    (tmp_path / "file").write_text("")
    store = unit_store(tmp_path / "file", SETTINGS, said.append)
    assert store.take_up([UNIT]) == {}
    assert store.keep(UNIT, a_finished_unit()).seconds == 2.5
    assert len(said) == 1 and said[0].startswith("units that finish from here on are not kept: ")


def test_nothing_is_left_of_a_write_that_fails(store, monkeypatch):
    def stop(source, target):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", stop)
    with pytest.raises(KeyboardInterrupt):
        store.keep(UNIT, a_finished_unit())
    assert list(store.path(UNIT).parent.iterdir()) == []


def test_units_are_kept_in_the_users_cache_unless_told_otherwise(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert cache_folder("checks") == Path("/somewhere/sdewm/checks")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/me")
    assert cache_folder("checks") == Path("/home/me/.cache/sdewm/checks")
    assert parse([]).runs == cache_folder("checks")


def fuzz(store: Store[Unit], said: list[str], cases: int, seed: int) -> int:
    """Damage a unit's record, again and again; the number that was told from what it was."""
    rng, told = np.random.default_rng(seed), 0
    kept = store.keep(UNIT, a_finished_unit())
    path = store.path(UNIT)
    whole = path.read_bytes()
    for _ in range(cases):
        how = damage(path, rng)
        said.clear()
        began = time.process_time()
        found = store.take_up([UNIT])
        assert store.seconds(UNIT) in (None, 2.5)
        assert time.process_time() - began < 5
        if found:  # what reads the same is the same
            assert repr(found[UNIT]) == repr(kept), how
        else:
            told += 1
            assert len(said) == (how != "gone") and not any("\n" in line for line in said), (how, said)
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        path.write_bytes(whole)
    return told


def test_damaged_records_are_one_line_each(store, said):
    assert fuzz(store, said, 200, seed=0) > 180


@pytest.mark.slow
def test_thousands_of_damaged_records_are_one_line_each(store, said):
    assert fuzz(store, said, 5000, seed=1) > 4500


# -- the time that is left ------------------------------------------------------------------------------------------

A, B, C = (Unit(("tables",), name) for name in "abc")


def test_time_left_scales_with_what_was_taken_and_is_shared_by_the_workers():
    now = [0.0]
    left = TimeLeft({A: 60.0, B: 30.0, C: 20.0}, workers=2, clock=lambda: now[0])
    assert left.seconds() == 60.0  # no sharing makes the longest one shorter
    left.start(A)
    left.start(B)
    now[0] = 10.0
    assert left.seconds() == 50.0
    left.end(B, 10.0)
    left.start(C)
    half = (10 + 10) / (30 + 10)  # of what was expected, with ten seconds of doubt
    assert left.seconds() == pytest.approx(60 * half - 10)
    now[0] = 12.0
    left.end(A, 12.0)
    assert left.seconds() == pytest.approx(20 * (22 + 10) / (90 + 10) - 2)
    now[0] = 30.0
    assert left.seconds() == 0.0  # it takes longer than was thought, and nobody knows how long
    left.end(C, None)
    assert left.seconds() == 0.0


def test_a_unit_of_milliseconds_tells_nothing_about_long_ones():
    left = TimeLeft({A: 60.0, B: 2.0}, workers=1)
    left.start(B)
    left.end(B, 0.001)
    assert left.seconds() > 40.0


def test_seconds_of_a_damaged_record_are_not_known(store):
    store.keep(UNIT, a_finished_unit())
    path = store.path(UNIT)
    path.write_bytes(path.read_bytes().replace(b"2.5", b"NaN"))
    assert store.seconds(UNIT) is None


def test_a_terminal_shows_the_time_left(run):
    ours, theirs = os.openpty()
    process = run.start(command=["tables"], stderr=theirs, HANGS="parameters", COLUMNS="120", TERM="xterm")
    os.close(theirs)
    shown, end = b"", time.monotonic() + 120
    while not re.search(rb"(?s)\d:\d\d:\d\d left.*5/6", shown):  # the unit that hangs may be "nearly done" by then
        assert time.monotonic() < end, shown
        shown += os.read(ours, 4096)
    process.kill()
    os.close(ours)
