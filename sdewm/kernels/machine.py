"""The machine, compiled once for this CPU by the system's C compiler, and kept on disk."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path

import torch

from sdewm.kernels.program import machine_source

SOURCE = Path(__file__).with_name("machine.c")
# Elementary functions come in vectors from glibc's libmvec, to 4 units in the last place, and infinities and what is no
# number are as they should be: -ffast-math, which would break them, is not among the options.
OPTIONS = (
    "-O3", "-march=native", "-mprefer-vector-width=512", "-fopenmp", "-fno-math-errno", "-fno-trapping-math", "-shared",
    "-fPIC",
)  # fmt: skip
LANES = 32


class NoCompiler(RuntimeError):
    """There is no C compiler to make the machine with, or it failed; the message says what to do."""


@functools.cache
def machine(dtype: torch.dtype) -> ctypes.CDLL:
    """The machine for states of this dtype."""
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise NoCompiler("no C compiler was found; install one (Debian: apt-get install gcc), or set CC to yours")
    real = {torch.float64: "double", torch.float32: "float"}[dtype]
    source = machine_source(SOURCE.read_text(encoding="utf-8"))
    version = subprocess.run([compiler, "--version"], capture_output=True, text=True).stdout
    key = hashlib.sha256("\0".join([source, real, *OPTIONS, version, _cpu()]).encode()).hexdigest()[:24]
    built = cache() / f"machine-{key}.so"
    if not built.exists():
        _compile(compiler, source, real, built)
    return ctypes.CDLL(str(built))


def cache() -> Path:
    """Where compiled machines are kept: ``$XDG_CACHE_HOME/sdewm``, by default ``~/.cache/sdewm``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sdewm" / "kernels"


def _compile(compiler: str, source: str, real: str, built: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        written, made = Path(folder) / "machine.c", Path(folder) / "machine.so"
        written.write_text(source, encoding="utf-8")
        command = [compiler, *OPTIONS, f"-DREAL={real}", str(written), "-o", str(made), "-lmvec", "-lm"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise NoCompiler(f"{compiler} failed: {done.stderr.strip().splitlines()[-1] if done.stderr else ''}")
        built.parent.mkdir(parents=True, exist_ok=True)
        beside = built.with_suffix(f".{os.getpid()}.tmp")
        shutil.copyfile(made, beside)
        os.replace(beside, built)  # whole, whoever else is doing the same


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith("flags")), platform.machine())
