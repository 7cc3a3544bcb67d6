"""Derivatives of a solution in its initial value, by differentiating the solver's own steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor

from sdewm import arguments
from sdewm.jets import Jet
from sdewm.noise.drawn import Drawn, given_or_drawn
from sdewm.noise.grid import TimeGrid
from sdewm.noise.increments import Increments
from sdewm.sensitivity.steps import along, first_derivatives
from sdewm.solvers.methods import Method
from sdewm.solvers.solve import solve
from sdewm.systems.perturbed import Magnitude, PerturbedSDE
from sdewm.systems.sde import SDE, FunctionSDE, diffusion_product, noise_channels


def fundamental_matrix(
    sde: SDE,
    x0: Float[Tensor, "*paths n"],
    grid: TimeGrid,
    *,
    method: Method = "euler",
    paths: int | None = None,
    seed: int = 0,
    noise: Increments | Float[Tensor, "steps paths channels"] | None = None,
) -> Float[Tensor, "paths n n"]:
    """Φ(t1), ``(paths, n, n)``: column j is the derivative of the solution in the initial value's coordinate j.

    Solves dΦ = ∂g_k Φ dB^k, Φ(0) = I, with the drift as k = 0, equations (43)–(44), by differentiating the solver's
    steps; on the grid this is exact. Arguments and errors are those of :func:`sdewm.solve`.

    >>> fundamental_matrix(gbm, x0, grid, paths=16).shape
    torch.Size([16, 1, 1])
    """
    return first_derivatives(_solve_along(sde, x0, grid, None, 1, method, given_or_drawn(noise, paths, seed)))


@dataclass(frozen=True)
class InitialValueDerivatives:
    """x ``(paths, n)``, ∂x[v_i] ``(paths, n, d)`` and ∂²x[v_i, v_j] ``(paths, n, d, d)`` for d directions v_i."""

    x: Float[Tensor, "paths n"]
    first: Float[Tensor, "paths n directions"]
    second: Float[Tensor, "paths n directions directions"]


def initial_value_derivatives(
    sde: SDE,
    x0: Float[Tensor, "*paths n"],
    grid: TimeGrid,
    *,
    method: Method = "euler",
    paths: int | None = None,
    seed: int = 0,
    noise: Increments | Float[Tensor, "steps paths channels"] | None = None,
    directions: Float[Tensor, "directions n"] | None = None,
) -> InitialValueDerivatives:
    """∂_i x and ∂²_ij x of (54) at the final time, exact on the grid.

    Parameters
    ----------
    directions : ``(d, n)``; by default the n unit vectors, which gives all derivatives. The work is that of
        (d+1)(d+2)/2 plain solutions, so one or two directions are for large systems.

    The other arguments and errors are those of :func:`sdewm.solve`.

    >>> u, v = torch.eye(3, dtype=torch.float64)[:2]
    >>> found = initial_value_derivatives(gbm, torch.ones(3), grid, paths=1000, directions=torch.stack([u, v]))
    >>> found.second[:, :, 0, 1].shape  # ∂²x[u, v]
    torch.Size([1000, 3])
    """
    x0, drawn = arguments.state(x0, many=True), given_or_drawn(noise, paths, seed)
    if directions is not None:
        directions = arguments.tensor("directions", directions).to(x0)
        if directions.ndim != 2 or directions.shape[-1] != x0.shape[-1] or not len(directions):
            raise ValueError(f"directions: expected shape (d, {x0.shape[-1]}), got {tuple(directions.shape)}")
    x = _solve_along(sde, x0, grid, directions, 2, method, drawn)
    d = x.space.parameters
    unit = torch.eye(d, dtype=torch.int64)
    second = [[x.derivative(tuple((unit[i] + unit[j]).tolist())) for j in range(d)] for i in range(d)]
    return InitialValueDerivatives(
        x.value, first_derivatives(x), torch.stack([torch.stack(row, -1) for row in second], -2)
    )


class ShiftedStart(PerturbedSDE):
    """An initial value x0 + ε u as a perturbed system with a fixed one: the system of X = x^ε − ε u.

    Beyond the first, the ε-derivatives of X are those of x^ε, so that :func:`sdewm.expansion.taylor.taylor_tests`
    holds (54) to its rate. Both magnitudes are the shift's. ``u`` ``(n,)``.
    """

    def __init__(self, sde: SDE, u: Float[Tensor, " n"]) -> None:
        super().__init__(sde, FunctionSDE())
        self.u = arguments.tensor("u", u)
        if self.u.ndim != 1 or not len(self.u):
            raise ValueError(f"u: expected shape (n,), got {tuple(self.u.shape)}")

    def at(self, eps: Magnitude, eps_drift: Magnitude | None = None) -> SDE:
        return _Shifted(self.base, eps * self.u)


class _Shifted:
    """Coefficients at X + shift."""

    def __init__(self, sde: SDE, shift: Tensor) -> None:
        self.sde, self.shift = sde, shift
        self.sde_type, self.noise_type = sde.sde_type, sde.noise_type

    def f(self, t: Tensor, x: Tensor) -> Tensor:
        return self.sde.f(t, x + self.shift)

    def g(self, t: Tensor, x: Tensor) -> Tensor:
        return self.sde.g(t, x + self.shift)

    def g_prod(self, t: Tensor, x: Tensor, dB: Tensor) -> Tensor:
        return diffusion_product(self.sde, t, x + self.shift, dB)

    def noise_channels(self, t: Tensor, x: Tensor) -> int:
        return noise_channels(self.sde, t, x)


def _solve_along(
    sde: SDE,
    x0: Tensor,
    grid: TimeGrid,
    directions: Tensor | None,
    order: int,
    method: Method,
    noise: Increments | Drawn,
) -> Jet:
    x0 = arguments.state(x0, many=True)
    paths, n = noise.paths, x0.shape[-1]
    if x0.ndim == 2 and len(x0) != paths:
        raise ValueError(f"x0: expected {paths} states, as the noise has paths, got {len(x0)}")
    start = x0.expand(paths, n)
    vectors = torch.eye(n, dtype=x0.dtype, device=x0.device) if directions is None else directions
    jet = along(start, [v.expand(paths, n) for v in vectors], order)
    return cast(Jet, solve(sde, jet, grid, method=method, noise=noise))
