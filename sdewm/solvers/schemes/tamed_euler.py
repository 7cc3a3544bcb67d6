"""Tamed Euler, for drifts that grow faster than linearly."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from sdewm.solvers.base import Stepper
from sdewm.solvers.registry import register
from sdewm.systems.sde import SDE, diffusion_product, drift


class TamedEuler(Stepper):
    """x + (f Δt + g ΔB) / √(1 + |f Δt|²): Euler's step, of which the drift's part is never longer than 1.

    After Hutzenthaler, Jentzen & Kloeden (2012), who divide f alone, by 1 + |f| Δt, and prove strong order ½ for drifts
    with a one-sided Lipschitz constant and polynomial growth, and Lipschitz diffusions. Here the divisor is smooth, so
    that jets pass, differs from 1 by O(Δt²), which no order sees, and is the noise's too, as Sabanis (2016) has it for
    diffusions that grow. Lengths are in the states' own units: take units in which states are about 1.
    """

    strong_order = 0.5
    weak_order = 1.0
    sde_types = ("ito",)
    summary = "Euler with a drift that is tamed where a step would be long"
    suits = ("super-linear",)

    def step(
        self,
        sde: SDE,
        t: Float[Tensor, ""],
        dt: float,
        x: Float[Tensor, "paths n"],
        dB: Float[Tensor, "paths channels"],
        area: Float[Tensor, "paths channels channels"] | None = None,
    ) -> Float[Tensor, "paths n"]:
        move = drift(sde, t, x) * dt
        return x + (move + diffusion_product(sde, t, x, dB)) / (1 + (move * move).sum(-1, keepdim=True)).sqrt()


register("tamed-euler", TamedEuler())
