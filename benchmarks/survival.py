"""Whether runs survive being killed: SIGKILL at random moments, then the same command again, until it finishes.

``python -m benchmarks.survival`` starts each kind of run through the command line, kills it, and starts the same
command again on what it left. Moments are drawn uniformly, from a little before a run writes its first file until it
would have done a part of its work, so that all of it is met as the command is started again. They are in seconds of
processor time, and a fraction of a second more, so that it does not matter what else the machine does. After each kill
it asserts that

    no process of the run is left
    what was finished is there, whole, and is what it was before
    nothing else was touched: files beside the run, its home, its working and temporary folders

and after each run that was let finish, that its final record is bit for bit that of a run that was never killed, less
what is measured in seconds, and that no other file is there. ``--kills N`` (100) of each kind, ``--kind NAME`` for one
kind; a kind whose needs are not installed is left out with the reason. ``--json PATH`` is written after every run; the
same command goes on from it. Exits with 1 where anything was asserted in vain.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sdewm.files import PARTIAL, write_text
from sdewm.verdicts.record import environment
from sdewm.worldmodel import preset, train
from sdewm.worldmodel.checkpoint import load_checkpoint
from sdewm.worldmodel.progress import Progress
from sdewm.worldmodel.replay import Replay

HOME = Path(__file__).parents[1]
CLAIMS = ("tables", "w1_kl", "convex_loss", "policy_maximizer", "covering_map", "one_step")
DRAWN = ("strong_order", "counterexamples", "ablation")
LONGEST = 600.0  # seconds that a run may take
GRACE = 30.0  # seconds in which the processes of a run that was killed have to end
WORKER_KILLS = 4  # in one run, of workers

Contents = dict[str, bytes]


@dataclass(frozen=True)
class Kind:
    """A kind of run: its command, what it has finished, and its final record.

    ``finished`` is what must not be lost: names and contents, of which a later one has all names, with the same
    contents, or longer ones where it ``grows``. Both raise an ``AssertionError`` where something in the folder is not
    whole. It is killed before it has done ``part`` of its work.
    """

    name: str
    command: Callable[[Path], list[str]]
    finished: Callable[[Path], Contents]
    record: Callable[[Path], Any]
    part: float = 0.4
    grows: bool = False
    workers: bool = False  # one worker is killed, and not all
    needs: str | None = None


# -- the checks ---------------------------------------------------------------------------------------------------


def checks(workers: int) -> Callable[[Path], list[str]]:
    return lambda folder: [
        "theory_checks", *CLAIMS, "--quick", "--workers", str(workers), "--runs", str(folder / "runs"),
        "--json", str(folder / "report.json"),
    ]  # fmt: skip


MODEL = """\
import torch
from sdewm import FunctionSDE, PerturbedSDE, System, TimeGrid

