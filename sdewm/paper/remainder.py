"""The proof of Lemma B.7: the remainder ε³R^ε as a sum of θ_k, φ_k and σ_k, as printed and as it should be.

With y = ∂x, w = ∂²x and x̃ = x⁰ + εy + ½ε²w, summed over k = 0..m::

    θ = ∫ g_k(x^ε) − g_k(x̃) dB^k
    φ = ∫ g_k(x̃) − g_k(x⁰) − ε ∂g_k y − ½ε² ∂²g_k[y, y] − ½ε² ∂g_k w dB^k
    σ = ε ∫ η_k(x^ε) − η_k(x⁰) − ε ∂η_k y dB^k

and x^ε − x̃ = θ + φ + σ, which holds step by step on an Euler–Maruyama grid as well.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from sdewm.jets import Jet, JetSpace, Parameter
from sdewm.noise.grid import TimeGrid
from sdewm.noise.increments import Increments
from sdewm.sensitivity import along
from sdewm.solvers.loop import trajectory
from sdewm.systems.perturbed import PerturbedSDE
from sdewm.systems.sde import SDE, diffusion_product


def remainder_terms(
    family: PerturbedSDE, x0: Float[Tensor, " n"], grid: TimeGrid, *, noise: Increments, eps: float
) -> dict[str, Float[Tensor, " paths"]]:
    """sup_t ‖·‖² of each term, ``(paths,)``.

    "θ", "φ", "σ", "remainder" (x^ε − x̃) and "mismatch" (that less the sum of the three); "φ as printed", without the
    halves, and "σ as printed", without η_k(x^ε); "σ as printed, mended" has η_k(x^ε), and the printed 2ε ∂η_k y.
    """
    line = JetSpace(1, 2)
    base, error = family.base, family.error
    # One walk carries x⁰, y and ½w, the other x^ε.
    unperturbed = trajectory(family.at(Parameter(line, 0)), x0, grid, method="euler", noise=noise)
    perturbed = trajectory(family.at(eps), x0, grid, method="euler", noise=noise)
    increments = iter(noise)
    totals: dict[str, Tensor] = {}
    largest: dict[str, Tensor] = {}
    for (i, t, jet), (_, _, x_eps) in zip(unperturbed, perturbed, strict=True):
        x, y, half_w = _parts(jet, line)
        near = x + eps * y + eps**2 * half_w
        if i == 0:
            totals = dict.fromkeys(("θ", "φ", "σ", "φ as printed", "σ as printed", "σ as printed, mended"), 0 * x)
        found = {
            **totals,
            "remainder": x_eps - near,
            "mismatch": x_eps - near - sum(totals[k] for k in ("θ", "φ", "σ")),
        }
        for name, value in found.items():
            square = (value * value).sum(-1)
            largest[name] = torch.maximum(largest[name], square) if name in largest else square
        if i == grid.steps:
            break
        dB = next(increments)
        w = 2 * half_w
        g, g_y, g_w, g_yy = _along(base, t, grid.dt, x, dB, [y, w])
        g_eps, g_near = _step(base, t, grid.dt, x_eps, dB), _step(base, t, grid.dt, near, dB)
        # As printed x̃ has no half either.
        g_printed = _step(base, t, grid.dt, x + eps * y + eps**2 * w, dB)
        eta, eta_y, _, _ = _along(error, t, grid.dt, x, dB, [y, w])
        eta_eps = _step(error, t, grid.dt, x_eps, dB)
        steps = {
            "θ": g_eps - g_near,
            "φ": g_near - g - eps * g_y - 0.5 * eps**2 * (g_yy + g_w),
            "σ": eps * (eta_eps - eta - eps * eta_y),
            "φ as printed": g_printed - g - eps * g_y - eps**2 * (g_yy + g_w),
            "σ as printed": -eps * (eta + 2 * eps * eta_y),
            "σ as printed, mended": eps * (eta_eps - eta - 2 * eps * eta_y),
        }
        totals = {name: total + steps[name] for name, total in totals.items()}
    return largest


def _step(sde: SDE, t: Tensor, dt: float, x: Tensor, dB: Tensor) -> Tensor:
    """Σ_k g_k ΔB^k with the drift as k = 0."""
    return sde.f(t, x) * dt + diffusion_product(sde, t, x, dB)


def _along(sde: SDE, t: Tensor, dt: float, x: Tensor, dB: Tensor, directions: list[Tensor]) -> list[Tensor]:
    """The step at x, its derivatives along both directions, and the second one along the first direction."""
    value = _step(sde, t, dt, along(x, directions, order=2), dB)
    if not isinstance(value, Jet):
        return [value.expand_as(x), *[torch.zeros_like(x)] * 3]
    return [value.derivative(alpha).expand_as(x) for alpha in value.space.indices[:4]]


def _parts(x: Tensor, space: JetSpace) -> tuple[Tensor, Tensor, Tensor]:
    if not isinstance(x, Jet):
        return x, torch.zeros_like(x), torch.zeros_like(x)
    value, first, second = x.coefficients
    return value, first, second
