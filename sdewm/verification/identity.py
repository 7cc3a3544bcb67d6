"""What tells a user's system from any other, and from what it was before a change."""

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
# Where installed packages and Python's own modules are; their versions are in a report's environment.
INSTALLED = (
    *(Path(sysconfig.get_paths()[name]).resolve() for name in ("stdlib", "platstdlib", "purelib", "platlib")),
    HERE.resolve(),
)


def fingerprint(system: System) -> str:
    """A hash of the user's code, and of the system's numbers as that code gives them now.

    The code: the file of every module that is imported and not installed. The numbers: those of
    :func:`fingerprint_of_numbers`.
    """
    total = hashlib.sha256(fingerprint_of_numbers(system).encode())
    for module, file in _own_modules():
        total.update(f"{module} {hashlib.sha256(file.read_bytes()).hexdigest()} ".encode())
    return total.hexdigest()[:16]


def fingerprint_of_numbers(system: System) -> str:
    """A hash of what a system computes now, which other weights or data of the same code change.

    Of x0, the grid and the other fields of a system, and of coefficients and losses on the states of pilot paths. What
    coefficients take from elsewhere, and what shows on none of these states, is not seen.
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
                    with suppress(*FROM_INSIDE):  # a state where the loss is not defined
                        yield value_of(loss.fn(torch.as_tensor(t).to(visit.x), visit.x))
