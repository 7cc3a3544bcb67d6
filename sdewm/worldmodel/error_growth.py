"""How errors grow along rollouts of a world model: as measured, and what its Jacobians bound.

All in the model's own step (Δt = 1) but for the flow of :func:`flow_contraction`. Rollouts are those of (19), with
the action a = π(h, z̃), from filtered states of recorded episodes. After the first step z̃ = p(h) + p̄(h) ξ, so that (19)
is a chain in h alone: with A = ∂_h f + ∂_z f ∂p and B = ∂_z f, the Jacobian of a step is K(ξ) = A + B diag(ξ) ∂p̄, and

    E[ KᵀK | h ] = AᵀA + ∂p̄ᵀ diag(|B_j|²) ∂p̄,        ρ = its largest eigenvalue.

An infinitesimal error y in h therefore grows in mean square by ρ a step at most: E[ |y_N|² / Π ρ_n ] ≤ E |y_1|², the
product over n = 1 … N − 1. It is the step's counterpart of a one-sided Lipschitz constant of drift and diffusion.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from sdewm.jets.forward_mode import load_forward_mode
from sdewm.worldmodel.jacobian import exact_jacobian, logarithmic_norm
from sdewm.worldmodel.latent_rollout import HORIZON, Dynamics, Latent, closed_loop, normal, repeated, rollout

PATHS = 32  # noises for each start
JACOBIAN_PATHS = 8  # of those, how many the Jacobians are taken along
FLOW_PATHS, SUBSTEPS = 2, 4  # the same for the flow, and its steps for each of the model's
ERROR = 0.5  # size of an error, in the latent's own spread


@torch.no_grad()
def rollout_divergence(
    model: Dynamics, start: Latent, spread: Float[Tensor, " z"], generator: torch.Generator
) -> dict[str, float]:
    """Rollouts from z̃ + ε against those from z̃, on common noise; ε normal, :data:`ERROR` of the latent's spread.

    ``divergence`` is d_ε / E|ε|² of Theorem 4.1, E sup_t (|h^ε − h⁰|² + |z̃^ε − z̃⁰|²) over E|ε|²; it counts t = 0, so
    is at least 1. ``divergence_h`` leaves z̃ out, and with it the start. ``response_h`` is the latter's E sup_t |h^ε −
    h⁰|² as it is, in the units of h, which lies in (−1, 1) in every model. ``growth_N``: root mean square of the
    whole difference after N steps, over that of ε.
    """
    start = repeated(start, PATHS)
    noise = normal(generator, HORIZON, *start.z.shape, like=start.z)
    error = ERROR * spread * normal(generator, *start.z.shape, like=start.z)
    base, perturbed = rollout(model, start, noise), rollout(model, Latent(start.h, start.z + error), noise)
    dh = (perturbed.h - base.h).square().sum(-1)
    whole = dh + (perturbed.z - base.z).square().sum(-1)
    size = error.square().sum(-1).mean()
    response = dh.amax(0).mean()
    return {
        "divergence": float(whole.amax(0).mean() / size),
        "divergence_h": float(response / size),
        "response_h": float(response),
        **{f"growth_{n}": float((whole[n].mean() / size).sqrt()) for n in (1, 5, 15)},
    }


def jacobian_statistics(
    model: Dynamics, start: Latent, spread: Float[Tensor, " z"], generator: torch.Generator
) -> dict[str, float]:
    """Jacobians along rollouts, and the fundamental matrix Φ that they make.

    - ``map_h``, ``drift_h``, ``map_z``: mean Frobenius norms of ∂_h f, ∂_h f − I and ∂_z f, the action being π(h, z̃);
      ``penalized``: that of (∂_h f, ∂_z f) at a given action, which the penalty of (20) is on; ``sup_…``: E sup_t of
      them, Theorem 4.1's 𝓕_h (as a map and as a drift) and 𝓕_z; ``sup_p``, ``sup_p_bar``: 𝓟_h and 𝓟̄_h; ``log_j0``,
      ``log_j0_map``: 𝓕_h + 𝓕_z + 𝓟_h with either 𝓕_h.
    - ``map_z_spread``: mean norm of ∂_z f D, D the latent's spread: the response to an error in the latent's units.
    - ``mu_h``: mean logarithmic norm μ₂ of the drift's Jacobian in h; ``log_sigma_h``: mean log σ_max of the map's.
    - ``sup_phi``, ``final_phi``: E sup_t ‖Φ_t‖_F² and E ‖Φ_N‖_F² of (19).
    - ``log_rho``: mean of ½ log ρ of this module's bound. ``log_growth``: ½ mean log( |y_N|² / |y_1|² ) / (N − 1) for
      an infinitesimal error ε in z̃, in the mean square over its direction. ``bound_used``: the largest over starts of
      the mean over noises of |y_N|² / (|y_1|² Π ρ_n), whose expectation is at most 1.
    - ``map_log_growth`` and ``map_bound``: log ‖Ψ_N‖₂ / N, Ψ the product of the ∂_h f, and the mean of log σ_max, at
      least that; ``map_excess``: the most by which the former passes the latter on any path.
    """
    start = repeated(start, JACOBIAN_PATHS)
    noise = normal(generator, HORIZON, *start.z.shape, like=start.z)
    with torch.no_grad():
        path = rollout(model, start, noise)
    steps, paths, deter = HORIZON, len(start.h), start.h.shape[-1]
    h, z, later = path.h[:-1].flatten(0, 1), path.z[:-1].flatten(0, 1), path.h[1:].flatten(0, 1)
    step = exact_jacobian(lambda h, z: closed_loop(model, h, z), (h, z), (0, 1))
    at_given_action = exact_jacobian(model.sequence, (h, z, model.policy(h, z)), (0, 1))
    p = exact_jacobian(lambda h: model.prior(h).mean, (later,), (0,))
    p_bar = exact_jacobian(lambda h: model.prior(h).std, (later,), (0,))
    in_h, in_z = step[..., :deter], step[..., deter:]
    identity = torch.eye(deter, dtype=h.dtype)
    frobenius = {
        "map_h": in_h,
        "drift_h": in_h - identity,
        "map_z": in_z,
        "p": p,
        "p_bar": p_bar,
        "map_z_spread": in_z * spread,
        "penalized": at_given_action,
    }
    norms = {name: torch.linalg.matrix_norm(m).view(steps, paths) for name, m in frobenius.items()}
    sup = {name: float(norm.amax(0).mean()) for name, norm in norms.items()}
    log_sigma = torch.linalg.matrix_norm(in_h, 2).log().view(steps, paths)
    moves = torch.cat([step, (p + noise.flatten(0, 1).unsqueeze(-1) * p_bar) @ step], -2)

    n = moves.shape[-1]
    phi = torch.eye(n, dtype=h.dtype).expand(paths, n, n)
    psi = identity.expand(paths, deter, deter)
    squares = [phi.square().sum((-2, -1))]
    for move, turn in zip(moves.view(steps, paths, n, n), in_h.view(steps, paths, deter, deter), strict=True):
        phi, psi = move @ phi, turn @ psi
        squares.append(phi.square().sum((-2, -1)))
    grown = (phi[..., :deter, deter:].square().sum((-2, -1)) / in_z[:paths].square().sum((-2, -1))).log()
    # p and p̄ at step n's end are where step n + 1 starts.
    log_rho = mean_square_growth(in_h[paths:], in_z[paths:], p[:-paths], p_bar[:-paths]).log().view(steps - 1, paths)
    used = (grown - log_rho.sum(0)).exp().view(-1, JACOBIAN_PATHS).mean(1)
    map_growth = torch.linalg.matrix_norm(psi, 2).log()
    return {
        **{name: float(norms[name].mean()) for name in ("map_h", "drift_h", "map_z", "map_z_spread", "penalized")},
        **{f"sup_{name}": sup[name] for name in ("map_h", "drift_h", "map_z", "p", "p_bar")},
        "log_j0": sup["drift_h"] + sup["map_z"] + sup["p"],
        "log_j0_map": sup["map_h"] + sup["map_z"] + sup["p"],
        "mu_h": float(logarithmic_norm(in_h - identity).mean()),
        "log_sigma_h": float(log_sigma.mean()),
        "sup_phi": float(torch.stack(squares).amax(0).mean()),
        "final_phi": float(squares[-1].mean()),
        "log_rho": float(0.5 * log_rho.mean()),
        "log_growth": float(0.5 * grown.mean() / (steps - 1)),
        "bound_used": float(used.max()),
        "map_log_growth": float(map_growth.mean() / steps),
        "map_bound": float(log_sigma.mean()),
        "map_excess": float((map_growth - log_sigma.sum(0)).max() / steps),
    }


@torch.no_grad()
def final_phi(model: Dynamics, start: Latent, generator: torch.Generator) -> float:
    """E ‖Φ_N‖_F² of (19) at N = :data:`HORIZON`, by random directions: E |Φ_N v|² with E vvᵀ = I.

    One forward derivative for each of :data:`PATHS` noises from each start; :func:`jacobian_statistics` has all of Φ.
    """
    start = repeated(start, PATHS)
    noise = normal(generator, HORIZON, *start.z.shape, like=start.z)
    direction = tuple(normal(generator, *part.shape, like=part) for part in start)

    def end(h: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        path = rollout(model, Latent(h, z), noise)
        return path.h[-1], path.z[-1]

    load_forward_mode()
    dh, dz = torch.func.jvp(end, tuple(start), direction)[1]
    return float((dh.square().sum(-1) + dz.square().sum(-1)).mean())


def mean_square_growth(
    in_h: Float[Tensor, "... h h"],
    in_z: Float[Tensor, "... h z"],
    p: Float[Tensor, "... z h"],
    p_bar: Float[Tensor, "... z h"],
) -> Float[Tensor, "..."]:
    """ρ of this module's docstring from ∂_h f, ∂_z f, ∂p and ∂p̄, (…, rows, columns) each: (…)."""
    a = in_h + in_z @ p
    weights = in_z.square().sum(-2).unsqueeze(-1)
    return torch.linalg.eigvalsh(a.mT @ a + p_bar.mT @ (weights * p_bar))[..., -1]


