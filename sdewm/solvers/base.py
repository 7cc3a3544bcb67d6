"""What a stepper is: one step of a method, with what it declares of itself."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal, get_args

from jaxtyping import Float
from torch import Tensor

from sdewm.noise.grid import TimeGrid
from sdewm.solvers.structure import NoiseKind, NoiseStructure
from sdewm.systems.sde import NOISE_TYPES, SDE

Hardship = Literal["stiff", "super-linear"]


class Stepper(ABC):
    """One step of a method, with what it declares of itself. The loop, lists of methods and messages go by that alone.

    A scheme sets ``strong_order``, ``weak_order`` and ``sde_types``, whatever else differs from what is here, and
    writes :meth:`step`. It is used as ``solve(..., method=MyScheme())``; :func:`~sdewm.solvers.registry.register` gives
    it a name.

    Attributes
    ----------
    strong_order, weak_order : they hold for every SDE of the ``sde_types`` and ``noise_types``.
    sde_types, noise_types : what SDEs the method is for; any noise by default.
    structures : what the noise may be found to be, see :func:`~sdewm.solvers.structure.noise_structure`; anything by
        default.
    commuting_order : the strong order where the diffusion vectors commute, if that is more than ``strong_order``.
    summary : the method in a few words, for lists.
    needs_areas : whether ``step`` takes Lévy areas ``(paths, m, m)``; by default if the structure has a need of them.
    may_need_areas : whether that depends on the noise, and is known of what :meth:`prepare` returns.
    moments_suffice : whether areas serve that are right in the mean alone, as means by a weak scheme ask no more.
    needs_time_areas : whether ``step`` takes, in their place, integrals of B(s) − B(t) over the step, ``(paths, m)``.
    structure : what the steps take the noise to be; held against the states that a solve reaches.
    differentiates : whether steps take derivatives of coefficients; compiled modules are then run as they were written,
        since what ``torch.compile`` makes of them can have wrong derivatives.
    carries_jets : whether states may be jets. Schemes of tensor operations carry them without further ado.
    sequential : whether blocks are updated one after the other, as a recurrent model does.
    suits : what it gets through where explicit steps leave the numbers: "stiff", "super-linear" drifts, or both. The
        error that says so names the methods that suit.

    >>> class Ode(Stepper):
    ...     strong_order, weak_order, sde_types = 1.0, 1.0, ("ito",)
    ...
    ...     def step(self, sde, t, dt, x, dB, area=None):
    ...         return x + sde.f(t, x) * dt
    """

    strong_order: float
    weak_order: float
    sde_types: tuple[str, ...]
    noise_types: tuple[str, ...] = NOISE_TYPES
    structures: tuple[NoiseKind, ...] = get_args(NoiseKind)
    commuting_order: float | None = None
    summary: str = ""
    may_need_areas: bool = False
    moments_suffice: bool = False
    needs_time_areas: bool = False
    structure: NoiseStructure | None = None
    differentiates: bool = False
    carries_jets: bool = True
    sequential: bool = False
    suits: tuple[Hardship, ...] = ()

    @property
    def needs_areas(self) -> bool:
        return self.structure is not None and self.structure.needs_areas

    def order_on(self, structure: NoiseStructure) -> float:
        """The strong order on a noise of this structure."""
        if self.commuting_order is None or structure.needs_areas:
            return self.strong_order
        return self.commuting_order

    def check(self, sde: SDE) -> None:  # noqa: B027 (nothing to check is the usual case)
        """Raise ``TypeError`` or ``ValueError`` if the method cannot take an SDE of the declared types."""

    def prepare(self, sde: SDE, x0: Float[Tensor, "*paths n"], grid: TimeGrid) -> Stepper:
        """The stepper that makes the steps of a solve from ``x0``, ``(n,)`` or ``(paths, n)``; called once for it."""
        return self

    def begin(self) -> Stepper:
        """The stepper at the start of one walk along the grid: itself, unless steps hand something on to the next."""
        return self

    @abstractmethod
    def step(
        self,
        sde: SDE,
        t: Float[Tensor, ""],
        dt: float,
        x: Float[Tensor, "paths n"],
        dB: Float[Tensor, "paths channels"],
        area: Float[Tensor, "paths channels *channels"] | None = None,
    ) -> Float[Tensor, "paths n"]:
        """The states ``(paths, n)`` at t + dt from those at t, and increments ``(paths, m)`` of the noise."""


@dataclass(eq=False)
class NonFiniteState(ArithmeticError):
    """A path left the numbers: at which time, in which component, for how many paths, and what would help.

    >>> print(NonFiniteState(time=0.5, component=0, paths=3, of=8))
    x: component 0 is not finite at t = 0.5 on 3 of 8 paths. …
    """

    time: float
    component: int
    paths: int
    of: int
    remedy: str = "A smaller step, or coefficients of at most linear growth, would help."

    def __str__(self) -> str:
        return (
            f"x: component {self.component} is not finite at t = {self.time:g} on {self.paths} of {self.of} paths. "
            f"{self.remedy}"
        )
