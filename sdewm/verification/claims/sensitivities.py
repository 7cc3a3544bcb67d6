"""∂_ε x and ∂²_ε x path by path, by routes that share no formula: their own SDEs, jets, and differences in ε.

With the same stepper on the same grid all of them compute the same map, so that they agree to rounding.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from sdewm.jets import Jet, JetSpace, Parameter, nonsmooth_met
from sdewm.noise.grid import TimeGrid
from sdewm.noise.increments import Increments
from sdewm.sensitivity import SensitivitySDE
from sdewm.solvers.methods import Method
from sdewm.solvers.solve import solve
from sdewm.systems.perturbed import PerturbedSDE
from sdewm.verdicts.judge import LeftOut, Row
from sdewm.verification.pathwise import few_paths, gap_row, reach, relative, rounding
from sdewm.verification.settings import Settings
from sdewm.verification.system import System
from sdewm.verification.system_samples import sample_system

CLAIM = "sensitivities"
PARTS = ("∂x", "∂²x")
EQUATIONS = "(38)-(40) as a system"


def check(system: System, settings: Settings) -> Iterator[Row]:
    """Rows for ∂x and ∂²x at ε = 0: jets against differences in ε, and the equations against jets."""
    started, noise = time.perf_counter(), few_paths(system, settings)
    family, x0, grid, method = system.family, system.x0, system.grid, system.method
    h = sample_system(system, settings.first).h
    with nonsmooth_met() as kinks:
        jets = by_jets(family, x0, grid, method=method, noise=noise)
        differences, errors = by_differences(family, 0.0, x0, grid, method=method, noise=noise, h=h)
        solved = (
            None if method == "euler-sequential" else by_equations(family, 0.0, x0, grid, method=method, noise=noise)
        )
        for i, part in enumerate(PARTS):
            if not bool(jets[i].any() or (differences[i].abs() > 1e3 * errors[i] * differences[i].abs().max()).any()):
                yield LeftOut(CLAIM, system.name, part, "corrected", "", "it is 0 on every path")
                continue
            own = rounding(partial(_part_by_jets, i, system, noise), x0, grid.steps, reach(system))
            found = [("jets, against differences in ε", jets[i], differences[i], errors[i] + own)]
            if solved is not None:
                found.append((f"{EQUATIONS}, against jets", solved[i], jets[i], own))
            for reading, value, truth, numerical in found:
                yield gap_row(
                    CLAIM, system, part, reading, relative(value, truth), numerical, settings.precision, started,
                    kinks, settings,
                )  # fmt: skip


def _part_by_jets(i: int, system: System, noise: Increments, x0: Tensor) -> Tensor:
    return by_jets(system.family, x0, system.grid, method=system.method, noise=noise)[i]


def by_equations(
    family: PerturbedSDE, eps: float, x0: Float[Tensor, " n"], grid: TimeGrid, *, method: Method, noise: Increments
) -> tuple[Float[Tensor, "paths n"], Float[Tensor, "paths n"]]:
    """∂x and ∂²x at the final time, each ``(paths, n)``, from their SDEs: (38)–(40); (36) and (37) at ε ≠ 0."""
    system = SensitivitySDE(family, eps)
    return system.split(solve(system, system.initial(x0), grid, method=method, noise=noise))[1:]


def by_jets(
    family: PerturbedSDE, x0: Float[Tensor, " n"], grid: TimeGrid, *, method: Method, noise: Increments
) -> tuple[Float[Tensor, "paths n"], Float[Tensor, "paths n"]]:
    """The same at ε = 0 by jets through the steps."""
    x = solve(family.at(Parameter(JetSpace(1, 2), 0)), x0, grid, method=method, noise=noise)
    if not isinstance(x, Jet):  # nothing depends on ε
        return torch.zeros_like(x), torch.zeros_like(x)
    return x.derivative((1,)), x.derivative((2,))


def by_differences(
    family: PerturbedSDE,
    eps: float,
    x0: Float[Tensor, " n"],
    grid: TimeGrid,
    *,
    method: Method,
    noise: Increments,
    h: float,
) -> tuple[tuple[Float[Tensor, "paths n"], Float[Tensor, "paths n"]], tuple[float, float]]:
    """The same by central differences of sixth order, and how much those of fourth order differ, relatively."""

    def at(k: int) -> Tensor:
        return solve(family.at(eps + k * h), x0, grid, method=method, noise=noise)

    x = {k: at(k) for k in range(-3, 4)}
    odd, even = {k: x[k] - x[-k] for k in (1, 2, 3)}, {k: x[k] + x[-k] - 2 * x[0] for k in (1, 2, 3)}
    first = (45 * odd[1] - 9 * odd[2] + odd[3]) / (60 * h)
    second = (270 * even[1] - 27 * even[2] + 2 * even[3]) / (180 * h**2)
    lower = (8 * odd[1] - odd[2]) / (12 * h), (16 * even[1] - even[2]) / (12 * h**2)
    # The rounding of the solutions, amplified by the difference quotient.
    rounding = 45 * torch.finfo(x0.dtype).eps * float(x[0].detach().abs().max())
    errors = [
        relative(coarse, fine) + rounding / (h**order * float(fine.square().mean().sqrt()) + 1e-300)
        for order, (coarse, fine) in enumerate(zip(lower, (first, second), strict=True), start=1)
    ]
    return (first, second), (errors[0], errors[1])
