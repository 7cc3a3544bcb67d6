"""The same numbers from threads, processes and a Dask cluster, whichever of them dies."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from support import F64

from sdewm import FunctionSDE, PerturbedSDE, TimeGrid, expand, taylor_test
from theory_checks import cluster, run

GRID = TimeGrid(0.0, 1.0, 4)


def family() -> PerturbedSDE:
    scale = 0.3  # a closure: what a script or a notebook has
    base = FunctionSDE(lambda t, x: -scale * x, lambda t, x: scale * x)
    return PerturbedSDE(base, FunctionSDE(lambda t, x: torch.relu(x) + 0.1 * x, lambda t, x: x))


def expanded(executor=None):
    return expand(family(), lambda x: x[:, 0] ** 2, torch.ones(1, dtype=F64), GRID, paths=512, executor=executor)


@pytest.mark.filterwarnings("ignore::sdewm.jets.NonSmoothWarning")
def test_processes_change_nothing_and_lose_no_kink():
    alone = expanded()
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as executor:
        spread = expanded(executor)
    for name, values in alone.sample.values.items():
        np.testing.assert_array_equal(spread.sample[name], values)
    assert alone.kinks == spread.kinks == ("relu",)


def test_processes_have_the_default_dtype_of_here():
    base = FunctionSDE(lambda t, x: -x * torch.tensor(0.1), lambda t, x: 0.3 * x)  # 0.1 rounds by the default dtype
    family = PerturbedSDE(base, FunctionSDE(lambda t, x: x, lambda t, x: x))

    def values(executor=None):
        start = torch.ones(1, dtype=F64)
        return expand(family, lambda x: x[:, 0] ** 2, start, GRID, paths=512, executor=executor).sample.values

    torch.set_default_dtype(F64)
    try:
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as executor:
            spread, alone = values(executor), values()
            there = executor.submit(torch.get_default_dtype).result()
    finally:
        torch.set_default_dtype(torch.float32)
    for name in alone:
        np.testing.assert_array_equal(spread[name], alone[name])
    assert there == torch.float32  # as it was


@pytest.mark.filterwarnings("ignore::sdewm.jets.NonSmoothWarning")
def test_a_taylor_test_in_processes():
    def run(executor=None):
        start = torch.ones(1, dtype=F64)
        return taylor_test(family(), lambda x: x[:, 0] ** 2, start, GRID, paths=512, executor=executor)

    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as executor:
        assert run(executor).rates == run().rates


distributed = pytest.importorskip("distributed", reason="the extra 'scale' is not installed")


@pytest.fixture(scope="module")
def workers():
    with distributed.LocalCluster(2, threads_per_worker=1, dashboard_address=None, silence_logs=50) as local:
        yield local


@pytest.mark.filterwarnings("ignore::sdewm.jets.NonSmoothWarning")
def test_a_cluster_as_an_executor(workers):
    alone = expanded()
    with distributed.Client(workers, set_as_default=False) as client:
        spread = expanded(client.get_executor())
    for name, values in alone.sample.values.items():
        np.testing.assert_array_equal(spread.sample[name], values)
    assert alone.kinks == spread.kinks


def rows(path: Path) -> list[dict]:
    report = json.loads(path.read_text(encoding="utf-8"))
    return [{k: v for k, v in row.items() if k != "seconds"} for row in report["records"]]


CHECKS = ["tables", "w1_kl", "convex_loss", "policy_maximizer", "--quick", "--fresh"]


@pytest.fixture(scope="module")
def by_one(tmp_path_factory) -> list[dict]:
    folder = tmp_path_factory.mktemp("one")
    assert run.main([*CHECKS, "--workers", "1", "--runs", str(folder / "r"), "--json", str(folder / "j.json")]) == 0
    return rows(folder / "j.json")


def test_the_checks_on_a_cluster(workers, by_one, tmp_path, capsys):
    arguments = ["--scheduler", workers.scheduler_address, "--runs", str(tmp_path / "r"), "--json"]
    assert run.main([*CHECKS, *arguments, str(tmp_path / "a.json")]) == 0
    assert rows(tmp_path / "a.json") == by_one


def after_two_units(runs: Path, act: Callable[[], object]) -> threading.Thread:
    """Do it as soon as two units are kept in a run's folder."""

    def wait() -> None:
        while len(list(runs.glob("*/*.json"))) < 2:
            time.sleep(0.02)
        act()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def test_a_worker_that_is_killed(workers, by_one, tmp_path):
    victim = next(iter(workers.workers.values())).pid
    killing = after_two_units(tmp_path / "r", lambda: os.kill(victim, signal.SIGKILL))
    arguments = ["--scheduler", workers.scheduler_address, "--runs", str(tmp_path / "r"), "--json"]
    assert run.main([*CHECKS, *arguments, str(tmp_path / "a.json")]) == 0
    killing.join()
    assert rows(tmp_path / "a.json") == by_one


def test_results_that_are_lost_with_their_workers_are_made_again(workers):
    with distributed.Client(workers, set_as_default=False) as client:
        finishing = cluster.on_cluster(abs, range(-6, 0), client)
        seen = [next(finishing)]
        while not all(client.who_has().values()):  # until all are finished, on one worker or the other
            time.sleep(0.02)
        for worker in workers.workers.values():
            os.kill(worker.pid, signal.SIGKILL)
        while all(client.who_has().values()):
            time.sleep(0.005)
        assert sorted([*seen, *finishing]) == [(task, abs(task)) for task in range(-6, 0)]


def test_a_scheduler_that_ends_loses_nothing_that_is_finished(by_one, tmp_path, capsys):
    local = distributed.LocalCluster(1, threads_per_worker=1, dashboard_address=None, silence_logs=50)
    runs = tmp_path / "r"
    ending = after_two_units(runs, local.close)
    status = run.main([*CHECKS, "--scheduler", local.scheduler_address, "--runs", str(runs)])
    ending.join()
    assert status == 1 and "the same command resumes" in capsys.readouterr().err
    again = [c for c in CHECKS if c != "--fresh"]
    assert run.main([*again, "--workers", "1", "--runs", str(runs), "--json", str(tmp_path / "b.json")]) == 0
    assert "units resumed" in capsys.readouterr().err
    assert rows(tmp_path / "b.json") == by_one


def test_no_cluster_is_one_line(capsys, monkeypatch, tmp_path, workers):
    monkeypatch.setattr(cluster, "TIMEOUT", 1)
    command = ["tables", "--runs", str(tmp_path), "--scheduler"]
    assert run.main([*command, "tcp://127.0.0.1:9"]) == 2
    assert "argument --scheduler: no scheduler answers at tcp://127.0.0.1:9" in capsys.readouterr().err
    monkeypatch.setattr(cluster, "code_version", lambda: str(os.getpid()))  # another one in each process
    assert run.main([*command, workers.scheduler_address]) == 2
    assert "expected workers with this version of the code" in capsys.readouterr().err


def test_an_estimate_runs_nothing(capsys, tmp_path):
    assert run.main(["--quick", "--estimate", "--workers", "4", "--runs", str(tmp_path)]) == 0
    assert "s by 4 workers" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())
