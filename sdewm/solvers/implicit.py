"""The equation of an implicit step, y = a + Δt f(t, y), solved by Newton's method for tensors and jets."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from sdewm.jets import Jet, JetSpace, constant, value_of
from sdewm.jets.directional import directional
from sdewm.solvers.registry import names, quoted
from sdewm.systems.sde import SDE, drift

# Newton's method doubles the digits at each step; where it needs more than these it goes nowhere.
MOST = 50


@dataclass(eq=False)
class NoImplicitStep(ArithmeticError):
    """The equation of an implicit step was not solved on some paths: from which time, and on how many.

    >>> print(NoImplicitStep(time=0.5, paths=3, of=8))
    f: the implicit step from t = 0.5 has no solution that 50 steps of Newton's method find next to the state, …
    """

    time: float
    paths: int
    of: int

    def __str__(self) -> str:
        others = quoted(names(lambda s: "super-linear" in s.suits and "stiff" not in s.suits))
        return (
            f"f: the implicit step from t = {self.time:g} has no solution that {MOST} steps of Newton's method find "
            f"next to the state, on {self.paths} of {self.of} paths. A smaller step would help, or a method that "
            f"solves nothing: {others}."
        )


def implicit_drift(
    sde: SDE, t: Float[Tensor, ""], dt: float, given: Float[Tensor, "paths n"]
) -> Float[Tensor, "paths n"]:
    """y ``(paths, n)`` with y = given + dt f(t, y), for each path by itself, to rounding.

    Newton's method with the exact Jacobian, by forward differentiation, finds the value; a path is left alone once its
    last step was below half of the digits of every component. Then each step with the value's Jacobian gains an order
    of a jet, which makes its coefficients those of the implicit function, and one step the other half of the digits,
    and gradients.
    Raises :class:`NoImplicitStep`. States that are not finite stay so.
    """
    with torch.no_grad():
        value, factors = _newton(sde, t, dt, value_of(given).detach())
        first = drift(sde, t, value)
    space = next((y.space for y in (given, first) if isinstance(y, Jet)), None)
    y: Tensor = value if space is None else constant(value, space)
    for _ in range(1 if space is None else space.order + 1):
        y = y - _solved(factors, y - given - dt * drift(sde, t, y))
    return y


def _newton(sde: SDE, t: Tensor, dt: float, given: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """The value of the solution, to half of the digits, and the factors of 1 − dt ∂f near it."""
    y, running = given, torch.isfinite(given).all(-1)
    least = torch.finfo(given.dtype).eps
    enough = least**0.5
    one = torch.eye(given.shape[-1], dtype=given.dtype, device=given.device)
    for _ in range(MOST):
        value = drift(sde, t, y)
        jacobian = _jacobian(sde, t, y, value.space if isinstance(value, Jet) else None)
        factors, pivots, _ = torch.linalg.lu_factor_ex(one - dt * jacobian)
        move = _solved((factors, pivots), y - given - dt * value_of(value))
        y = torch.where(running.unsqueeze(-1), y - move, y)
        # Each component in its own units; beside one that cancels to nothing, rounding of the largest is all there is.
        size, step = torch.maximum(y.abs(), given.abs()), move.abs()
        running = running & ~((step <= enough * size).all(-1) | (step.amax(-1) <= least * size.amax(-1)))
        if not bool(running.any()):
            # As a step grows from 0 the matrix starts at 1; beyond a singular one the solution is another branch.
            running = _negative(factors, pivots) & torch.isfinite(y).all(-1)
            if not bool(running.any()):
                return y, (factors, pivots)
            break
    raise NoImplicitStep(float(t) - dt, int(running.sum()), len(running))


def _jacobian(sde: SDE, t: Tensor, y: Tensor, space: JetSpace | None) -> Tensor:
    """∂f_i/∂x_j at each state, ``(paths, n, n)``: one derivative of all of them along all coordinates."""
    paths, n = y.shape
    along = torch.eye(n, dtype=y.dtype, device=y.device).repeat_interleave(paths, 0)
    point = y.repeat(n, 1)
    moved = directional(lambda z: drift(sde, t, z), point if space is None else constant(point, space), along)
    return value_of(moved).unflatten(0, (n, paths)).permute(1, 2, 0)


def _negative(factors: Tensor, pivots: Tensor) -> Tensor:
    """Whether the determinant of each factored matrix is negative."""
    swaps = pivots != torch.arange(1, pivots.shape[-1] + 1, device=pivots.device)
    return (swaps.sum(-1) + (factors.diagonal(dim1=-2, dim2=-1) < 0).sum(-1)) % 2 == 1


def _solved(factors: tuple[Tensor, Tensor], right: Tensor) -> Tensor:
    """The factors' equation solved for every coefficient of ``right`` ``(paths, n)``."""
    if not isinstance(right, Jet):
        return torch.linalg.lu_solve(*factors, right.unsqueeze(-1)).squeeze(-1)
    return Jet(torch.linalg.lu_solve(*factors, right.coefficients.permute(1, 2, 0)).permute(2, 0, 1), right.space)
