"""Euler–Maruyama."""

from __future__ import annotations

from jaxtyping import Float
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

    def step(
        self,
        sde: SDE,
        t: Float[Tensor, ""],
        dt: float,
        x: Float[Tensor, "paths n"],
        dB: Float[Tensor, "paths channels"],
        area: Float[Tensor, "paths channels channels"] | None = None,
    ) -> Float[Tensor, "paths n"]:
        return x + drift(sde, t, x) * dt + diffusion_product(sde, t, x, dB)


register("euler", EulerMaruyama())
