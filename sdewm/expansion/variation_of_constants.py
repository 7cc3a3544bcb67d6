"""Theorem 3.7 and Corollary 3.8 by the paper's own route: Φ, Φ⁻¹, ξ, ξ̃, H, equations (11)–(13) and (15)–(17).

The printed formulas and the corrected ones differ by a set of corrections, each of which can be made alone. Without
any correction the formulas are those of the paper, read literally. With all of them they are the variation of constants
of the proof, (a) and (b), split by the source of the error, and agree with :func:`sdewm.expand` as Δt → 0.

Stochastic integrals are discretized in Itô's sense: Euler–Maruyama for x and Φ, and integrands, with the inverse of Φ,
at the left end of each step.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from sdewm.jets import Jet
from sdewm.noise.grid import TimeGrid
from sdewm.noise.increments import Increments
from sdewm.sensitivity import along, step_jacobians
from sdewm.solvers.loop import trajectory
from sdewm.systems.losses import SummedLoss
from sdewm.systems.perturbed import PerturbedSDE
from sdewm.systems.sde import SDE, diffusion_matrix

Corrections = frozenset[str]

CORRECTIONS: dict[str, str] = {
    "E1": "½ before the second derivative of x: ½ε²Q, not ε²Q",
    "E3": "the drift's Jacobian belongs in Φ",
    "E4": "ξ has the Itô correction −Σ ∂g_k η_k ds",
    "E5": "H is built from Φξ, not from ξ",
    "E6": "the drift's Hessian (k = 0) belongs in Q",
    "E7": "Q has the term 2 ∂η_k y",
    "E8": "Q and Q̃ have the Itô correction −Σ ∂g_k F_k ds",
    "E9": "Q̃ has the cross and square terms of ξ̃, and ∂η",
    "E10": "S̃ has ½ (Φξ̃)ᵀ∇²L(Φξ̃)",
}
LITERAL: Corrections = frozenset()
CORRECTED: Corrections = frozenset(CORRECTIONS)

READINGS: dict[str, Corrections] = {
    "literal": LITERAL,
    "drift in Φ": frozenset({"E3"}),
    "drift in Φ, sums from k = 0": frozenset({"E3", "E6"}),
    "drift in Φ, sums from k = 0, Φξ in H": frozenset({"E3", "E5", "E6"}),
}
"""The literal reading of the printed formulas, and the most charitable ones that can be defended: (43) has the drift
in Φ, and the proof's sums start at k = 0 and apply the Hessian to ∂x = Φξ."""

TERMS = ("P", "Q", "S", "P~", "Q~", "S~")


@dataclass(frozen=True)
class _Derivatives:
    """The directional derivatives of the coefficients that one step of one variant needs.

    ``hessian_*`` are those of the coefficients along (ξ, ξ̃) or (Φξ, Φξ̃): value, two first and three second
    derivatives. ``error_*`` are those of the error along (Φξ, Φξ̃): value and two first derivatives. Diffusions are
    matrices ``(paths, n, m)``.
    """

    hessian_f: list[Tensor]
    hessian_g: list[Tensor]
    error_f: list[Tensor]
    error_g: list[Tensor]


class _Variant:
    """The integrals of one set of corrections, pulled back by Φ⁻¹: ξ, ξ̃, and those of Q and Q̃, ``(paths, n)``."""

    def __init__(self, corrections: Corrections, x: Tensor) -> None:
        self.corrections = corrections
        self.integrals = torch.zeros(*x.shape, 4, dtype=x.dtype, device=x.device)

    def directions(self, phi: Tensor) -> tuple[Tensor, Tensor]:
        """The directions for H and those for ∂η, each ``(paths, n, 2)``."""
        pulled = self.integrals[..., :2]
        y = phi @ pulled
        return (y if "E5" in self.corrections else pulled), y

    def increment(self, base: SDE, t: Tensor, dt: float, x: Tensor, dB: Tensor, d: _Derivatives) -> Tensor:
        """The increments of the four integrals in this step, before Φ⁻¹ is applied, ``(paths, n, 4)``."""
        has = self.corrections.__contains__

        def dot(g: Tensor) -> Tensor:
            return (g * dB.unsqueeze(-2)).sum(-1)

        error_f, error_f_a, error_f_b = d.error_f
        error_g, error_g_a, error_g_b = d.error_g
        f_aa, f_ab, f_bb = d.hessian_f[3:]
        g_aa, g_ab, g_bb = d.hessian_g[3:]

        d_xi = dot(error_g)
        if has("E4"):
            d_xi = d_xi - dt * _ito(base, t, x, error_g)

        forcing = g_aa
        if has("E7"):
            forcing = forcing + 2 * error_g_a
        d_q = dot(forcing)
        if has("E6"):
            d_q = d_q + dt * f_aa
        if has("E8"):
            d_q = d_q - dt * _ito(base, t, x, forcing)

        if has("E9"):
            forcing = g_ab + error_g_b + 0.5 * g_bb
            d_q_tilde = dot(forcing) + dt * (f_ab + error_f_a + 0.5 * f_bb + error_f_b)
            if has("E8"):
                d_q_tilde = d_q_tilde - dt * _ito(base, t, x, forcing)
        else:
            d_q_tilde = dt * f_aa
        return torch.stack([d_xi, dt * error_f, d_q, d_q_tilde], -1)

    def terms(self, loss: SummedLoss, t: Tensor, x: Tensor, phi: Tensor) -> dict[str, Tensor]:
        y_a, y_b, w, w_tilde = (phi @ self.integrals).unbind(-1)
        value, p, p_tilde, s, s_ab, s_bb = _derivatives(loss.at(t, along(x, [y_a, y_b], order=2)))
        _, q, q_tilde = _derivatives(loss.at(t, along(x, [w, w_tilde], order=1)))[:3]
        s_tilde = s_ab + 0.5 * s_bb if "E10" in self.corrections else s_ab
        return {"loss0": value, "P": p, "Q": q, "S": s, "P~": p_tilde, "Q~": q_tilde, "S~": s_tilde}


