"""What an installation has: versions, threads, a compiler, a renderer, an accelerator, optional packages."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from typing import NamedTuple

import torch

from sdewm.version import __version__

REQUIRED = ("numpy", "scipy", "matplotlib")
# Package -> what it is for.
OPTIONAL = {
    "torchsde": "methods torchsde:…",
    "dask": "clusters",
    "gymnasium": "its environments",
    "dm_control": "its environments",
    "tensorboard": "curves of training",
    "hypothesis": "sdewm.testing",
}
RENDER = """
from dm_control import suite
print(suite.load("cartpole", "balance").physics.render(8, 8, camera_id=0).shape)
"""
SECONDS = 60.0  # that a first frame may take


class Finding(NamedTuple):
    """One line: what was looked at, what was found, and whether that is as it should be."""

    name: str
    value: str
    ok: bool = True


def installation() -> Iterator[Finding]:
    """Everything there is to know, line by line. Nothing is changed, and nothing is loaded but torch."""
    yield Finding("sdewm", __version__)
    yield Finding("python", f"{platform.python_version()}, {platform.system()} {platform.machine()}")
    yield Finding("torch", torch.__version__)  # with its build, which the package's own version may leave out
    for package in REQUIRED:
        yield Finding(package, version(package) or "missing", version(package) is not None)
    yield Finding("threads", f"{torch.get_num_threads()} of torch, {processors()} processors")
    yield Finding("accelerator", accelerator())
    yield Finding("compiler", compiler() or "none: large work is walked in plain torch, more slowly")
    for package, use in OPTIONAL.items():
        yield Finding(package, version(package) or f"not installed: for {use}")
    yield Finding("renderer", renderer())


def version(package: str) -> str | None:
    """Of an installed package; ``None`` where it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def processors() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def compiler() -> str | None:
    """The C compiler that large work is compiled with; ``None`` where there is none."""
    return os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc")


def accelerator() -> str:
    """The device that torch could use besides the processor."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return "mps" if torch.backends.mps.is_available() else "none"


def renderer() -> str:
    """Whether dm_control draws images here; tried in a process of its own, which may die of it."""
    if version("dm_control") is None:
        return "not looked for: dm_control is not installed"
    backend = os.environ.get("MUJOCO_GL", "not set")
    try:
        done = subprocess.run([sys.executable, "-c", RENDER], capture_output=True, text=True, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return f"none within {SECONDS:.0f} s, MUJOCO_GL {backend}; try MUJOCO_GL=egl, or osmesa"
    if done.returncode == 0:
        return f"works, MUJOCO_GL {backend}"
    last = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
    return f"none, MUJOCO_GL {backend}: {last}; try MUJOCO_GL=egl, or osmesa"
