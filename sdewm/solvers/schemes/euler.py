"""Euler–Maruyama."""

from __future__ import annotations

from torch import Tensor

from sdewm.solvers.base import Stepper
from sdewm.solvers.registry import register
from sdewm.systems.sde import SDE, diffusion_product, drift


class EulerMaruyama(Stepper):
    """x + f Δt + g ΔB, all coordinates at once."""

    strong_order = 0.5
    weak_order = 1.0
    sde_types = ("ito",)
    summary = "Euler–Maruyama"

    def step(self, sde: SDE, t: Tensor, dt: float, x: Tensor, dB: Tensor, area: Tensor | None = None) -> Tensor:
        return x + drift(sde, t, x) * dt + diffusion_product(sde, t, x, dB)


register("euler", EulerMaruyama())
