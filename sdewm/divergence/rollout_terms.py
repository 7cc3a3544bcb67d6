"""Theorem 4.1 and C.1: the Jacobian and Hessian terms of a rollout, and the bound as printed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from sdewm.jets import Jet
from sdewm.noise.grid import TimeGrid
from sdewm.noise.increments import Increments
from sdewm.sensitivity import along
from sdewm.sensitivity.derivatives import derivatives
from sdewm.solvers.loop import walk
from sdewm.solvers.methods import Method
from sdewm.systems.latent import LatentSDE
from sdewm.systems.rollout import LatentRollout

JACOBIANS = ("F_h", "F_z", "P_h", "P̄_h")
COMPOSED = ("F_hh", "F_hz", "F_zh", "F_zz")
HESSIANS = (*COMPOSED, "P_hh", "P̄_hh")
Terms = Mapping[str, float]


def jacobian_terms(rollout: LatentRollout, x: Float[Tensor, "paths rollout"]) -> dict[str, Float[Tensor, " paths"]]:
    """What stands inside E sup_t of F_h, F_z, P_h and P̄_h of Theorem C.1: squared Frobenius norms, ``(paths,)``.

    ``x`` is ``(paths, h + z̃)``. f and p are the drifts of (19), so that a leak is a part of them; where there is one,
    P_h is the Jacobian of z̃'s drift in both blocks, for the theorem has no term for the leak of z̃.
    """
    model, zero = rollout.model, x.new_zeros(())
    n = x.shape[-1]
    jet = along(x, [e.expand(x.shape) for e in torch.eye(n, dtype=x.dtype, device=x.device)], order=1)
    f, p = (rollout.f_stage(stage, zero, jet) for stage in (0, 1))
    bar = None if model.p_bar is None else model.p_bar(jet[..., rollout.h])
    f_x = _first(f, x)
    return {
        "F_h": _squared(f_x[..., rollout.h]),
        "F_z": _squared(f_x[..., rollout.z_tilde]),
        "P_h": _squared(_first(p, x)),
        "P̄_h": _squared(_first(bar, x)) if isinstance(bar, Jet) else x.new_zeros(len(x)),
    }


def composed_hessians(
    model: LatentSDE, h: Float[Tensor, "paths h"], z: Float[Tensor, "paths z_tilde"]
) -> dict[str, dict[str, Float[Tensor, "paths _ _ _"]]]:
    """The second derivatives of (h, z̃) ↦ f(h, z̃, π(h, z̃)) in the blocks hh, hz, zh, zz, by three routes.

    ``{"printed" | "corrected" | "direct": {"F_hh": (paths, h, h, h), "F_hz": (paths, h, h, z̃), …}}``; in "F_zh" the z̃
    axis comes first.

    - printed: as in Theorem C.1, ∂²_uv f + (∂²f/∂·∂a) ∂π + ∂_a f ∂²_uv π with a single mixed term;
    - corrected: the chain rule, which has both mixed terms and ∂²_aa f [∂_u π, ∂_v π];
    - direct: the composed map differentiated as one function, which shares no formula with the other two.
    """
    nh, nz = h.shape[-1], z.shape[-1]
    inner, x = torch.cat([h, z, model.policy(h, z)], -1), torch.cat([h, z], -1)
    h_, z_, a_ = slice(0, nh), slice(nh, nh + nz), slice(nh + nz, None)
    f_x, f_xx = derivatives(lambda y: model.f_seq(y[..., h_], y[..., z_], y[..., a_]), inner)
    pi_x, pi_xx = derivatives(lambda y: model.policy(y[..., h_], y[..., z_]), x)

    def composed(y: Tensor) -> Tensor:
        return model.f_seq(y[..., h_], y[..., z_], model.policy(y[..., h_], y[..., z_]))

    _, whole = derivatives(composed, x)
    blocks = {"F_hh": (h_, h_), "F_hz": (h_, z_), "F_zh": (z_, h_), "F_zz": (z_, z_)}
    out: dict[str, dict[str, Tensor]] = {"printed": {}, "corrected": {}, "direct": {}}
    for name, (u, v) in blocks.items():
        own = f_xx[..., u, v]
        through_policy = torch.einsum("pka,paij->pkij", f_x[..., a_], pi_xx[..., u, v])
        right = torch.einsum("pkia,paj->pkij", f_xx[..., u, a_], pi_x[..., v])  # ∂²_ua f ∂_v π
        left = torch.einsum("paj,pkai->pkji", pi_x[..., u], f_xx[..., a_, v])  # ∂²_va f ∂_u π
        both = torch.einsum("pai,pkab,pbj->pkij", pi_x[..., u], f_xx[..., a_, a_], pi_x[..., v])
        # C.1 has ∂²f/∂z∂a ∂_h ρ in F_hz and ∂²f/∂h∂a ∂_z ρ in F_zh; with u = v the two mixed terms are alike.
        mixed = {"F_hz": left, "F_zh": left}.get(name, right)
        out["printed"][name] = own + mixed + through_policy
        out["corrected"][name] = own + left + right + both + through_policy
        out["direct"][name] = whole[..., u, v]
    return out


def hessian_terms(rollout: LatentRollout, x: Float[Tensor, "paths rollout"]) -> dict[str, Float[Tensor, " paths"]]:
    """What stands inside E sup_t of the second-order terms of C.1 at ``x`` ``(paths, h + z̃)``, each ``(paths,)``.

    ``"F_hh printed"`` and its like are as printed, ``"F_hh"`` is the composed map's own second derivative, and
    ``"F_hh missing"`` their difference, all as squared Frobenius norms; P_hh and P̄_hh are right as printed.
    """
    h, z, model = x[..., rollout.h], x[..., rollout.z_tilde], rollout.model
    routes = composed_hessians(model, h, z)
    terms: dict[str, Tensor] = {}
    for name in COMPOSED:
        terms[name] = _squared(routes["direct"][name])
        terms[f"{name} printed"] = _squared(routes["printed"][name])
        terms[f"{name} missing"] = _squared(routes["printed"][name] - routes["direct"][name])
        terms[f"{name} corrected missing"] = _squared(routes["corrected"][name] - routes["direct"][name])
    terms["P_hh"] = _squared(derivatives(model.p, h)[1])
    terms["P̄_hh"] = h.new_zeros(len(h)) if model.p_bar is None else _squared(derivatives(model.p_bar, h)[1])
    return terms


def suprema(
    terms: Callable[[Float[Tensor, "paths rollout"]], Mapping[str, Float[Tensor, " paths"]]],
    rollout: LatentRollout,
    x0: Float[Tensor, " rollout"],
    grid: TimeGrid,
    *,
    method: Method = "euler",
    noise: Increments,
    every: int = 1,
) -> dict[str, Float[Tensor, " paths"]]:
    """sup over the grid's times (each ``every``-th step) of each term along unperturbed rollouts, ``(paths,)`` each."""
    found: dict[str, Tensor] = {}
    for x in _states(rollout, x0, grid, method, noise, every):
        for name, value in terms(x).items():
            found[name] = torch.maximum(found[name], value) if name in found else value
    return found