base = FunctionSDE(f=lambda t, x: torch.sin(x), g=lambda t, x: 0.3 + 0.1 * torch.cos(x))
error = FunctionSDE(f=lambda t, x: x, g=lambda t, x: torch.tanh(x))
x0 = torch.tensor([0.8], dtype=torch.float64)
system = System(PerturbedSDE(base, error), lambda x: (x**2).sum(-1), x0, TimeGrid(0.0, 1.0, 64))
"""


def verify(folder: Path) -> list[str]:
    return [
        "sdewm",
        "verify",
        "a_users_model:system",
        "--runs",
        str(folder / "runs"),
        "--json",
        str(folder / "report.json"),
    ]


def finished_units(folder: Path) -> Contents:
    found = {}
    for path in (folder / "runs").rglob("*.json"):
        found[path.name] = path.read_bytes()
        kept = json.loads(found[path.name])
        assert kept["sha256"] == hashlib.sha256(json.dumps(kept["record"]).encode()).hexdigest(), f"{path}: damaged"
    if (folder / "report.json").exists():
        json.loads((folder / "report.json").read_bytes())
    return found


def report(folder: Path) -> Any:
    written = json.loads((folder / "report.json").read_bytes())
    for row in written["records"]:
        del row["seconds"]
    del written["run"]["seconds"], written["run"]["workers"]
    return written


# -- training ------------------------------------------------------------------------------------------------------

MEASURED = ("seconds", "cpu_seconds", "frames_per_second", "seconds_left")
SMALL = {
    "deter": 8, "stoch": 4, "hidden": 8, "layers": 1, "units": 8, "batch": 4, "length": 8, "starts": 8, "horizon": 4,
    "prefill": 1, "pretrain": 2, "frames": 3000, "train-every": 16, "log-every": 2, "evaluate-every": 0,
    "checkpoint-every": 3,
}  # fmt: skip


def run_of(folder: Path) -> Path:
    return folder / "run"


def train_debug(folder: Path) -> list[str]:
    return ["sdewm", "train", str(run_of(folder)), "--preset", "debug"]


def train_cartpole(folder: Path) -> list[str]:
    settings = [word for name, value in SMALL.items() for word in (f"--{name}", str(value))]
    return ["sdewm", "train", str(run_of(folder)), "--task", "cartpole-swingup", *settings]


def fit_debug(folder: Path) -> list[str]:
    replay = folder / "beside" / "replay"
    return [
        "sdewm", "fit", str(run_of(folder)), "--preset", "debug", "--replay", str(replay), "--updates", "60",
        "--evaluate-every", "20",
    ]  # fmt: skip


def finished_training(folder: Path) -> Contents:
    """What the checkpoint holds, whole, with the episodes and the metrics that it names: its updates, one byte each."""
    run = run_of(folder)
    checkpoint = run / "checkpoint.safetensors"
    if not checkpoint.exists():
        return {}
    progress = Progress.from_dict(load_checkpoint(checkpoint)[1]["progress"])
    if not progress.offline:
        replay = Replay(run / "replay", 10**9)
        replay.hold([entry.number for entry in progress.replay])  # only reads
        assert replay.index == progress.replay, "episodes of the checkpoint are missing or damaged"
    lines = (run / "metrics.jsonl").read_bytes()[: progress.metrics_bytes]
    assert len(lines) == progress.metrics_bytes, "metrics from before the checkpoint are missing"
    for line in lines.splitlines():
        json.loads(line)
    return {"updates": b"." * progress.update, "metrics": lines}


def trained(folder: Path) -> Any:
    run = run_of(folder)
    tensors, metadata = load_checkpoint(run / "checkpoint.safetensors")
    lines = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return {
        "tensors": {name: (str(t.dtype), tuple(t.shape), t.numpy().tobytes()) for name, t in tensors.items()},
        "metrics": [{name: value for name, value in line.items() if name not in MEASURED} for line in lines],
        "progress": {k: v for k, v in metadata["progress"].items() if k not in (*MEASURED, "metrics_bytes")},
        "episodes": {file.name: file.read_bytes() for file in run.glob("replay/*")},
    }


# -- figures -------------------------------------------------------------------------------------------------------


def figures(folder: Path) -> list[str]:
    return ["sdewm", "figures", *DRAWN, "--results", str(HOME / "results"), "--out", str(folder / "figures")]


def drawn(folder: Path) -> Contents:
    return {file.name: file.read_bytes() for file in (folder / "figures").glob("*") if file.suffix != PARTIAL}


KINDS = (
    Kind("checks, one worker", checks(1), finished_units, report),
    Kind("checks, two workers", checks(2), finished_units, report),
    Kind("a worker alone", checks(2), finished_units, report, workers=True),
    Kind("verify", verify, finished_units, report),
    Kind("train", train_debug, finished_training, trained, grows=True),
    Kind("train on dm_control", train_cartpole, finished_training, trained, grows=True, needs="dm_control"),
    Kind("fit", fit_debug, finished_training, trained, grows=True),
    Kind("figures", figures, drawn, drawn, part=1.0),  # begins anew each time
)


# -- processes -----------------------------------------------------------------------------------------------------


def start(kind: Kind, folder: Path) -> subprocess.Popen[str]:
    """The command in a session of its own, with a home, a working and a temporary folder that are to stay empty."""
    for name in ("home", "tmp", "cwd"):
        (folder / name).mkdir(exist_ok=True)
    return subprocess.Popen(
        [sys.executable, "-m", *kind.command(folder)], cwd=folder / "cwd", text=True, start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env={
            **os.environ, "PYTHONPATH": os.pathsep.join((str(HOME), str(folder / "beside"))),
            "HOME": str(folder / "home"), "TMPDIR": str(folder / "tmp"),
            "XDG_CACHE_HOME": str(folder / "home"), "MPLCONFIGDIR": str(folder.parent / "matplotlib"),
            "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1", "COLUMNS": "120",
        },
    )  # fmt: skip


def processes(session: int) -> dict[int, float]:
    """Those of a session that are alive, and the seconds of processor time of each, with its children that ended."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            state, _, _, its, *rest = (folder / "stat").read_text().rpartition(")")[2].split()
            if int(its) == session and state != "Z":
                found[int(folder.name)] = sum(map(int, rest[7:11])) / os.sysconf("SC_CLK_TCK")
    return found


