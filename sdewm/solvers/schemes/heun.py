"""Heun's scheme for Stratonovich SDEs."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from sdewm.solvers.base import Stepper
from sdewm.solvers.registry import register
from sdewm.systems.sde import SDE, diffusion_product, drift


class Heun(Stepper):
    """The trapezoidal rule with an Euler predictor, drift and diffusion alike (Rümelin 1982). Stratonovich only.

    Needs no derivatives and no areas. The strong order is 1 where the diffusion vectors commute and ½ elsewhere, and
    it declares both: steps are the same, and the noise's structure is measured where orders are.
    """

    strong_order = 0.5
    commuting_order = 1.0
    weak_order = 1.0
    sde_types = ("stratonovich",)
    summary = "Heun, the trapezoidal rule"

    def step(
        self,
        sde: SDE,
        t: Float[Tensor, ""],
        dt: float,
        x: Float[Tensor, "paths n"],
        dB: Float[Tensor, "paths channels"],
        area: Float[Tensor, "paths channels channels"] | None = None,
    ) -> Float[Tensor, "paths n"]:
        here = drift(sde, t, x) * dt + diffusion_product(sde, t, x, dB)
        predicted = x + here
        there = drift(sde, t + dt, predicted) * dt + diffusion_product(sde, t + dt, predicted, dB)
        return x + 0.5 * (here + there)


register("heun", Heun())