def formula_terms(
    family: PerturbedSDE,
    losses: Mapping[str, SummedLoss],
    x0: Float[Tensor, " n"],
    grid: TimeGrid,
    *,
    noise: Increments,
    variants: Mapping[str, Corrections],
) -> dict[tuple[str, str, str], Float[Tensor, " paths"]]:
    """The terms of the expansion per path, ``{(loss, variant, term): (paths,)}``, and "loss0".

    One simulation of the paths serves all losses and all variants. Keeps n × n matrices for each path. Raises
    ``ArithmeticError`` where a fundamental matrix is singular, as where 1 + Δt f′ = 0 in a step.
    """
    unknown = sorted({c for v in variants.values() for c in v} - set(CORRECTIONS))
    if unknown:
        raise ValueError(f"variants: expected corrections among {sorted(CORRECTIONS)}, got {unknown}")
    weights = {name: loss.on(grid) for name, loss in losses.items()}
    total: dict[tuple[str, str, str], Tensor] = {}
    increments = iter(noise)
    walk = trajectory(family.base, x0, grid, method="euler", noise=noise)
    dt = grid.dt
    phis: dict[bool, Tensor] = {}
    states: dict[str, _Variant] = {}
    for i, t, x in walk:
        if i == 0:
            identity = torch.eye(x.shape[-1], dtype=x.dtype, device=x.device).expand(len(x), -1, -1)
            phis = {"E3" in corrections: identity for corrections in variants.values()}
            states = {name: _Variant(corrections, x) for name, corrections in variants.items()}
        for loss_name, loss in losses.items():
            if i not in weights[loss_name]:
                continue
            for name, variant in states.items():
                phi = phis["E3" in variant.corrections]
                for term, value in variant.terms(loss, t, x, phi).items():
                    key = (loss_name, name, term)
                    total[key] = total.get(key, 0.0) + weights[loss_name][i] * value
        if i == grid.steps:
            break
        dB = next(increments)
        parts = dict(zip(states, _derivatives_of_all(family, t, x, list(states.values()), phis), strict=True))
        for with_drift, phi in phis.items():
            sharing = {name: v for name, v in states.items() if ("E3" in v.corrections) == with_drift}
            d = torch.cat([v.increment(family.base, t, dt, x, dB, parts[name]) for name, v in sharing.items()], -1)
            try:
                solved = torch.linalg.solve(phi, d)
            except torch.linalg.LinAlgError:  # a step that forgets where it came from, as 1 + Δt f′ = 0
                raise ArithmeticError(
                    f"grid: expected steps whose fundamental matrices can be inverted, and of {grid.steps} steps those "
                    f"up to t = {float(t):g} have a singular one. Take shorter steps, or another number of them"
                ) from None
            for v, pulled in zip(sharing.values(), solved.split(4, -1), strict=True):
                v.integrals = v.integrals + pulled
        drift, diffusion = step_jacobians(family.base, t, x, dB)
        phis = {
            with_drift: phi + (diffusion + dt * drift if with_drift else diffusion) @ phi
            for with_drift, phi in phis.items()
        }
    return total


def _derivatives_of_all(
    family: PerturbedSDE, t: Tensor, x: Tensor, variants: list[_Variant], phis: Mapping[bool, Tensor]
) -> list[_Derivatives]:
    """The derivatives that each variant needs. All variants are evaluated in one call, as additional paths."""
    pairs = [v.directions(phis["E3" in v.corrections]) for v in variants]
    of_h, of_eta = (torch.cat(list(directions)) for directions in zip(*pairs, strict=True))
    copies = x.repeat(len(variants), 1)
    curved = along(copies, list(of_h.unbind(-1)), order=2)
    straight = along(copies, list(of_eta.unbind(-1)), order=1)
    values = (
        _derivatives(family.base.f(t, curved)),
        _derivatives(diffusion_matrix(family.base, t, curved)),
        _derivatives(family.error.f(t, straight))[:3],
        _derivatives(diffusion_matrix(family.error, t, straight))[:3],
    )
    split = [[list(d.expand(len(copies), *d.shape[1:]).split(len(x))) for d in value] for value in values]
    return [_Derivatives(*([d[i] for d in value] for value in split)) for i in range(len(variants))]


def _derivatives(value: Tensor) -> list[Tensor]:
    """Value, first and second partial derivatives in the space's order; zeros where nothing depends on x."""
    if isinstance(value, Jet):
        return [value.derivative(alpha) for alpha in value.space.indices]
    return [value, *[torch.zeros_like(value)] * 5]


def _ito(sde: SDE, t: Tensor, x: Tensor, columns: Tensor) -> Tensor:
    """Σ_{k≥1} ∂g_k v_k for the columns v_k of ``(paths, n, m)``."""
    channels = columns.shape[-1]
    g = diffusion_matrix(sde, t, along(x, list(columns.unbind(-1)), order=1))
    if not isinstance(g, Jet):
        return torch.zeros_like(x)
    return sum((g.coefficients[1 + k][..., k] for k in range(channels)), torch.zeros_like(x))