def works(process: subprocess.Popen[str], seconds: float) -> bool:
    """Wait until a run has taken so many seconds of processor time; whether it has not ended before."""
    while sum(processes(process.pid).values()) < seconds:
        if process.poll() is not None:
            return False
        time.sleep(0.03)
    return True


def workers_of(parent: int) -> list[int]:
    found = []
    for pid in processes(parent):
        with suppress(OSError):
            if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
    return found


def left_over(session: int) -> list[int]:
    """Processes of a run that have not ended after a while; they are ended here."""
    end = time.monotonic() + GRACE
    while found := list(processes(session)):
        if time.monotonic() > end:
            for pid in found:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            return found
        time.sleep(0.02)
    return []


# -- trials --------------------------------------------------------------------------------------------------------


def beside(place: Path) -> None:
    """What is not the run's: notes, files that are named like those of runs, and a replay to fit to."""
    place.mkdir()
    for name in ("notes.txt", "000001.npy", "report.json.partial", "checkpoint.safetensors"):
        (place / name).write_text(f"mine: {name}")
    (place / "a_users_model.py").write_text(MODEL)  # on the path: the working folder is to stay empty
    train(place / "collected", preset("debug"))
    (place / "collected" / "replay").rename(place / "replay")


def others(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Everything that is not the run's, with its contents and when it was last written."""
    found = {}
    for name in ("beside", "home", "tmp", "cwd"):
        for file in sorted((folder / name).rglob("*")):
            if file.is_file():
                found[str(file.relative_to(folder))] = file.read_bytes(), file.stat().st_mtime_ns
    return found


def tree(folder: Path) -> list[str]:
    """The names of the run's own files."""
    own = (file.relative_to(folder) for file in folder.rglob("*") if file.is_file() and file.name != ".lock")
    return sorted(str(path) for path in own if path.parts[0] not in ("beside", "home", "tmp", "cwd"))


def judge(kind: Kind, folder: Path, before: Contents, untouched: dict[str, tuple[bytes, int]]) -> Contents:
    """What is finished now; an ``AssertionError`` where some of what was finished before is lost, or others touched."""
    now = kind.finished(folder)
    for name, content in before.items():
        kept = name in now and (now[name].startswith(content) if kind.grows else now[name] == content)
        assert kept, f"{name} was finished and is lost"
    assert others(folder) == untouched, f"touched: {sorted(others(folder).items() ^ untouched.items())[:3]}"
    return now


@dataclass(frozen=True)
class Alone:
    """A run that nobody kills: its record, its files, and the processor time until it wrote the first, and ended."""

    record: Any
    files: list[str]
    first: float
    seconds: float


def left_alone(kind: Kind, folder: Path) -> Alone:
    process = start(kind, folder)
    first, seconds = 0.0, 0.0
    while process.poll() is None:
        time.sleep(0.03)
        seconds = sum(processes(process.pid).values()) or seconds
        first = first or (seconds if tree(folder) else 0.0)
    said, _ = process.communicate()
    assert process.returncode == 0 and first, said
    return Alone(kind.record(folder), tree(folder), first, seconds)


def killed_run(kind: Kind, folder: Path, alone: Alone, kills: int, rng: np.random.Generator) -> dict[str, int]:
    """One run, killed and started again until it finishes; afterwards, if it was killed ``kills`` times, left alone."""
    untouched, finished = others(folder), Contents()
    counts = {"kills": 0, "with something finished": 0, "in a write": 0}
    earliest, latest = 0.8 * alone.first, alone.first + kind.part * (alone.seconds - alone.first)
    if kind.workers:  # from one kill to the next, so that a worker is at work by then, or not yet
        earliest, latest = 0.0, alone.first

    def killed() -> None:
        nonlocal finished
        counts["kills"] += 1
        counts["in a write"] += any(name.endswith(PARTIAL) for name in tree(folder))
        finished = judge(kind, folder, finished, untouched)
        counts["with something finished"] += bool(finished)

    while True:
        process = start(kind, folder)
        mine, after = 0, 0.0
        while counts["kills"] < kills and (mine == 0 or (kind.workers and mine < WORKER_KILLS)):
            after += rng.uniform(earliest, latest)
            if not works(process, after):
                break
            time.sleep(rng.uniform(0, 0.1))  # also while it waits for the disk
            if not kind.workers:
                process.kill()
                mine += 1
            elif there := workers_of(process.pid):
                os.kill(int(rng.choice(there)), signal.SIGKILL)
                mine += 1
                killed()
        if mine and not kind.workers:
            process.wait()
            orphans = left_over(process.pid)
            assert not orphans, f"{len(orphans)} processes are left"
        said, _ = process.communicate(timeout=LONGEST)
        assert not left_over(process.pid), "processes are left by a run that has ended"
        assert "Traceback" not in said, said
        if process.returncode == -signal.SIGKILL:
            killed()
            continue
        resumed = re.search(r"(\d+) of \d+ units resumed", said)
        assert process.returncode == 0 or (kind.workers and mine >= 3 and "its process died 3 times" in said), said
        judge(kind, folder, finished, untouched)
        if process.returncode == 0:
            break
    if resumed and not kind.workers:
        assert int(resumed[1]) == len(finished), f"{resumed[0]}, with {len(finished)} finished"
    assert tree(folder) == alone.files, f"files: {sorted(set(tree(folder)) ^ set(alone.files))}"
    assert kind.record(folder) == alone.record, "the record is not that of a run that was left alone"
    return counts


def survey(kind: Kind, kills: int, seed: int, row: dict[str, Any], keep: Callable[[], None]) -> None:
    """Runs of one kind until it has been killed ``kills`` times; ``row`` is what was found so far."""
    if kind.needs is not None and importlib.util.find_spec(kind.needs) is None:
        row["left out"] = f"{kind.needs} is not installed"
        keep()
        return
    row.pop("left out", None)
    for name in ("kills", "with something finished", "in a write", "runs", "seconds"):
        row.setdefault(name, 0)
    row.setdefault("failures", [])
    if row["kills"] >= kills:
        return
    with tempfile.TemporaryDirectory(prefix="survival-") as place:
        model = Path(place) / "model"
        model.mkdir()
        beside(model / "beside")
        alone = left_alone(kind, Path(shutil.copytree(model, Path(place) / "alone")))
        while row["kills"] < kills:
            began = time.monotonic()
            rng = np.random.default_rng([seed, KINDS.index(kind), row["runs"]])
            folder = Path(shutil.copytree(model, Path(place) / f"run{row['runs']}"))
            try:
                for name, count in killed_run(kind, folder, alone, kills - row["kills"], rng).items():
                    row[name] += count
            except (AssertionError, subprocess.TimeoutExpired) as error:
                row["failures"].append(f"run {row['runs']}: {error}"[:2000])
                row["kills"] += 1
            row["runs"] += 1
            row["seconds"] = round(row["seconds"] + time.monotonic() - began, 1)
            keep()


def main() -> int:
    names = [kind.name for kind in KINDS]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.survival", description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=100, help="of each kind (%(default)s)")
    parser.add_argument("--kind", action="append", choices=names, help="this kind only; may be repeated")
    parser.add_argument("--seed", type=int, default=0, help="of the moments; what they hit depends on the machine")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the record to PATH, or go on with it")
    args = parser.parse_args()
    record: dict[str, Any] = {"environment": environment(), "seed": args.seed, "kinds": {}}
    if args.json is not None and args.json.exists():
        record["kinds"] = json.loads(args.json.read_text(encoding="utf-8"))["kinds"]

    def keep() -> None:
        if args.json is not None:
            write_text(args.json, json.dumps(record, indent=1, ensure_ascii=False) + "\n")

    for kind in KINDS:
        if args.kind is None or kind.name in args.kind:
            row = record["kinds"].setdefault(kind.name, {})
            survey(kind, args.kills, args.seed, row, keep)
            print(f"{kind.name}: {row}", flush=True)
    return 1 if any(row.get("failures") for row in record["kinds"].values()) else 0


if __name__ == "__main__":
    raise SystemExit(main())