def flow_contraction(model: Dynamics, start: Latent, generator: torch.Generator) -> dict[str, float]:
    """The continuous flow of (19): errors in h, with z̃ as it is, against exp(∫μ₂) and exp(∫‖∂_h f‖_F).

    Along Euler paths of :data:`SUBSTEPS` steps for each of the model's, Ψ solves dΨ = (∂_h f − I) Ψ dt with the
    Jacobian constant over each step, by matrix exponentials, for which log ‖Ψ‖₂ ≤ ∫μ₂ ≤ ∫‖∂_h f − I‖_F holds to
    rounding. Given per unit time, in the mean over paths: ``flow_log_growth``, ``flow_bound`` and
    ``flow_norm_bound``; ``flow_excess`` is the most by which the first passes the second on any path.
    """
    start = repeated(start, FLOW_PATHS)
    noise = normal(generator, HORIZON * SUBSTEPS, *start.z.shape, like=start.z)
    dt, (paths, deter) = 1 / SUBSTEPS, start.h.shape
    with torch.no_grad():
        path = rollout(model, start, noise, dt)
    h, z = path.h[:-1].flatten(0, 1), path.z[:-1].flatten(0, 1)
    identity = torch.eye(deter, dtype=h.dtype)
    drift = exact_jacobian(lambda h, z: closed_loop(model, h, z), (h, z), (0,)) - identity
    bound = (logarithmic_norm(drift) * dt).view(-1, paths).sum(0) / HORIZON
    norm = (torch.linalg.matrix_norm(drift) * dt).view(-1, paths).sum(0) / HORIZON
    psi = identity.expand(paths, deter, deter)
    for move in torch.matrix_exp(drift * dt).view(-1, paths, deter, deter):
        psi = move @ psi
    growth = torch.linalg.matrix_norm(psi, 2).log() / HORIZON
    return {
        "flow_log_growth": float(growth.mean()),
        "flow_bound": float(bound.mean()),
        "flow_norm_bound": float(norm.mean()),
        "flow_excess": float((growth - bound).max()),
    }
