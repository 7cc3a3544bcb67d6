"""The coefficients of the loss path by path: jets are carried through the solver's own steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from jaxtyping import Float
from torch import Tensor

from sdewm.jets import Jet, JetSpace, Parameter, constant
from sdewm.noise.grid import TimeGrid
from sdewm.noise.increments import Increments
from sdewm.solvers.compiled import Walks
from sdewm.solvers.methods import Method
from sdewm.systems.losses import SummedLoss
from sdewm.systems.perturbed import PerturbedSDE


def corrected_walks(
    family: PerturbedSDE,
    losses: Mapping[str, SummedLoss],
    x0: Float[Tensor, " n"],
    grid: TimeGrid,
    *,
    method: Method = "euler",
    order: Literal[2, 3] = 2,
    compile: bool = False,
    loud: bool = False,
) -> list[Walks]:
    """The solutions as jets: to second order in both magnitudes, and for ``order=3`` to third order in one."""
    at = {i for loss in losses.values() for i in loss.on(grid)}
    pair, line = _spaces()
    systems = [family.at(Parameter(pair, 0), Parameter(pair, 1)), family.at(Parameter(line, 0))][: order - 1]
    return [Walks(sde, x0, grid, method, at, compile=compile, loud=loud) for sde in systems]


def _spaces() -> tuple[JetSpace, JetSpace]:
    """The spaces of jets to second order in two magnitudes, and to third order in one magnitude for both errors."""
    return JetSpace(2, 2), JetSpace(1, 3)


def corrected_terms(
    family: PerturbedSDE,
    losses: Mapping[str, SummedLoss],
    x0: Float[Tensor, " n"],
    grid: TimeGrid,
    *,
    noise: Increments,
    method: Method = "euler",
    order: Literal[2, 3] = 2,
) -> dict[tuple[str, str], Float[Tensor, " paths"]]:
    """The terms of the corrected expansion per path, ``{(loss, term): (paths,)}``; exact on the grid.

    A simulation with jets to second order in two parameters, the magnitudes of the diffusion error and of the drift
    error, gives all six terms. One with jets to third order in a common magnitude gives the third coefficient.
    """
    return terms_along(corrected_walks(family, losses, x0, grid, method=method, order=order), losses, grid, noise)


def terms_along(
    walks: Sequence[Walks], losses: Mapping[str, SummedLoss], grid: TimeGrid, noise: Increments
) -> dict[tuple[str, str], Float[Tensor, " paths"]]:
    """:func:`corrected_terms` on one block of noise, with ``walks`` from :func:`corrected_walks`."""
    pair, _ = _spaces()
    total = third_along(walks[1:], losses, grid, noise)

    def add(name: str, term: str, value: Tensor) -> None:
        total[name, term] = total[name, term] + value if (name, term) in total else value

    weights = {name: loss.on(grid) for name, loss in losses.items()}
    for i, t, x in walks[0](noise):
        for name, loss in losses.items():
            if i not in weights[name]:
                continue
            weight = weights[name][i]
            whole = _coefficients(loss.at(t, x), pair)
            # Without the first-order part of x, what is left at second order is ∇L·(second-order part of x).
            gradient_part = _coefficients(loss.at(t, _without_first_order(x)), pair)
            curvature_part = whole - gradient_part
            add(name, "loss0", weight * whole[0])
            add(name, "P", weight * whole[1])
            add(name, "P~", weight * whole[2])
            add(name, "Q", weight * 2 * gradient_part[3])
            add(name, "S", weight * 2 * curvature_part[3])
            add(name, "Q~", weight * (gradient_part[4] + gradient_part[5]))
            add(name, "S~", weight * (curvature_part[4] + curvature_part[5]))
    return total


def third_along(
    walks: Sequence[Walks], losses: Mapping[str, SummedLoss], grid: TimeGrid, noise: Increments
) -> dict[tuple[str, str], Float[Tensor, " paths"]]:
    """The third coefficient per path, ``{(loss, "third"): (paths,)}``, from walks in one parameter."""
    _, line = _spaces()
    weights = {name: loss.on(grid) for name, loss in losses.items()}
    total: dict[tuple[str, str], Tensor] = {}
    for in_one in walks:
        for i, t, x in in_one(noise):
            for name, loss in losses.items():
                if i in weights[name]:
                    value = weights[name][i] * _coefficients(loss.at(t, x), line)[3]
                    total[name, "third"] = total[name, "third"] + value if (name, "third") in total else value
    return total


def _coefficients(value: Tensor, space: JetSpace) -> Tensor:
    return (value if isinstance(value, Jet) else constant(value, space)).coefficients


def _without_first_order(x: Tensor) -> Tensor:
    if not isinstance(x, Jet):
        return x
    coefficients = x.coefficients.clone()
    coefficients[1 : 1 + x.space.parameters] = 0
    return Jet(coefficients, x.space)
