"""torchsde's methods as steppers, by the names that it has for them: ``solve(..., method="torchsde:srk")``.

Its own code makes the steps, on our increments; only what each method declares is written down here, so that lists and
messages need no torchsde. Orders are torchsde's claims, the least of them where they depend on the noise.
:func:`sdewm.convergence` measures them: "torchsde:milstein" is not Milstein's scheme, and has less than order 1, for
scalar noise in several dimensions and where a diagonal diffusion depends on other coordinates, for which it
multiplies by the transpose of the Jacobian.
"""

from __future__ import annotations

from typing import Any

from jaxtyping import Float
from torch import Tensor

from sdewm.noise.grid import TimeGrid
from sdewm.solvers.base import Stepper
from sdewm.solvers.registry import register
from sdewm.systems.sde import NOISE_TYPES, SDE

COMMUTING = ("diagonal", "additive", "scalar")


class Torchsde(Stepper):
    """A method of torchsde's, by its name there (Li et al. 2020; Kidger et al. 2021). Needs torchsde at :meth:`check`.

    Raises ``ImportError`` where that is not installed.
    """

    def __init__(
        self,
        method: str,
        summary: str,
        strong_order: float,
        weak_order: float,
        sde_types: tuple[str, ...],
        *,
        noise_types: tuple[str, ...] = NOISE_TYPES,
        differentiates: bool = False,
        may_need_areas: bool = False,
        needs_time_areas: bool = False,
    ) -> None:
        self.method, self.summary, self.strong_order, self.weak_order = method, summary, strong_order, weak_order
        self.sde_types, self.noise_types, self.differentiates = sde_types, noise_types, differentiates
        # Its derivatives are autograd's, which jets do not pass.
        self.carries_jets = not differentiates
        self.may_need_areas, self.needs_time_areas = may_need_areas, needs_time_areas

    def check(self, sde: SDE) -> None:
        try:
            import torchsde  # noqa: F401
        except ImportError:
            raise ImportError(
                f"method: 'torchsde:{self.method}' needs torchsde, which is not installed: "
                "pip install 'sdewm[torchsde]'"
            ) from None

    def prepare(self, sde: SDE, x0: Float[Tensor, "*paths n"], grid: TimeGrid) -> Walk:
        return Walk(self, needs_areas=self.may_need_areas and sde.noise_type == "general")

    def step(
        self,
        sde: SDE,
        t: Float[Tensor, ""],
        dt: float,
        x: Float[Tensor, "paths n"],
        dB: Float[Tensor, "paths channels"],
        area: Float[Tensor, "paths channels *channels"] | None = None,
    ) -> Float[Tensor, "paths n"]:
        """One step by itself, as the first of a walk."""
        return self.prepare(sde, x, TimeGrid(float(t), float(t) + dt, 1)).step(sde, t, dt, x, dB, area)


class Walk(Stepper):
    """A method of torchsde's on its way: reversible Heun hands more than the state on from step to step."""

    needs_areas = False

    def __init__(self, of: Torchsde, needs_areas: bool) -> None:
        self.of, self.needs_areas = of, needs_areas
        self.strong_order, self.weak_order, self.sde_types = of.strong_order, of.weak_order, of.sde_types
        self.noise_types, self.differentiates = of.noise_types, of.differentiates
        self.carries_jets, self.needs_time_areas = of.carries_jets, of.needs_time_areas
        self._solver: Any = None
        self._carried: Any = None

    def begin(self) -> Walk:
        return Walk(self.of, self.needs_areas)

    def step(
        self,
        sde: SDE,
        t: Float[Tensor, ""],
        dt: float,
        x: Float[Tensor, "paths n"],
        dB: Float[Tensor, "paths channels"],
        area: Float[Tensor, "paths channels *channels"] | None = None,
    ) -> Float[Tensor, "paths n"]:
        given, end = OneIncrement(dB, area, self.needs_time_areas), t + dt
        if self._solver is None:
            self._solver = _solver(self.of.method, sde, given, dt)
            self._carried = self._solver.init_extra_solver_state(t, x)
        self._solver.bm = given
        x, self._carried = self._solver.step(t, end, x, self._carried)
        return x


class OneIncrement:
    """What torchsde asks of a Brownian motion, answered for one step: an increment, and an area of either kind."""

    def __init__(
        self, dB: Float[Tensor, "paths channels"], area: Float[Tensor, "paths channels *channels"] | None, of_time: bool
    ) -> None:
        self.dB, self.area, self.shape, self.dtype, self.device = dB, area, dB.shape, dB.dtype, dB.device
        self.levy_area_approximation = "space-time" if of_time else "foster"

    def __call__(
        self, ta: Float[Tensor, ""], tb: Float[Tensor, ""], return_U: bool = False, return_A: bool = False
    ) -> Any:
        if not (return_U or return_A):
            return self.dB
        if self.area is None:  # an SDE without general noise, whose areas are multiplied by zero
            return self.dB, self.dB.new_zeros(*self.dB.shape, self.dB.shape[-1])
        return self.dB, self.area


def _solver(method: str, sde: SDE, given: OneIncrement, dt: float) -> Any:
    """torchsde's object that makes the steps, as its ``sdeint`` makes it. That one takes whole solves alone, and
    evaluates the coefficients once more at the start of each."""
    from torchsde._core import methods
    from torchsde._core.base_sde import ForwardSDE

    chosen = methods.select(method=method, sde_type=sde.sde_type)
    return chosen(sde=ForwardSDE(sde), bm=given, dt=dt, adaptive=False, rtol=0.0, atol=0.0, dt_min=0.0, options={})


for stepper in (
    Torchsde("euler", "torchsde's Euler–Maruyama", 0.5, 1.0, ("ito",)),
    Torchsde(
        "milstein", "torchsde's Milstein", 1.0, 1.0, ("ito", "stratonovich"),
        noise_types=COMMUTING, differentiates=True,
    ),
    Torchsde(
        "srk", "torchsde's Runge–Kutta scheme of Rößler's (SRID2, SRA1)", 1.5, 1.5, ("ito",),
        noise_types=COMMUTING, needs_time_areas=True,
    ),
    Torchsde("heun", "torchsde's Heun", 0.5, 1.0, ("stratonovich",)),
    Torchsde("midpoint", "torchsde's midpoint rule", 0.5, 1.0, ("stratonovich",)),
    Torchsde("euler_heun", "torchsde's Euler–Heun", 0.5, 1.0, ("stratonovich",)),
    Torchsde("reversible_heun", "torchsde's reversible Heun", 0.5, 1.0, ("stratonovich",)),
    Torchsde(
        "log_ode", "torchsde's log-ODE midpoint rule", 0.5, 1.0, ("stratonovich",),
        differentiates=True, may_need_areas=True,
    ),
):  # fmt: skip
    register(f"torchsde:{stepper.method}", stepper)
