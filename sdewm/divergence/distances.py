"""How far solutions diverge: suprema over time of perturbed paths' distance, of Φ, and of ∂_i x and ∂²_ij x."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from sdewm import arguments
from sdewm.jets import Jet
from sdewm.noise.grid import TimeGrid
from sdewm.noise.increments import Increments, as_increments
from sdewm.sensitivity import along
from sdewm.solvers.loop import walk
from sdewm.solvers.methods import Method
from sdewm.systems.sde import SDE


@dataclass(frozen=True)
class RepeatedIncrements:
    """The same increments for ``times`` groups of paths, one group after the other."""

    base: Increments
    times: int
    weights: None = None

    @property
    def steps(self) -> int:
        return self.base.steps

    @property
    def paths(self) -> int:
        return self.times * self.base.paths

    @property
    def channels(self) -> int:
        return self.base.channels

    def __iter__(self) -> Iterator[Float[Tensor, "paths channels"]]:
        return (dB.repeat(self.times, 1) for dB in self.base)

    def coarsen(self, factor: int) -> RepeatedIncrements:
        return RepeatedIncrements(self.base.coarsen(factor), self.times)


def distances(
    sde: SDE,
    x0: Float[Tensor, " n"],
    grid: TimeGrid,
    *,
    perturbations: Float[Tensor, "perturbations n"],
    method: Method = "euler",
    noise: Increments | Float[Tensor, "steps paths channels"],
) -> Float[Tensor, "perturbations times paths"]:
    """‖x^ε_t − x⁰_t‖² at every time of the grid, ``(perturbations, steps + 1, paths)``.

    Parameters
    ----------
    x0 : unperturbed initial state ``(n,)``.
    perturbations : ε ``(perturbations, n)``, each added to x0; all copies see the same noise.

    Errors are those of :func:`sdewm.solve`, and ``ValueError`` for perturbations of another shape.
    """
    x0 = arguments.state(x0)
    perturbations = arguments.tensor("perturbations", perturbations).to(x0)
    if perturbations.ndim != 2 or not len(perturbations) or perturbations.shape[-1] != x0.shape[-1]:
        raise ValueError(
            f"perturbations: expected shape (perturbations, {x0.shape[-1]}), got {tuple(perturbations.shape)}"
        )
    increments = as_increments(noise)
    copies = 1 + len(perturbations)
    starts = torch.cat([x0.expand(1, -1), x0 + perturbations]).repeat_interleave(increments.paths, 0)
    squared: list[Tensor] = []
    for _, _, x in walk(sde, starts, grid, method=method, noise=RepeatedIncrements(increments, copies)):
        together = x.unflatten(0, (copies, -1))
        squared.append((together[1:] - together[:1]).square().sum(-1))
    return torch.stack(squared, 1)


def divergence(
    sde: SDE,
    x0: Float[Tensor, " n"],
    grid: TimeGrid,
    *,
    perturbations: Float[Tensor, "perturbations n"],
    method: Method = "euler",
    noise: Increments | Float[Tensor, "steps paths channels"],
) -> Float[Tensor, "perturbations times paths"]:
    """sup_{s ≤ t} ‖x^ε_s − x⁰_s‖², what d_ε is the mean of; arguments and shape as in :func:`distances`."""
    return distances(sde, x0, grid, perturbations=perturbations, method=method, noise=noise).cummax(1).values


def sensitivity_suprema(
    sde: SDE,
    x0: Float[Tensor, " n"],
    grid: TimeGrid,
    *,
    directions: Float[Tensor, "directions n"],
    method: Method = "euler",
    noise: Increments | Float[Tensor, "steps paths channels"],
) -> tuple[Float[Tensor, "times directions paths"], Float[Tensor, "times directions directions paths"]]:
    """sup_{s ≤ t} of ‖∂_i x_s‖² and ‖∂²_ij x_s‖², ``(steps + 1, k, paths)`` and ``(steps + 1, k, k, paths)``.

    ``directions`` ``(k, n)`` are those of the initial value in which the solution is differentiated.
    """
    x0, directions = arguments.state(x0), _directions(directions, arguments.state(x0))
    first: list[Tensor] = []
    second: list[Tensor] = []
    k = len(directions)
    for jet in _jets(sde, x0, directions, 2, grid, method, noise):
        rows = torch.tensor([[jet.space.position(_pair(k, i, j)) for j in range(k)] for i in range(k)])
        squared = jet.coefficients.square().sum(-1)
        doubled = (1 + torch.eye(k, dtype=x0.dtype, device=x0.device)).square()[..., None]
        for found, new in ((first, squared[1 : 1 + k]), (second, squared[rows] * doubled)):
            found.append(torch.maximum(found[-1], new) if found else new)
    return torch.stack(first), torch.stack(second)


def jacobian_suprema(
    sde: SDE,
    x0: Float[Tensor, " n"],
    grid: TimeGrid,
    *,
    method: Method = "euler",
    noise: Increments | Float[Tensor, "steps paths channels"],
) -> tuple[Float[Tensor, " paths"], Float[Tensor, " paths"]]:
    """sup over the grid's times of ‖∂g_0/∂x‖_F² and of Σ_{k≥1} ‖∂g_k/∂x‖_F² along unperturbed paths, ``(paths,)``."""
    x0 = arguments.state(x0)
    drift = diffusion = torch.zeros((), dtype=x0.dtype, device=x0.device)
    identity = torch.eye(x0.shape[-1], dtype=x0.dtype, device=x0.device)
    for _, t, x in walk(sde, x0, grid, method=method, noise=noise):
        jet = along(x, [e.expand_as(x) for e in identity], 1)
        drift = torch.maximum(drift, _first_squared(sde.f(t, jet)))
        diffusion = torch.maximum(diffusion, _first_squared(sde.g(t, jet)))
    return drift, diffusion


