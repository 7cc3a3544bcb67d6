"""Drift-implicit Euler, for stiff drifts."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from sdewm.solvers.base import Stepper
from sdewm.solvers.implicit import implicit_drift
from sdewm.solvers.registry import register
from sdewm.systems.sde import SDE, diffusion_product


class ImplicitEuler(Stepper):
    """y = x + f(t + Δt, y) Δt + g(t, x) ΔB, the drift at the end of the step (Kloeden & Platen 1992, 12.2).

    The equation is solved by Newton's method with the exact Jacobian, for tensors and jets. What decays fast decays at
    any step; drifts with a one-sided Lipschitz constant may grow as they like.
    """

    strong_order = 0.5
    weak_order = 1.0
    sde_types = ("ito",)
    summary = "Euler with the drift at the end of the step"
    differentiates = True
    suits = ("stiff", "super-linear")

    def step(
        self,
        sde: SDE,
        t: Float[Tensor, ""],
        dt: float,
        x: Float[Tensor, "paths n"],
        dB: Float[Tensor, "paths channels"],
        area: Float[Tensor, "paths channels channels"] | None = None,
    ) -> Float[Tensor, "paths n"]:
        return implicit_drift(sde, t + dt, dt, x + diffusion_product(sde, t, x, dB))


register("implicit-euler", ImplicitEuler())
