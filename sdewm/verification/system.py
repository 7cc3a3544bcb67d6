"""The system that a user hands to a verification: perturbed equation, losses, initial state, grid and method."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from jaxtyping import Float
from torch import Tensor

from sdewm import arguments
from sdewm.noise.grid import TimeGrid
from sdewm.solvers.methods import Method, stepper
from sdewm.systems.losses import Loss, SummedLoss, as_summed
from sdewm.systems.perturbed import PerturbedSDE

if TYPE_CHECKING:  # importing it imports scipy
    from sdewm.exact import Coefficients

# More grids make the extrapolation to Δt = 0 more exact, but the finest must be coarsened once more for each.
GRIDS = 3
# The largest n for which n × n matrices are followed on each path, unless sizes are stated.
LARGEST = 64


@dataclass(frozen=True)
class Sizes:
    """The number of paths of one round of each sample, at a precision of 1e-3. Without it a pilot run finds sizes.

    ``paths`` is for the terms, ``paired`` for all routes on common noise, and ``taylor`` for the remainders; ``block``
    paths are simulated at a time. ``widen`` is passed to :class:`~sdewm.QuasiMonteCarlo`.
    """

    paths: int
    paired: int
    taylor: int = 2**9
    block: int = 2**13
    widen: float = 1.0


@dataclass(frozen=True, eq=False)
class System:
    """A perturbed system (32) with its losses, that claims can be checked on.

    Parameters
    ----------
    family : base and error.
    loss : ``(paths, n) -> (paths,)`` of the final state, a :class:`~sdewm.SummedLoss`, or several of them by name.
    x0 : the initial state ``(n,)``; all is computed in its dtype.
    grid : the time grid.
    method : as for :func:`sdewm.solve`.
    name : what rows of a report call it.
    continuous : whether the claims are about Δt → 0. If not, the step of the grid belongs to the model, as for a
        recurrent network. The default is True, but False for the method "euler-sequential".
    truth, euler_truths : exact values, as :mod:`sdewm.exact` gives them: coefficients for Δt → 0, and those of Euler's
        scheme on each grid. Without them coefficients are measured by differences in ε.
    readings : the readings of the printed formulas that are checked beside the corrected one; see
        :data:`sdewm.expansion.variation_of_constants.READINGS`.
    sizes : sample sizes; ``None`` finds them in a pilot run.
    formula_factor : the precision for the formulas with Φ and Φ⁻¹ is this many times coarser, since they cost n³ for
        each path and step.
    third_factor : likewise for the coefficient of ε³, which is measured as a limit.

    Two systems are equal only if they are the same object. Raises ``ValueError`` and ``TypeError`` that name the
    argument.

    >>> system = System(family, lambda x: (x**2).sum(-1), x0, TimeGrid(0.0, 1.0, 32))
    >>> sdewm.verify(system).ok
    True
    """

    family: PerturbedSDE
    loss: Loss | Mapping[str, Loss]
    x0: Float[Tensor, " n"]
    grid: TimeGrid
    method: Method = "euler"
    name: str = "system"
    continuous: bool | None = None
    truth: Coefficients | None = None
    euler_truths: tuple[Coefficients, ...] = ()
    readings: tuple[str, ...] = ()
    sizes: Sizes | None = None
    formula_factor: float = 10.0
    third_factor: float = 10.0
    losses: dict[str, SummedLoss] = field(init=False, repr=False)
    # The results that sdewm.verification.once keeps.
    found: dict[Any, Any] = field(init=False, repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.family, PerturbedSDE):
            raise TypeError(
                f"family: expected a PerturbedSDE(base, error), got {arguments.shown(self.family)}; "
                "PerturbedSDE(sde, FunctionSDE(sigma, sigma_bar)) makes one of an SDE"
            )
        if self.family.sde_type != "ito":
            raise ValueError(
                "family: expected an Itô family, as the paper's (5)-(8) are, got a Stratonovich one; expand and "
                "taylor_test take it with method='heun' or 'milstein'"
            )
        stepper(self.method, self.family.at(1.0))
        several = self.loss if isinstance(self.loss, Mapping) else {"": self.loss}
        if not several:
            raise ValueError("loss: expected at least one, got none")
        for name in several:
            arguments.instance("loss", name, str, "names of losses that are texts")
        arguments.instance("name", self.name, str, "a text")
        arguments.choice("continuous", self.continuous, (None, True, False))
        for name in ("formula_factor", "third_factor"):
            object.__setattr__(self, name, arguments.real(name, getattr(self, name), above=0.0))
        object.__setattr__(self, "losses", {name: as_summed(loss, self.grid) for name, loss in several.items()})
        object.__setattr__(self, "x0", arguments.state(self.x0))
        if self.continuous is None:
            object.__setattr__(self, "continuous", self.method != "euler-sequential")

    def afresh(self) -> System:
        """A copy of the system without kept results, since its weights or data may have changed."""
        return replace(self)

    @cached_property
    def _coarser(self) -> int:
        """The number of grids, each half as fine as the one before, that this grid allows; itself included."""
        for grids in range(1, GRIDS):
            if self.grid.steps % 2**grids:
                return grids
            try:
                for loss in self.losses.values():
                    loss.on(self.grid.coarsen(2**grids))
            except ValueError:  # a loss's time is not on it
                return grids
        return GRIDS

    @property
    def has_limit(self) -> bool:
        """Whether Euler's scheme can be extrapolated to Δt → 0: two coarser grids must have all times of the losses."""
        affordable = self.sizes is not None or len(self.x0) <= LARGEST
        return bool(self.continuous) and self.method == "euler" and self._coarser == GRIDS and affordable

    @property
    def grids(self) -> int:
        """The number of grids for the extrapolation to Δt → 0; 1 if there is no limit."""
        return GRIDS if self.has_limit else 1

    @property
    def without_limit(self) -> str:
        """Why there is no limit, in words."""
        if not self.continuous:
            return "the grid's own step is the model: there is no limit Δt → 0"
        if self.method != "euler":
            return "the formulas are those of Euler's scheme"
        if self._coarser == GRIDS:
            return f"{len(self.x0)} states, more than {LARGEST}: Φ takes their number cubed on each path and step"
        return f"the grid of {self.grid.steps} steps, or a loss's time on it, cannot be made coarser twice"

    def named(self, name: str) -> str:
        """The name of the system in rows about one of its losses."""
        return f"{self.name} {name}".strip()
