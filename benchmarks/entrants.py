"""Who solves an SDE: every scheme of ours and of our peers that takes it, on noise that is given to all alike.

A scheme that is for another calculus is none of these. One that refuses, or whose package is not installed, is named
with the reason.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from benchmarks.peers import WITH_DIFFRAX, WITH_SDEINT, WITH_TORCHSDE, Diffrax, refusal
from benchmarks.translated import coefficients
from sdewm.noise.grid import TimeGrid
from sdewm.noise.stored_areas import StoredAreas
from sdewm.solvers.base import Stepper
from sdewm.solvers.methods import stepper
from sdewm.solvers.registry import METHODS
from sdewm.solvers.solve import solve
from sdewm.solvers.structure import NoiseStructure
from sdewm.systems.sde import SDE

Needs = Literal["increments", "areas", "time areas"]
Run = Callable[[], Tensor]
PACKAGES = {"sdewm": True, "torchsde": WITH_TORCHSDE, "diffrax": WITH_DIFFRAX, "sdeint": WITH_SDEINT}
# Strong orders that diffrax's documentation gives: where noises commute, and where they do not.
OF_DIFFRAX = {
    "ito": {"Euler": (0.5, 0.5), "ItoMilstein": (1.0, 1.0)},
    "stratonovich": {
        "Heun": (0.5, 0.5),
        "StratonovichMilstein": (1.0, 1.0),
        "GeneralShARK": (1.0, 0.5),
        "SPaRK": (1.0, 0.5),
        "SlowRK": (1.5, 0.5),
    },
}
FOR_ADDITIVE = {"SRA1": (1.5, 1.5), "ShARK": (1.5, 1.5)}
# What sdeint's itoint and stratint choose; and its implicit scheme, for equations that need one.
OF_SDEINT = {"ito": ("itoSRI2",), "stratonovich": ("stratSRS2",)}
IMPLICIT_OF_SDEINT = "stratKP2iS"


@dataclass(frozen=True)
class Entrant:
    """A scheme on an SDE.

    ``declared`` : the strong order that it declares on this noise. ``needs`` : what it takes of the noise.
    ``prepare`` : from a grid and its noise to a function that solves; what is made beforehand is no part of the solve.
    """

    package: str
    method: str
    declared: float
    needs: Needs
    prepare: Callable[[TimeGrid, StoredAreas], Run]


def entrants(
    sde: SDE, x0: Tensor, grid: TimeGrid, structure: NoiseStructure, stiff: bool = False
) -> tuple[list[Entrant], list[dict[str, str]]]:
    """The schemes that take an SDE, and those that do not, each with its package, its method and the reason."""
    found: list[Entrant] = []
    others: list[dict[str, str]] = []
    by_package: dict[str, Callable[[], list[Entrant]]] = {
        "diffrax": lambda: _of_diffrax(sde, x0, grid, structure, others),
        "sdeint": lambda: _of_sdeint(sde, x0, structure, stiff),
    }
    for name, method in METHODS.items():
        package = "torchsde" if name.startswith("torchsde:") else "sdewm"
        if method.sequential or sde.sde_type not in method.sde_types or not PACKAGES[package]:
            continue
        try:
            chosen = stepper(name, sde).prepare(sde, x0, grid)
        except (TypeError, ValueError) as error:
            others.append({"package": package, "method": name, "refused": str(error).splitlines()[0]})
            continue
        needs: Needs = "areas" if chosen.needs_areas else "time areas" if chosen.needs_time_areas else "increments"
        found.append(Entrant(package, name, method.order_on(structure), needs, _ours(sde, x0, method)))
    for package, there in PACKAGES.items():
        if not there:
            others.append({"package": package, "method": "all", "missing": f"{package} is not installed"})
        elif package in by_package:
            found += by_package[package]()
    return found, others


def _ours(sde: SDE, x0: Tensor, method: Stepper) -> Callable[[TimeGrid, StoredAreas], Run]:
    return lambda grid, noise: lambda: solve(sde, x0, grid, method=method, noise=noise)


def _of_diffrax(
    sde: SDE, x0: Tensor, grid: TimeGrid, structure: NoiseStructure, others: list[dict[str, str]]
) -> list[Entrant]:
    import jax.numpy as jnp

    f, g = coefficients(sde, x0, jnp)
    solvers = OF_DIFFRAX[sde.sde_type] | (FOR_ADDITIVE if structure.kind == "additive" else {})
    found = []
    for name, (commuting, general) in solvers.items():
        declared = general if structure.needs_areas else commuting
        scheme = Diffrax(name, f, g, declared)
        if why := refusal(scheme, sde, x0, grid):
            others.append({"package": "diffrax", "method": f"diffrax:{name}", "refused": why})
            continue

        def prepare(grid: TimeGrid, noise: StoredAreas, scheme: Diffrax = scheme) -> Run:
            start = x0.expand(noise.paths, -1).contiguous()
            arrays = scheme.arrays(grid, noise.values, noise.integrals)
            return lambda: torch.from_numpy(np.array(scheme.walk(start, grid, arrays)))

        needs: Needs = "time areas" if scheme.needs_time_areas else "increments"
        found.append(Entrant("diffrax", f"diffrax:{name}", declared, needs, prepare))
    return found


def _of_sdeint(sde: SDE, x0: Tensor, structure: NoiseStructure, stiff: bool) -> list[Entrant]:
    import sdeint

    f, g = coefficients(sde, x0, np)
    start = x0.numpy()

    def entrant(name: str) -> Entrant:
        integrals = "J" if name.startswith("strat") else "I"

        def prepare(grid: TimeGrid, noise: StoredAreas) -> Run:
            times = np.array([grid.time(i) for i in range(grid.steps + 1)])
            dB, area = (v.transpose(0, 1).numpy() for v in (noise.values, noise.stored))
            products = 0.5 * dB[..., :, None] * dB[..., None, :] + area
            twice = products - (0.5 * grid.dt * np.eye(noise.channels) if integrals == "I" else 0)

            def one(p: int) -> Any:
                given = {"dW": dB[p], integrals: twice[p]}
                return getattr(sdeint, name)(lambda y, t: f(t, y), lambda y, t: g(t, y), start, times, **given)[-1]

            return lambda: torch.from_numpy(np.stack([one(p) for p in range(noise.paths)]))

        return Entrant("sdeint", f"sdeint:{name}", 1.0, "areas" if structure.needs_areas else "increments", prepare)

    implicit = stiff and (structure.kind == "additive" or sde.sde_type == "stratonovich")
    return [entrant(name) for name in OF_SDEINT[sde.sde_type] + (IMPLICIT_OF_SDEINT,) * implicit]
