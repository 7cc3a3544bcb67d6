"""``sdewm verify`` that is interrupted, and goes on with the same command."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from sdewm import FunctionSDE, PerturbedSDE, SummedLoss, System, TimeGrid
from sdewm.verification.command_line import claim_store
from sdewm.verification.identity import fingerprint
from sdewm.verification.settings import Settings
from sdewm.verification.store import Store
from sdewm.verification.verify import hold

MODEL = """
import torch
from sdewm import FunctionSDE, PerturbedSDE, System, TimeGrid

SLOPE = torch.load("slope.pt", weights_only=True) if __import__("os").path.exists("slope.pt") else 1.0
base = FunctionSDE(f=lambda t, x: torch.sin(SLOPE * x), g=lambda t, x: 0.3 + 0.1 * torch.cos(x))
error = FunctionSDE(f=lambda t, x: x, g=lambda t, x: torch.tanh(x))
system = System(PerturbedSDE(base, error), lambda x: (x**2).sum(-1), torch.tensor([0.8], dtype=torch.float64),
                TimeGrid(0.0, 1.0, 16))
"""
CLAIMS = ("sensitivities", "strong order", "divergence")


@pytest.fixture
def there(tmp_path: Path) -> Path:
    (tmp_path / "my_model.py").write_text(MODEL)
    return tmp_path


def start(there: Path, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "sdewm", "verify", "my_model:system", "--claims", *CLAIMS, "--runs", "runs"]
    return subprocess.Popen(
        [*command, "--precision", "0.05", "--json", "found.json", *more],
        cwd=there,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
    )


def found(there: Path) -> dict:
    """The record, less what is measured in seconds."""
    record = json.loads((there / "found.json").read_text())
    record["run"]["seconds"] = 0
    return record | {"records": [row | {"seconds": 0} for row in record["records"]]}


def kept(there: Path) -> list[str]:
    return sorted(p.name.partition("-system")[0] for p in there.glob("runs/*/*.json"))


def stop_after_one(there: Path, number: int, *more: str) -> tuple[int, str, str]:
    run = start(there, *more)
    while run.poll() is None and not kept(there):
        time.sleep(0.01)
    run.send_signal(number)
    out, error = run.communicate(timeout=120)
    return run.returncode, out, error


def test_a_killed_run_resumes_and_reports_the_same(there):
    run = start(there, "--runs", "others")
    out, error = run.communicate(timeout=300)
    assert run.returncode == 0 and error == "", error
    alone, said = found(there), out
    status, _, _ = stop_after_one(there, signal.SIGKILL)
    assert status == -signal.SIGKILL
    before = kept(there)
    assert before and not list(there.glob("runs/*/*.partial"))
    out, error = start(there).communicate(timeout=300)
    assert f"{len(before)} of 3 claims resumed from runs; --fresh checks again" in error
    assert found(there) == alone
    # The second line has the seconds.
    assert [*out.splitlines()[:1], *out.splitlines()[2:]] == [*said.splitlines()[:1], *said.splitlines()[2:]]
    out, error = start(there, "--fresh").communicate(timeout=300)
    assert error == "" and found(there) == alone


def test_ctrl_c_prints_what_is_finished_and_one_line(there):
    status, out, error = stop_after_one(there, signal.SIGINT)
    assert status == 130
    *report, last = out.splitlines()
    said = re.fullmatch(r"stopped by Ctrl-C: (\d) of 3 claims finished; the same command resumes", last)
    assert said and "Traceback" not in error
    finished = int(said[1])
    # The signal may come when a claim is stored and not yet counted.
    assert len(kept(there)) - finished in (0, 1)
    if finished:
        assert report[0].startswith("system: ")
        assert json.loads((there / "found.json").read_text())["run"]["claims"] == list(CLAIMS[:finished])
    else:
        assert not report and not (there / "found.json").exists()


def a_system(slope: float = 1.0, scale: float = 1.0, loss: float = 1.0, start: float = 0.5, steps: int = 8) -> System:
    weight = torch.tensor(slope, dtype=torch.float64)
    base = FunctionSDE(f=lambda t, x: weight * x, g=lambda t, x: 0.1 + 0.1 * x)
    error = FunctionSDE(f=lambda t, x: scale * x, g=lambda t, x: x)
    measured = SummedLoss(lambda t, x: loss * (x**2).sum(-1), [0.5, 1.0])
    x0 = torch.tensor([start], dtype=torch.float64)
    return System(PerturbedSDE(base, error), measured, x0, TimeGrid(0.0, 1.0, steps))


def test_a_system_is_told_from_what_it_was_before():
    same = fingerprint(a_system())
    assert fingerprint(a_system()) == same
    others = [a_system(slope=1.1), a_system(scale=1.1), a_system(loss=1.1), a_system(start=0.6), a_system(steps=16)]
    assert len({same, *map(fingerprint, others)}) == 6
    used = a_system()
    assert used.has_limit and used.grids == 3
    used.found["a sample"] = 1.0
    assert fingerprint(used) == same  # what was asked of it, or found on it, changes nothing


def test_other_code_is_told_from_what_it_was_before(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "a_users_module.py").write_text("SLOPE = 1.0\n")
    import a_users_module  # noqa: F401

    before = fingerprint(a_system())
    (tmp_path / "a_users_module.py").write_text("SLOPE = 1.0  # another word\n")
    assert fingerprint(a_system()) != before
    monkeypatch.delitem(sys.modules, "a_users_module")


@pytest.fixture
def said() -> list[str]:
    return []


def a_store(there: Path, said: list[str], system: System, budget: float = 100.0, **settings) -> Store[str]:
    return claim_store(there / "runs", system, Settings(**{"precision": 0.1, **settings}), budget, said.append)


def test_what_is_taken_up_is_what_was_reported(tmp_path, said):
    system = a_system()
    store = a_store(tmp_path, said, system)
    settings = Settings(precision=0.1)
    claims = ["expansion", "strong order"]
    first = dict(hold(system, claims, settings, 100.0, keep=store.keep))
    taken = store.take_up(claims)
    assert repr(taken) == repr(first) and said == []
    assert first["expansion"].series and first["expansion"].terms
    again = dict(hold(system, claims, settings, 100.0, take_up=taken.get, keep=pytest.fail, starting=pytest.fail))
    assert repr(again) == repr(first)
    assert store.seconds("expansion") == first["expansion"].seconds


@pytest.mark.parametrize("other", [{"seed": 1}, {"precision": 0.2}, {"sampler": "mc"}, {"budget": 5.0}])
def test_another_question_takes_up_nothing(tmp_path, said, other):
    system = a_system()
    list(hold(system, ["strong order"], Settings(precision=0.1), 100.0, keep=a_store(tmp_path, said, system).keep))
    assert a_store(tmp_path, said, system, **other).take_up(["strong order"]) == {}
    assert a_store(tmp_path, said, a_system(slope=2.0)).take_up(["strong order"]) == {}
    assert list(a_store(tmp_path, said, a_system()).take_up(["strong order"])) == ["strong order"]


def test_a_damaged_record_is_named_and_made_again(tmp_path, said):
    system = a_system()
    store = a_store(tmp_path, said, system)
    list(hold(system, ["strong order"], Settings(precision=0.1), 100.0, keep=store.keep))
    path = store.path("strong order")
    path.write_text(path.read_text().replace("verified", "refuted"))
    assert store.take_up(["strong order"]) == {}
    assert len(said) == 1 and said[0].startswith(f"damaged, and made again: {path} (")
