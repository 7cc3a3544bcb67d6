"""The machine's file: cut, made by two at once, or with nowhere to be kept; and compilers that cannot make it."""

from __future__ import annotations

import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from support import F64

from sdewm.files import cache_folder
from sdewm.kernels import CompiledStep, NoCompiler
from sdewm.kernels.machine import machine

X = torch.tensor([[[0.5]]], dtype=F64)
ALONE = """
import torch
from sdewm.kernels import CompiledStep
x = torch.tensor([[[0.5]]], dtype=torch.float64)
print(float(CompiledStep(lambda c, dB, t: c * c, x, 1).walk(x, torch.zeros(1, 1, 1, dtype=x.dtype), [0.0], [1])))
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty cache, and a process that has loaded nothing."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    machine.cache_clear()
    yield tmp_path
    machine.cache_clear()


def squared() -> float:
    return float(CompiledStep(lambda c, dB, t: c * c, X, 1).walk(X, torch.zeros(1, 1, 1, dtype=F64), [0.0], [1]))


@pytest.mark.parametrize("size", [0, 20, 5000])
def test_a_machine_that_was_cut_is_made_again(folder, size):
    """Loading one would end the process: hence in a process of its own."""
    assert squared() == 0.25
    (kept,) = cache_folder("kernels").iterdir()
    whole = kept.stat().st_size
    with kept.open("r+b") as stream:
        stream.truncate(size)
    done = subprocess.run([sys.executable, "-c", ALONE], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, "0.25"), done.stderr
    assert kept.stat().st_size == whole


def test_threads_that_need_it_at_once(folder):
    with ThreadPoolExecutor(4) as pool:
        assert [future.result() for future in [pool.submit(squared) for _ in range(4)]] == [0.25] * 4
    assert len(list(cache_folder("kernels").iterdir())) == 1


def test_nowhere_to_keep_it(folder, monkeypatch):
    (folder / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "file"))
    assert squared() == 0.25


def test_a_compiler_with_options(folder, monkeypatch):
    monkeypatch.setenv("CC", "gcc -g0")
    assert squared() == 0.25


NOTHING = 'for word in $*; do if [ "$last" = -o ]; then touch $word; fi; last=$word; done'


@pytest.mark.parametrize(("script", "said"), [("exit 1", "failed"), ("sleep 9", "timed out"), (NOTHING, "be loaded")])
def test_compilers_that_cannot_make_it(folder, monkeypatch, script, said):
    compiler = folder / "cc"
    compiler.write_text(f"#!/bin/sh\n{script}\n")
    compiler.chmod(compiler.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("CC", str(compiler))
    monkeypatch.setattr("sdewm.kernels.compiler.PATIENCE", 0.5)
    with pytest.raises(NoCompiler, match=said):
        squared()
