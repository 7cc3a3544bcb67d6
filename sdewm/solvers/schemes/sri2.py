"""Rößler's Runge–Kutta scheme of strong order 1, without derivatives."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from sdewm.solvers.base import Stepper
from sdewm.solvers.registry import register
from sdewm.solvers.structure import NoiseStructure
from sdewm.solvers.structured import Structured
from sdewm.systems.sde import SDE, diffusion_at, diffusion_product, drift, one_channel


class RoesslerSRI2(Structured):
    """The scheme SRI2 (Rößler 2010, SIAM J. Numer. Anal. 48, 922–952): strong order 1 for any Itô noise.

    With stages H = x + f Δt and H±^l = H ± Σ_k g_k I_kl/√Δt it adds ½√Δt (g_l(H+^l) − g_l(H−^l)) to the trapezoidal
    drift and Euler's noise: a central difference in place of Milstein's derivatives, at two evaluations for each
    diffusion vector that others move (two in all for diagonal and scalar noise).
    """

    strong_order = 1.0
    weak_order = 1.0
    sde_types = ("ito",)
    summary = "Rößler's SRI2, without derivatives"
    may_need_areas = True

    def prepared(self, structure: NoiseStructure, x0: Float[Tensor, "*paths n"]) -> PreparedSRI2:
        return PreparedSRI2(structure)


class PreparedSRI2(Stepper):
    """The scheme SRI2 for a noise of known structure."""

    strong_order = RoesslerSRI2.strong_order
    weak_order = RoesslerSRI2.weak_order
    sde_types = RoesslerSRI2.sde_types

    def __init__(self, structure: NoiseStructure) -> None:
        self.structure: NoiseStructure = structure
        moved = structure.acts.any(0)
        self.moved = tuple(moved.nonzero()[:, 0].tolist())
        alone = not bool((structure.acts & ~torch.eye(structure.channels, dtype=torch.bool)).any())
        self.together = alone and bool(moved.any())

    def step(
        self,
        sde: SDE,
        t: Float[Tensor, ""],
        dt: float,
        x: Float[Tensor, "paths n"],
        dB: Float[Tensor, "paths channels"],
        area: Float[Tensor, "paths channels channels"] | None = None,
    ) -> Float[Tensor, "paths n"]:
        area = self.structure.areas(area)
        product, end, root = diffusion_at(sde, t, x), t + dt, math.sqrt(dt)
        move = drift(sde, t, x) * dt
        middle = x + move
        out = x + 0.5 * (move + drift(sde, end, middle) * dt) + product(dB)

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
            integrals = integrals - 0.5 * dt * one_channel(dB, l)
            out = out + 0.5 * root * difference(product(integrals / root), one_channel(dB, l))
        return out


register("sri2", RoesslerSRI2())