def log_printed_bound(delta: float, constant: float, terms: Terms) -> float:
    """The logarithm of the right-hand side of (46) without O(δ³), for one value of its constant C.

    ``terms`` are the E sup_t without their factor C, by the names in :data:`JACOBIANS` and :data:`HESSIANS`. The
    logarithm, since the printed bound is an exponential of an exponential.
    """
    c = constant
    log_j0, log_j1 = c * (terms["F_h"] + terms["F_z"] + terms["P_h"]), c * terms["P̄_h"]
    j = _exp(log_j0) + _exp(log_j1)
    h0, h1 = c * sum(terms[name] for name in (*COMPOSED, "P_hh")), c * terms["P̄_hh"]
    scale = math.log(delta * c)
    parts = [scale + _log_add(log_j0, log_j1), *(scale + math.log(delta) + _times(h, j) for h in (h0, h1))]
    return _log_add(_log_add(parts[0], parts[1]), parts[2])


def smallest_constant(d: float, delta: float, terms: Terms) -> float:
    """The smallest C for which the printed (46), without O(δ³), holds: its right-hand side grows with C."""
    return smallest(lambda c: log_printed_bound(delta, c, terms) >= math.log(d))


def smallest(holds: Callable[[float], bool]) -> float:
    """The smallest C > 0 at which something holds that holds for all larger ones, by bisection of log C."""
    low, high = -60.0, 60.0
    for _ in range(200):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if holds(math.exp(middle)) else (middle, high)
    return math.exp(high)


def _states(
    rollout: LatentRollout, x0: Tensor, grid: TimeGrid, method: Method, noise: Increments, every: int
) -> Iterator[Tensor]:
    for i, _, x in walk(rollout, x0, grid, method=method, noise=noise):
        if i % every == 0 or i == grid.steps:
            yield x


def _first(value: Tensor, x: Tensor) -> Tensor:
    assert isinstance(value, Jet)
    return value.coefficients[1 : 1 + x.shape[-1]].movedim(0, -1)


def _squared(tensor: Tensor) -> Tensor:
    return tensor.flatten(1).square().sum(-1)


def _exp(x: float) -> float:
    return math.exp(x) if x < 700 else math.inf


def _times(a: float, b: float) -> float:
    return 0.0 if a == 0 else a * b


def _log_add(a: float, b: float) -> float:
    top = max(a, b)
    return top if math.isinf(top) else top + math.log(math.exp(a - top) + math.exp(b - top))
