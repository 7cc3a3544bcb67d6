"""Φ of (43)–(44) path by path, by routes that share no formula, and its inverse by the inverse's own equation."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from functools import partial

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from sdewm.estimate.samples import Sample, richardson, sample
from sdewm.jets import nonsmooth_met
from sdewm.noise.grid import TimeGrid
from sdewm.noise.increments import Increments
from sdewm.sensitivity import FundamentalMatrixSDE, InverseMatrixSDE, fundamental_matrix, step_jacobians
from sdewm.solvers.loop import trajectory
from sdewm.solvers.methods import Method
from sdewm.solvers.solve import solve
from sdewm.systems.sde import SDE
from sdewm.verdicts.judge import Inequality, LeftOut, Row
from sdewm.verification.once import once_for_system
from sdewm.verification.pathwise import few_paths, gap_row, reach, relative, rounding
from sdewm.verification.samples import channels, sampler
from sdewm.verification.settings import Settings, pooled
from sdewm.verification.system import LARGEST, System

CLAIM = "fundamental matrix"
SLACK = 0.25
# Differences in the initial value do not resolve smaller numbers.
GONE = 1e-9
# The largest number of entries of all matrices in memory; enough paths for a slope to 0.1 with two states.
ENTRIES = 2**14
RATE = "½ less the order of ΦΦ⁻¹ − I"


def check(system: System, settings: Settings) -> Iterator[Row]:
    """Rows for Φ by jets against differences in x0, its own equation and step Jacobians, and for ΦΦ⁻¹ − I as Δt → 0."""
    started, quantity = time.perf_counter(), "Φ"
    n, base, x0, grid, method = len(system.x0), system.family.base, system.x0, system.grid, system.method
    if n > LARGEST:
        yield LeftOut(CLAIM, system.name, quantity, "corrected", "", f"{n} states, more than {LARGEST}")
        return
    noise, size = few_paths(system, settings), reach(system)
    h = torch.finfo(x0.dtype).eps ** 0.2 * size
    with nonsmooth_met() as kinks:
        phi = fundamental_matrix(base, x0, grid, method=method, noise=noise)
        if float(phi.abs().max()) < GONE:
            yield LeftOut(CLAIM, system.name, quantity, "corrected", "", "nothing of the initial state is left at t1")
            return
        own = rounding(lambda x: fundamental_matrix(base, x, grid, method=method, noise=noise), x0, grid.steps, size)
        differences, error = by_differences(base, x0, grid, method=method, noise=noise, h=h)
    routes = [("jets, against differences in x0", phi, differences, error + own)]
    if method == "euler":
        routes.append(("its own equation, against jets", by_equation(base, x0, grid, noise=noise), phi, own))
        routes.append(("product of step Jacobians, against jets", by_product(base, x0, grid, noise=noise), phi, own))
    for reading, value, truth, numerical in routes:
        gap = relative(value, truth)
        yield gap_row(CLAIM, system, quantity, reading, gap, numerical, settings.precision, started, kinks, settings)
    if not system.has_limit:
        yield LeftOut(CLAIM, system.name, RATE, "corrected", "", system.without_limit)
        return
    table = inverse_sample(system, settings)
    squares = [table[f"{halvings}"] for halvings in range(system.grids)]
    if min(float(s.mean()) for s in squares) < 1e-24 * n:
        yield LeftOut(CLAIM, system.name, RATE, "corrected", "", "ΦΦ⁻¹ is I to rounding")
        return
    rates = [0.5 * np.log2(coarse / fine) for fine, coarse in itertools.pairwise(squares)]
    limit, moved = richardson(rates)
    yield Inequality(
        CLAIM, system.name, RATE, "corrected", "equation of the inverse", table.estimate(0.5 - limit), SLACK, moved,
        0.5, time.perf_counter() - started, {"steps": grid.steps, "grids": system.grids},
    )  # fmt: skip


@partial(pooled, keep=once_for_system)
def inverse_sample(system: System, settings: Settings, round: int) -> Sample:
    """Squared Frobenius norms of ΦΦ⁻¹ − I on each grid, both by their own equations on the same noise."""
    phi, inverse = FundamentalMatrixSDE(system.family.base), InverseMatrixSDE(system.family.base)
    identity = torch.eye(len(system.x0), dtype=system.x0.dtype, device=system.x0.device)

    def squares(noise: Increments, halvings: int) -> Tensor:
        grid, increments = system.grid.coarsen(2**halvings), noise.coarsen(2**halvings)
        parts = [s.split(solve(s, s.initial(system.x0), grid, noise=increments))[1] for s in (phi, inverse)]
        return (parts[0] @ parts[1] - identity).square().sum((1, 2))

    def evaluate(noise: Increments) -> dict[str, Tensor]:
        return {f"{halvings}": squares(noise, halvings) for halvings in range(system.grids)}

    paths = max(2**8, ENTRIES // len(system.x0) ** 2)
    drawn = sampler(system, settings, paths, round, purpose=5, block=paths)
    return sample(evaluate, drawn, channels(system), system.grid, system.x0)


def by_equation(sde: SDE, x0: Float[Tensor, " n"], grid: TimeGrid, *, noise: Increments) -> Float[Tensor, "paths n n"]:
    """Φ at the final time, ``(paths, n, n)``, by Euler's scheme for (43)–(44)."""
    system = FundamentalMatrixSDE(sde)
    return system.split(solve(system, system.initial(x0), grid, noise=noise))[1]


def by_product(sde: SDE, x0: Float[Tensor, " n"], grid: TimeGrid, *, noise: Increments) -> Float[Tensor, "paths n n"]:
    """Φ as the product of the steps' own Jacobians."""
    identity = torch.eye(len(x0), dtype=x0.dtype, device=x0.device)
    phi = identity
    for (_, t, x), dB in zip(trajectory(sde, x0, grid, method="euler", noise=noise), noise, strict=False):
        drift, diffusion = step_jacobians(sde, t, x, dB)
        phi = (identity + grid.dt * drift + diffusion) @ phi
    return phi


def by_differences(
    sde: SDE,
    x0: Float[Tensor, " n"],
    grid: TimeGrid,
    *,
    method: Method,
    noise: Increments,
    h: float | Float[Tensor, " n"],
) -> tuple[Float[Tensor, "paths n n"], float]:
    """Φ by central differences of fourth order, and their relative change if the step is doubled.

    ``h`` is the step, one for all coordinates or one for each, ``(n,)``.
    """

    def central(h: float | Tensor) -> Tensor:
        shifts = [h * e for e in torch.eye(len(x0), dtype=x0.dtype, device=x0.device)]
        ends = [[solve(sde, x0 + s * e, grid, method=method, noise=noise) for s in (1.0, -1.0)] for e in shifts]
        return torch.stack([up - down for up, down in ends], -1) / (2 * h)

    coarse, middle, fine = (central(k * h) for k in (4, 2, 1))
    first, second = (4 * middle - coarse) / 3, (4 * fine - middle) / 3
    size = float(second.square().mean().sqrt())
    largest = float((torch.maximum(x0.abs(), solve(sde, x0, grid, method=method, noise=noise).abs().amax(0)) / h).max())
    rounding = 4 * torch.finfo(x0.dtype).eps * largest
    return second, relative(first, second) + rounding / size
