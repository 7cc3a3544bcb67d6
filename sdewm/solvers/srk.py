"""Runge–Kutta schemes without derivatives: Rößler's of strong order 1, Platen's of weak order 2.

Both measure the noise's structure at the start of a solve, as Milstein's scheme does, and ask for Lévy areas only
where the diffusion vectors do not commute.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from sdewm.noise.grid import TimeGrid
from sdewm.solvers.structure import NoiseStructure, noise_structure
from sdewm.systems.sde import SDE, diffusion_at, diffusion_product


class RoesslerSRI2:
    """The scheme SRI2 (Rößler 2010, SIAM J. Numer. Anal. 48, 922–952): strong order 1 for any Itô noise.

    With stages H = x + f Δt and H±^l = H ± Σ_k g_k I_kl/√Δt it adds ½√Δt (g_l(H+^l) − g_l(H−^l)) to the trapezoidal
    drift and Euler's noise: a central difference in place of Milstein's derivatives, at two evaluations for each
    diffusion vector that others move (two in all for diagonal and scalar noise).
    """

    strong_order = 1.0
    weak_order = 1.0
    sde_types: tuple[str, ...] = ("ito",)
    needs_areas = False  # known once the structure is

    def __init__(self, structure: NoiseStructure | None = None) -> None:
        self.structure = structure

    def check(self, sde: SDE) -> None:
        """Any Itô SDE will do."""

    def prepare(self, sde: SDE, x0: Tensor, grid: TimeGrid) -> _PreparedSRI2:
        structure = noise_structure(sde, x0, grid) if self.structure is None else self.structure
        return _PreparedSRI2(structure, *_columns(structure))

    def step(self, sde: SDE, t: Tensor, dt: float, x: Tensor, dB: Tensor, area: Tensor | None = None) -> Tensor:
        """One step by itself; measures the structure anew, at states near x."""
        at = float(t)
        return self.prepare(sde, x, TimeGrid(at, at + dt, 1)).step(sde, t, dt, x, dB, area)


@dataclass(frozen=True)
class _PreparedSRI2:
    structure: NoiseStructure
    moved: tuple[int, ...]
    together: bool
    strong_order: float = 1.0
    weak_order: float = 1.0
    sde_types: tuple[str, ...] = ("ito",)

    @property
    def needs_areas(self) -> bool:
        return self.structure.needs_areas

    def check(self, sde: SDE) -> None:
        """Any SDE with the same noise will do."""

    def prepare(self, sde: SDE, x0: Tensor, grid: TimeGrid) -> _PreparedSRI2:
        return self

    def step(self, sde: SDE, t: Tensor, dt: float, x: Tensor, dB: Tensor, area: Tensor | None = None) -> Tensor:
        area = self.structure.areas(area)
        product, end, root = diffusion_at(sde, t, x), t + dt, math.sqrt(dt)
        drift = sde.f(t, x) * dt
        middle = x + drift
        out = x + 0.5 * (drift + sde.f(end, middle) * dt) + product(dB)

        def difference(shift: Tensor, weights: Tensor) -> Tensor:
            up = diffusion_product(sde, end, middle + shift, weights)
            return up - diffusion_product(sde, end, middle - shift, weights)

        if self.together:
            # ∂g_l[g_k] = 0 for k ≠ l: each column sees its own vector only, and all can be moved at once.
            return out + 0.5 * root * difference(product((dB**2 - dt) / (2 * root)), torch.ones_like(dB))
        for l in self.moved:  # noqa: E741
            integrals = 0.5 * dB * dB[:, l : l + 1]
            if area is not None:
                integrals = integrals + area[:, :, l].to(dB)
            integrals = integrals - 0.5 * dt * _unit(dB, l)
            out = out + 0.5 * root * difference(product(integrals / root), _unit(dB, l))
        return out


class PlatenWeak2:
    """Platen's explicit scheme of weak order 2 for any Itô noise (Kloeden & Platen 1992, 15.1.3).

    The two-point variables V_kl of the book are twice the noise's Lévy areas, which have the same moments as far as
    the order goes; so the scheme draws nothing of its own, runs coupled to others, and with them has Milstein's terms
    and his strong order 1. It makes four evaluations of the diffusion for each channel, whatever the structure.
    """

    strong_order = 1.0
    weak_order = 2.0
    sde_types: tuple[str, ...] = ("ito",)
    needs_areas = False  # known once the structure is

    def __init__(self, structure: NoiseStructure | None = None) -> None:
        self.structure = structure

    def check(self, sde: SDE) -> None:
        """Any Itô SDE will do."""

    def prepare(self, sde: SDE, x0: Tensor, grid: TimeGrid) -> _PreparedWeak2:
        structure = noise_structure(sde, x0, grid) if self.structure is None else self.structure
        return _PreparedWeak2(structure, *_columns(structure))

    def step(self, sde: SDE, t: Tensor, dt: float, x: Tensor, dB: Tensor, area: Tensor | None = None) -> Tensor:
        """One step by itself; measures the structure anew, at states near x."""
        at = float(t)
        return self.prepare(sde, x, TimeGrid(at, at + dt, 1)).step(sde, t, dt, x, dB, area)


@dataclass(frozen=True)
class _PreparedWeak2:
    structure: NoiseStructure
    moved: tuple[int, ...]
    together: bool
    strong_order: float = 1.0
    weak_order: float = 2.0
    sde_types: tuple[str, ...] = ("ito",)

    @property
    def needs_areas(self) -> bool:
        return self.structure.needs_areas

    def check(self, sde: SDE) -> None:
        """Any SDE with the same noise will do."""

    def prepare(self, sde: SDE, x0: Tensor, grid: TimeGrid) -> _PreparedWeak2:
        return self

    def step(self, sde: SDE, t: Tensor, dt: float, x: Tensor, dB: Tensor, area: Tensor | None = None) -> Tensor:
        area = self.structure.areas(area)
        product, end, root = diffusion_at(sde, t, x), t + dt, math.sqrt(dt)
        drift, noise = sde.f(t, x) * dt, product(dB)
        out = x + 0.5 * (drift + sde.f(end, x + drift + noise) * dt) + noise
        channels = dB.shape[-1]
        for r in range(channels):
            vector = product(_unit(dB, r)) * root
            # Column r at R±, the others at U±: what the shift does to their mean, and their difference along it.
            own = _unit(dB, r) * dB
            others = dB - own
            crossed = dB * dB[:, r : r + 1]
            if area is not None:
                crossed = crossed + 2 * area[:, r].to(dB)
            along = (crossed - dt * _unit(dB, r)) / root
            along_own = _unit(dB, r) * along
            up, down = (
                diffusion_at(sde, end, x + drift + vector), diffusion_at(sde, end, x + drift - vector)
            )  # fmt: skip
            out = out + 0.25 * (up(own + along_own) + down(own - along_own) - 2 * product(own))
            up, down = diffusion_at(sde, t, x + vector), diffusion_at(sde, t, x - vector)
            along_others = along - along_own
            out = out + 0.25 * (up(others + along_others) + down(others - along_others) - 2 * product(others))
        return out


def _columns(structure: NoiseStructure) -> tuple[tuple[int, ...], bool]:
    """The diffusion vectors that others move, and whether each is moved by itself alone."""
    moved = structure.acts.any(0)
    alone = not bool((structure.acts & ~torch.eye(structure.channels, dtype=torch.bool)).any())
    return tuple(moved.nonzero()[:, 0].tolist()), alone and bool(moved.any())


def _unit(dB: Tensor, k: int) -> Tensor:
    unit = torch.zeros_like(dB)
    unit[:, k] = 1
    return unit