def fundamental_supremum(
    sde: SDE,
    x0: Float[Tensor, " n"],
    grid: TimeGrid,
    *,
    method: Method = "euler",
    noise: Increments | Float[Tensor, "steps paths channels"],
) -> Float[Tensor, "times paths"]:
    """sup_{s ≤ t} ‖Φ_s‖_F² at every time of the grid, ``(steps + 1, paths)``."""
    x0 = arguments.state(x0)
    found: list[Tensor] = []
    for jet in _jets(sde, x0, torch.eye(x0.shape[-1], dtype=x0.dtype, device=x0.device), 1, grid, method, noise):
        squared = jet.coefficients[1:].square().sum((0, -1))
        found.append(torch.maximum(found[-1], squared) if found else squared)
    return torch.stack(found)


def _jets(
    sde: SDE,
    x0: Tensor,
    directions: Tensor,
    order: int,
    grid: TimeGrid,
    method: Method,
    noise: Increments | Tensor,
) -> Iterator[Jet]:
    increments = as_increments(noise)
    start = x0.expand(increments.paths, -1)
    jet = along(start, [v.expand_as(start) for v in directions], order)
    for _, _, x in walk(sde, jet, grid, method=method, noise=increments):
        assert isinstance(x, Jet)
        yield x


def _directions(directions: Tensor, x0: Tensor) -> Tensor:
    directions = arguments.tensor("directions", directions).to(x0)
    if directions.ndim != 2 or not len(directions) or directions.shape[-1] != len(x0):
        raise ValueError(f"directions: expected shape (k, {len(x0)}), got {tuple(directions.shape)}")
    return directions


def _first_squared(value: Tensor) -> Tensor:
    if not isinstance(value, Jet):
        return value.new_zeros(len(value))
    return value.coefficients[1:].square().transpose(0, 1).flatten(1).sum(-1)


def _pair(k: int, i: int, j: int) -> tuple[int, ...]:
    return tuple((n == i) + (n == j) for n in range(k))
