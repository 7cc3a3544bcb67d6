"""Fingerprints of a user's system, which change when its code or its numbers do."""

from __future__ import annotations

import dataclasses
import hashlib
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor

from sdewm.jets import value_of
from sdewm.systems.checks import check_coefficients
from sdewm.systems.pilot import TIMES, pilot
from sdewm.systems.user_functions import FROM_INSIDE
from sdewm.verification.system import System

HERE = Path(__file__).parents[1]
# Folders of installed packages and of Python itself; a report's environment has their versions.
INSTALLED = (
    *(Path(sysconfig.get_paths()[name]).resolve() for name in ("stdlib", "platstdlib", "purelib", "platlib")),
    HERE.resolve(),
)


def fingerprint(system: System) -> str:
    """A hash of the user's code and of the system's numbers.

    The code is the files of all imported modules that are not installed packages. The numbers are those of
    :func:`fingerprint_of_numbers`.
    """
    total = hashlib.sha256(fingerprint_of_numbers(system).encode())
    for module, file in _own_modules():
        total.update(f"{module} {hashlib.sha256(file.read_bytes()).hexdigest()} ".encode())
    return total.hexdigest()[:16]


def fingerprint_of_numbers(system: System) -> str:
    """A hash of what a system computes now. It changes when weights or data change, though the code is the same.

    It covers x0, the grid and the other fields of the system, and the values of coefficients and losses at the states
    of pilot paths. A change that has no effect at these states is missed.
    """
    total = hashlib.sha256()
    apart = ("family", "loss", "losses", "x0", "found")
    fields = {
        field.name: getattr(system, field.name) for field in dataclasses.fields(system) if field.name not in apart
    }
    losses = {name: (loss.times, loss.weights) for name, loss in system.losses.items()}
    total.update(repr((fields, losses)).encode())
    for values in _numbers(system):
        total.update(f"{values.dtype} {tuple(values.shape)} ".encode())
        total.update(values.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return total.hexdigest()[:16]


def _own_modules() -> Iterator[tuple[str, Path]]:
    for name, module in sorted(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if name != "__main__" and isinstance(file, str):
            path = Path(file).resolve()
            if path.is_file() and not any(path.is_relative_to(folder) for folder in INSTALLED):
                yield name, path


def _numbers(system: System) -> Iterator[Tensor]:
    yield system.x0
    start = system.x0.reshape(-1, system.x0.shape[-1])
    for eps in (0.0, 1.0):
        sde = system.family.at(eps)
        channels = check_coefficients(sde, system.x0, system.grid).channels
        for visit in pilot(sde, start, system.grid, channels=channels, generator=torch.Generator().manual_seed(0)):
            yield from (visit.x, value_of(visit.noise), value_of(sde.f(visit.t, visit.x)))
            for loss in system.losses.values():
                for t in loss.times[:TIMES]:
                    with suppress(*FROM_INSIDE):  # the loss need not be defined there
                        yield value_of(loss.fn(torch.as_tensor(t).to(visit.x), visit.x))
