"""The fundamental matrix as one exponential, (45): where the Jacobians commute, and how far off it is elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from sdewm import arguments
from sdewm.jets import Jet, value_of
from sdewm.noise.grid import TimeGrid
from sdewm.noise.increments import Increments, as_increments
from sdewm.sensitivity.steps import jacobian
from sdewm.solvers.loop import IncrementsWithAreas, walk
from sdewm.solvers.methods import Method
from sdewm.systems.sde import SDE, check_protocol, diffusion_matrix

TIMES = 6
PATHS = 16


class DoNotCommute(ValueError):
    """The Jacobians along the paths do not commute, so that (45) has no ground to stand on.

    ``commutator`` is the largest ‖AB − BA‖ met, in Frobenius' norm, ``relative`` the largest ‖AB − BA‖/(‖A‖ ‖B‖).
    """

    def __init__(self, commutator: float, relative: float) -> None:
        super().__init__(
            f"sde: expected Jacobians that commute with each other and with themselves at other times, got "
            f"‖AB − BA‖ up to {commutator:.3g}, {relative:.3g} of ‖A‖ ‖B‖. Use sdewm.fundamental_matrix, which asks "
            "for nothing of the kind."
        )
        self.commutator, self.relative = commutator, relative


def jacobians_along(
    sde: SDE, x0: Float[Tensor, "*paths n"], grid: TimeGrid, *, noise: Increments, method: Method = "euler"
) -> Iterator[tuple[Float[Tensor, "paths channels+1"], Float[Tensor, "paths channels+1 n n"]]]:
    """(ΔB, A) for each step: increments ``(paths, m + 1)``, the first one Δt, and ∂g_0, …, ∂g_m at the step's left end,
    ``(paths, m + 1, n, n)``."""
    noise = as_increments(noise)
    steps = walk(sde, x0, grid, method=method, noise=noise)
    for dB, (_, t, x) in zip(noise, steps, strict=False):
        x = x.value if isinstance(x, Jet) else x
        drift = jacobian(partial(sde.f, t), x)
        diffusion = jacobian(partial(diffusion_matrix, sde, t), x)
        yield (
            torch.cat([torch.full_like(dB[:, :1], grid.dt), dB], 1),
            torch.cat([drift.unsqueeze(1), diffusion.movedim(2, 1)], 1),
        )


def flow_exponent(
    sde: SDE, x0: Float[Tensor, "*paths n"], grid: TimeGrid, *, noise: Increments, method: Method = "euler"
) -> Float[Tensor, "paths n n"]:
    """∫∂g_k dB^k − ½ ∫Σ_{k≥1} (∂g_k)² ds with the drift as k = 0, ``(paths, n, n)``: (45)'s exponent as it should be.

    The integrals are sums over the grid with the integrand at the left end. Itô SDEs only. ``method`` makes the steps
    of x.
    """
    check_protocol("sde", sde)
    x0, noise = arguments.state(x0, many=True), as_increments(noise)
    if sde.sde_type != "ito":
        raise ValueError(f"sde.sde_type: expected 'ito', got {sde.sde_type!r}")
    total = value_of(x0).new_zeros(())
    for dB, slopes in jacobians_along(sde, x0, grid, noise=noise, method=method):
        noisy = slopes[:, 1:]
        total = total + torch.einsum("pk,pkij->pij", dB, slopes) - 0.5 * grid.dt * (noisy @ noisy).sum(1)
    return total


def commuting_flow(
    sde: SDE, x0: Float[Tensor, "*paths n"], grid: TimeGrid, *, noise: Increments, method: Method = "euler"
) -> Float[Tensor, "paths n n"]:
    """Φ(t1) = exp(∫∂g_k dB^k − ½ ∫Σ_{k≥1} (∂g_k)² ds), ``(paths, n, n)``: (45) corrected, E11.

    Holds where ∂g_i(x_s, s) and ∂g_j(x_t, t) commute for all i, j from 0 to m and all times s, t, which is measured at
    a few times of a few paths. Raises :class:`DoNotCommute`, with the size of the commutator, where they do not.
    """
    x0 = arguments.state(x0, many=True)
    absolute, relative = commutators(sde, x0, grid, noise=noise, method=method)
    if relative > torch.finfo(x0.dtype).eps ** 0.75:
        raise DoNotCommute(absolute, relative)
    return torch.linalg.matrix_exp(flow_exponent(sde, x0, grid, noise=noise, method=method))


def commutators(
    sde: SDE, x0: Float[Tensor, "*paths n"], grid: TimeGrid, *, noise: Increments, method: Method = "euler"
) -> tuple[float, float]:
    """The largest ‖AB − BA‖ and the largest ‖AB − BA‖/(‖A‖ ‖B‖), in Frobenius' norm.

    Over the Jacobians of drift and diffusion at six times of the grid, on sixteen paths.
    """
    arguments.instance("grid", grid, TimeGrid, "a TimeGrid(t0, t1, steps)")
    every = max(1, grid.steps // TIMES)
    steps = enumerate(jacobians_along(sde, x0, grid, noise=noise, method=method))
    met = torch.cat([slopes[:PATHS] for i, (_, slopes) in steps if i % every == 0], 1)
    left, right = met.unsqueeze(2), met.unsqueeze(1)
    sizes = torch.linalg.matrix_norm(left @ right - right @ left)
    norms = torch.linalg.matrix_norm(left) * torch.linalg.matrix_norm(right)
    relative = torch.where(norms > 0, sizes / norms.clamp_min(1e-300), 0.0)
    return float(sizes.max()), float(relative.max())


def commutator_term(
    sde: SDE, x0: Float[Tensor, "*paths n"], grid: TimeGrid, *, noise: Increments, method: Method = "euler"
) -> Float[Tensor, "paths n n"]:
    """½ Σ_kl ∫∫_{s<t} [∂g_k(t), ∂g_l(s)] dB^l_s dB^k_t, k, l from 0 to m, ``(paths, n, n)``.

    What log Φ has beyond (45)'s exponent, to second order in the size of the Jacobians (Magnus 1954): zero where they
    commute, and else the leading part of the gap. Within a step it takes the noise's Lévy area, where that has one.
    """
    x0, noise = arguments.state(x0, many=True), as_increments(noise)
    areas = noise.areas() if isinstance(noise, IncrementsWithAreas) else None
    before: Tensor | float = 0.0
    total = value_of(x0).new_zeros(())
    for dB, slopes in jacobians_along(sde, x0, grid, noise=noise, method=method):
        now = torch.einsum("pk,pkij->pij", dB, slopes)
        total = total + 0.5 * (now @ before - before @ now) if isinstance(before, Tensor) else total
        if areas is not None:
            # Σ_kl [A_k, A_l] a_lk = −2 Σ_kl a_kl A_k A_l, a being antisymmetric.
            noisy = slopes[:, 1:]
            weighted = torch.einsum("pkl,plij->pkij", next(areas)[1].to(noisy), noisy)
            total = total - (noisy @ weighted).sum(1)
        before = before + now
    return total
