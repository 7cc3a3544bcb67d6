"""Derivatives of a solution in its initial value, and of one step in its state."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from sdewm.jets import Jet, JetSpace
from sdewm.noise import Increments, TimeGrid
from sdewm.sde import SDE, diffusion_product
from sdewm.solvers import Method, solve


def along(x: Tensor, directions: Sequence[Tensor], order: int) -> Jet:
    """x + Σ_i p_i v_i, a jet in as many parameters as there are directions ``(paths, n)``."""
    space = JetSpace(len(directions), order)
    coefficients = x.new_zeros(len(space), *x.shape)
    coefficients[0] = x
    for i, direction in enumerate(directions):
        coefficients[1 + i] = direction
    return Jet(coefficients, space)


def fundamental_matrix(
    sde: SDE, x0: Tensor, grid: TimeGrid, *, method: Method = "euler", noise: Increments | Tensor
) -> Tensor:
    """Φ(t1), ``(paths, n, n)``: column j is the derivative of the solution in the initial value's coordinate j.

    Solves dΦ = ∂g_k Φ dB^k, Φ(0) = I, with the drift as k = 0, equations (43)–(44), by differentiating the solver's
    steps; on the grid this is exact. Arguments and errors are those of :func:`sdewm.solve`.
    """
    n = x0.shape[-1]
    paths = noise.shape[1] if isinstance(noise, Tensor) else noise.paths
    start = x0.expand(paths, n)
    identity = torch.eye(n, dtype=x0.dtype, device=x0.device)
    x = solve(sde, along(start, [e.expand(paths, n) for e in identity], order=1), grid, method=method, noise=noise)
    return first_derivatives(x)


def step_jacobians(sde: SDE, t: Tensor, x: Tensor, dB: Tensor) -> tuple[Tensor, Tensor]:
    """∂f and Σ_k ∂g_k dB^k at states ``(paths, n)``, each ``(paths, n, n)``."""
    identity = torch.eye(x.shape[-1], dtype=x.dtype, device=x.device)
    jet = along(x, [e.expand(x.shape) for e in identity], order=1)
    return tuple(first_derivatives(v, like=x) for v in (sde.f(t, jet), diffusion_product(sde, t, jet, dB)))  # type: ignore[return-value]


def first_derivatives(value: Tensor, like: Tensor | None = None) -> Tensor:
    """The first derivatives of a jet ``(paths, n)`` as a matrix ``(paths, n, parameters)``."""
    if isinstance(value, Jet):
        return value.coefficients[1 : 1 + value.space.parameters].movedim(0, -1)
    assert like is not None
    return value.new_zeros(*like.shape, like.shape[-1])
