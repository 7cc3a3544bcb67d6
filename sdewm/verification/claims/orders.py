"""The strong and the weak order of the method on this system, against the orders that it declares."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor

from sdewm.solvers.coupled_errors import OrderKind
from sdewm.solvers.orders import convergence
from sdewm.verdicts.judge import Inequality, LeftOut, Row
from sdewm.verification.samples import channels
from sdewm.verification.settings import Settings
from sdewm.verification.system import System

# An order counts as reached if the slope is at most this much below it.
SLACK = 0.25
LEVELS = 3
PATHS = 2**12
# The largest number of noise channels: Lévy areas of more take long to draw.
CHANNELS = 4


def check(kind: OrderKind, system: System, settings: Settings) -> Iterator[Row]:
    """One row: the declared order less the slope of the base system's error against Δt."""
    claim, quantity, started = f"{kind} order", "declared order less the slope", time.perf_counter()
    method = system.method if isinstance(system.method, str) else type(system.method).__name__
    out = partial(LeftOut, claim, system.name, quantity, "corrected", method)
    if not system.continuous:
        yield out(system.without_limit)
        return
    finest = system.grid.steps.bit_length() - 1
    if finest < LEVELS:
        yield out(f"a grid of {system.grid.steps} steps cannot be made coarser {LEVELS - 1} times")
        return
    # The usual reference, Milstein's, shows a wrong limit of the method; a finer grid of the same method cannot.
    few = channels(system) <= CHANNELS
    reference = None if kind == "strong" and few else system.method
    loss: Any = None
    if kind == "weak":
        [loss, *_] = system.losses.values()
    try:
        found = convergence(
            system.family.base,
            system.x0,
            system.grid,
            method=system.method,
            levels=range(finest - LEVELS + 1, finest + 1),
            kind=kind,
            functional=None if loss is None else partial(_at_the_end, loss, system.grid.t1),
            reference=reference,
            paths=PATHS * settings.rounds,
            seed=settings.stream(0, purpose=6),
        )
    except (ArithmeticError, ValueError) as error:
        yield out(str(error))
        return
    if found.regime in ("unstable", "at rounding", "below noise"):
        yield out(f"{found.regime}: {found.reason}")
        return
    declared, slope, moved = found.declared, found.slope, float(abs(found.rates[-1] - found.slope.mean))
    less = type(slope)(declared - slope.mean, slope.stderr, slope.n, slope.dof, settings.seed, slope.flags)
    yield Inequality(
        claim, system.name, quantity, "corrected", method, less, SLACK, moved, declared,
        time.perf_counter() - started, {"Δt": found.dt.tolist(), "errors": found.errors.tolist()},
    )  # fmt: skip


def _at_the_end(loss: Any, t1: float, x: Tensor) -> Tensor:
    return loss.fn(torch.as_tensor(t1, dtype=x.dtype, device=x.device), x)
