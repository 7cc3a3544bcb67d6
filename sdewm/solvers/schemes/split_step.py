"""Split-step backward Euler, for stiff drifts."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from sdewm.solvers.base import Stepper
from sdewm.solvers.implicit import implicit_drift
from sdewm.solvers.registry import register
from sdewm.systems.sde import SDE, diffusion_product


class SplitStepEuler(Stepper):
    """y = x + f(t + Δt, y) Δt, then y + g(t, y) ΔB: drift first, noise after (Higham, Mao & Stuart 2002).

    Converges with strong order ½ where the drift has a one-sided Lipschitz constant and polynomial growth, and the
    diffusion is Lipschitz. The noise of the last step is not damped, as it is by implicit Euler.
    """

    strong_order = 0.5
    weak_order = 1.0
    sde_types = ("ito",)
    summary = "split-step backward Euler: the drift implicitly, then the noise"
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
        moved = implicit_drift(sde, t + dt, dt, x)
        return moved + diffusion_product(sde, t, moved, dB)


register("split-step", SplitStepEuler())
