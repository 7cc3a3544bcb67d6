"""How a trained world model answers to errors: its Jacobians, what they bound, and the errors' growth as measured.

All in the model's own step (Δt = 1) but for the flow of :func:`flow_contraction`. Rollouts are those of (19), with
the action a = π(h, z̃), from filtered states of recorded episodes. After the first step z̃ = p(h) + p̄(h) ξ, so that (19)
is a chain in h alone: with A = ∂_h f + ∂_z f ∂p and B = ∂_z f, the Jacobian of a step is K(ξ) = A + B diag(ξ) ∂p̄, and

    E[ KᵀK | h ] = AᵀA + ∂p̄ᵀ diag(|B_j|²) ∂p̄,        ρ = its largest eigenvalue.

An infinitesimal error y in h therefore grows in mean square by ρ a step at most: E[ |y_N|² / Π ρ_n ] ≤ E |y_1|², the
product over n = 1 … N − 1. It is the step's counterpart of a one-sided Lipschitz constant of drift and diffusion.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from sdewm.estimate.samples import QuasiMonteCarlo, Sample, sample
from sdewm.expansion.power_series import corrected_terms
from sdewm.noise.grid import TimeGrid
from sdewm.noise.increments import Increments
from sdewm.solvers.loop import trajectory
from sdewm.systems.losses import SummedLoss
from sdewm.systems.perturbed import PerturbedSDE
from sdewm.worldmodel.gaussian import Gaussian
from sdewm.worldmodel.jacobian import jacobian, logarithmic_norm
from sdewm.worldmodel.walker_model import WorldModel
from sdewm.worldmodel.walker_record import Episode
from sdewm.worldmodel.walker_sde import as_sde, initial_state, latent_spread, reconstruction_loss
from sdewm.worldmodel.walker_train import evaluate, to_batch

HORIZON = 15  # steps of a rollout: DreamerV2's imagination horizon
STARTS = (10, 30, 50, 70)  # frames of each episode that rollouts start from
PATHS = 32  # noises for each start
JACOBIAN_PATHS = 8  # of those, how many the Jacobians are taken along
FLOW_PATHS, SUBSTEPS = 2, 4  # the same for the flow, and its steps for each of the model's
ERROR = 0.5  # size of an error, in the latent's own spread
LOSS_PATHS = 2**6  # noises for an expected loss


class Latent(NamedTuple):
    """A state of (19), or many: h (…, deter) and z̃ (…, stoch)."""

    h: Tensor
    z: Tensor


class Dynamics(NamedTuple):
    """What of a model (19) needs: the cell (h, z, a) -> h, the prior h -> z̃ and the policy (h, z) -> a."""

    sequence: Callable[[Tensor, Tensor, Tensor], Tensor]
    prior: Callable[[Tensor], Gaussian]
    policy: Callable[[Tensor, Tensor], Tensor]


def rollout(model: WorldModel | Dynamics, start: Latent, noise: Tensor, dt: float = 1.0) -> Latent:
    """(19) from ``start`` (B, ·) under standard normal ``noise`` (N, B, stoch): all N + 1 states, (N + 1, B, ·).

    Euler steps, z̃ seeing the new h. With ``dt`` = 1 they are the model's own.
    """
    h, z = start
    states = [start]
    for xi in noise:
        h = h + dt * (closed_loop(model, h, z) - h)
        prior = model.prior(h)
        z = z + dt * (prior.mean - z) + dt**0.5 * prior.std * xi
        states.append(Latent(h, z))
    return Latent(*(torch.stack(parts) for parts in zip(*states, strict=True)))


def closed_loop(model: WorldModel | Dynamics, h: Tensor, z: Tensor) -> Tensor:
    """f(h, z, π(h, z)): the cell under the model's own behaviour."""
    return model.sequence(h, z, model.policy(h, z))


def measure(model: WorldModel, episodes: Sequence[Episode], seed: int = 0) -> dict[str, float]:
    """Everything below for one model, by name; the docstrings of the parts say what is what."""
    start = starting_states(model, episodes)
    generator = torch.Generator().manual_seed(seed)
    spread = latent_spread(model, episodes)
    return {
        "latent_spread": float(spread.square().mean().sqrt()),
        **reconstruction(model, episodes),
        **divergence(model, start, spread, generator),
        **jacobian_terms(model, start, spread, generator),
        **flow_contraction(model, start, generator),
        **drift_error_bias(model, episodes, spread, seed),
    }


@torch.no_grad()
def starting_states(model: WorldModel, episodes: Sequence[Episode]) -> Latent:
    """Filtered states at the frames :data:`STARTS` of each episode, z at the posterior's mean."""
    batch = to_batch(episodes, model.mean_image.dtype)
    noise = batch.frames.new_zeros(*batch.rewards.shape, model.config.stoch)
    filtered = model.observe(batch.frames, batch.actions, noise)
    return Latent(*(part[:, list(STARTS)].flatten(0, 1) for part in (filtered.h, filtered.z)))


def reconstruction(model: WorldModel, episodes: Sequence[Episode]) -> dict[str, float]:
    """What regularization costs: scores of :func:`sdewm.worldmodel.evaluate` on the same windows."""
    scores = evaluate(model, episodes)
    kept = ("reconstruction", "kl", "explained", "explained_open_1", "explained_open_5", "explained_open_15")
    return {name: scores[name] for name in kept}


@torch.no_grad()
def divergence(
    model: WorldModel | Dynamics, start: Latent, spread: Tensor, generator: torch.Generator
) -> dict[str, float]:
    """Rollouts from z̃ + ε against those from z̃, on common noise; ε normal, :data:`ERROR` of the latent's spread.

    ``divergence`` is d_ε / E|ε|² of Theorem 4.1, E sup_t (|h^ε − h⁰|² + |z̃^ε − z̃⁰|²) over E|ε|²; it counts t = 0, so
    is at least 1. ``divergence_h`` leaves z̃ out, and with it the start. ``response_h`` is the latter's E sup_t |h^ε −
    h⁰|² as it is, in the units of h, which lies in (−1, 1) in every model. ``growth_N``: root mean square of the
    whole difference after N steps, over that of ε.
    """
    start = _repeat(start, PATHS)
    noise = _normal(generator, HORIZON, *start.z.shape, like=start.z)
    error = ERROR * spread * _normal(generator, *start.z.shape, like=start.z)
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


def jacobian_terms(model: WorldModel, start: Latent, spread: Tensor, generator: torch.Generator) -> dict[str, float]:
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
    start = _repeat(start, JACOBIAN_PATHS)
    noise = _normal(generator, HORIZON, *start.z.shape, like=start.z)
    with torch.no_grad():
        path = rollout(model, start, noise)
    steps, paths, deter = HORIZON, len(start.h), start.h.shape[-1]
    h, z, later = path.h[:-1].flatten(0, 1), path.z[:-1].flatten(0, 1), path.h[1:].flatten(0, 1)
    step = jacobian(lambda h, z: closed_loop(model, h, z), (h, z), (0, 1))
    at_given_action = jacobian(model.sequence, (h, z, model.policy(h, z)), (0, 1))
    p = jacobian(lambda h: model.prior(h).mean, (later,), (0,))
    p_bar = jacobian(lambda h: model.prior(h).std, (later,), (0,))
    in_h, in_z = step[..., :deter], step[..., deter:]
    identity = torch.eye(deter, dtype=h.dtype)
    frobenius = {
        "map_h": in_h, "drift_h": in_h - identity, "map_z": in_z, "p": p, "p_bar": p_bar, "map_z_spread": in_z * spread,
        "penalized": at_given_action,
    }  # fmt: skip
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
def final_phi(model: WorldModel | Dynamics, start: Latent, generator: torch.Generator) -> float:
    """E ‖Φ_N‖_F² of (19) at N = :data:`HORIZON`, by random directions: E |Φ_N v|² with E vvᵀ = I.

    One forward derivative for each of :data:`PATHS` noises from each start; :func:`jacobian_terms` has all of Φ.
    """
    start = _repeat(start, PATHS)
    noise = _normal(generator, HORIZON, *start.z.shape, like=start.z)
    direction = tuple(_normal(generator, *part.shape, like=part) for part in start)

    def end(h: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        path = rollout(model, Latent(h, z), noise)
        return path.h[-1], path.z[-1]

    _, (dh, dz) = torch.func.jvp(end, tuple(start), direction)  # type: ignore[misc]
    return float((dh.square().sum(-1) + dz.square().sum(-1)).mean())


def mean_square_growth(in_h: Tensor, in_z: Tensor, p: Tensor, p_bar: Tensor) -> Tensor:
    """ρ of this module's docstring from ∂_h f, ∂_z f, ∂p and ∂p̄, (…, rows, columns) each: (…)."""
    a = in_h + in_z @ p
    weights = in_z.square().sum(-2).unsqueeze(-1)
    return torch.linalg.eigvalsh(a.mT @ a + p_bar.mT @ (weights * p_bar))[..., -1]


def flow_contraction(model: WorldModel, start: Latent, generator: torch.Generator) -> dict[str, float]:
    """The continuous flow of (19): errors in h, with z̃ as it is, against exp(∫μ₂) and exp(∫‖∂_h f‖_F).

    Along Euler paths of :data:`SUBSTEPS` steps for each of the model's, Ψ solves dΨ = (∂_h f − I) Ψ dt with the
    Jacobian constant over each step, by matrix exponentials, for which log ‖Ψ‖₂ ≤ ∫μ₂ ≤ ∫‖∂_h f − I‖_F holds to
    rounding. Given per unit time, in the mean over paths: ``flow_log_growth``, ``flow_bound`` and
    ``flow_norm_bound``; ``flow_excess`` is the most by which the first passes the second on any path.
    """
    start = _repeat(start, FLOW_PATHS)
    noise = _normal(generator, HORIZON * SUBSTEPS, *start.z.shape, like=start.z)
    dt, (paths, deter) = 1 / SUBSTEPS, start.h.shape
    with torch.no_grad():
        path = rollout(model, start, noise, dt)
    h, z = path.h[:-1].flatten(0, 1), path.z[:-1].flatten(0, 1)
    identity = torch.eye(deter, dtype=h.dtype)
    drift = jacobian(lambda h, z: closed_loop(model, h, z), (h, z), (0,)) - identity
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


def drift_error_bias(model: WorldModel, episodes: Sequence[Episode], spread: Tensor, seed: int) -> dict[str, float]:
    """R̃ of Corollary 3.8 under a drift error alone, and the increase of the expected loss as measured.

    From the frames :data:`STARTS` of each episode, over :data:`HORIZON` steps of filtering under an encoder error
    ε σ(h), σ = spread · ½(1 + tanh(W h)), W random and fixed, ε = 2 · :data:`ERROR`. The loss is J_O, in the mean over
    the steps. ``bias`` is |ε P̃ + ε² (Q̃ + S̃)|, ``bias_first`` |ε P̃|, ``increase`` |E L(x^ε) − E L(x⁰)| on common
    noise, and ``loss0`` E L(x⁰); each in the mean over starts. ``increase_signed`` is the mean with its sign.
    """
    found = [{name: s.estimate(name).mean for name in s.values} for s in _drift_errors(model, episodes, spread, seed)]
    mean = {name: sum(f[name] for f in found) / len(found) for name in found[0]}
    sizes = {name: sum(abs(f[name]) for f in found) / len(found) for name in ("bias", "bias_first", "increase")}
    return {"loss0": mean["loss0"], **sizes, "increase_signed": mean["increase"]}


def drift_error_standard_errors(
    model: WorldModel, episodes: Sequence[Episode], spread: Tensor, seed: int
) -> dict[str, float]:
    """Standard errors of what :func:`drift_error_bias` returns; not below, since starts share their noise."""
    found = [{name: s.estimate(name).stderr for name in s.values} for s in _drift_errors(model, episodes, spread, seed)]
    mean = {name: sum(f[name] for f in found) / len(found) for name in found[0]}
    return mean | {"increase_signed": mean["increase"]}


def _drift_errors(model: WorldModel, episodes: Sequence[Episode], spread: Tensor, seed: int) -> Iterator[Sample]:
    eps = 2 * ERROR
    weights = _normal(torch.Generator().manual_seed(1), model.config.deter, model.config.stoch, like=spread)
    weights = weights / model.config.deter**0.5
    for episode in episodes:
        sde = as_sde(model, episode)
        family = PerturbedSDE(sde, sde.encoder_error(lambda h, s: spread * (0.5 + 0.5 * torch.tanh(h @ weights))))
        for start in STARTS:
            grid = TimeGrid(float(start), float(start + HORIZON), HORIZON)
            times = [grid.time(i) for i in range(1, HORIZON + 1)]
            loss = SummedLoss(reconstruction_loss(model, episode), times, [1 / HORIZON] * HORIZON)
            yield bias_and_increase(family, loss, initial_state(model, episode, start), grid, eps, LOSS_PATHS, seed)


def bias_and_increase(
    family: PerturbedSDE, loss: SummedLoss, x0: Tensor, grid: TimeGrid, eps: float, paths: int, seed: int
) -> Sample:
    """``loss0``, ``bias_first``, ``bias`` and ``increase`` of :func:`drift_error_bias`, signed, from one start."""
    losses, weights = {"": loss}, loss.on(grid)

    def total(magnitude: float, noise: Increments) -> Tensor:
        steps = trajectory(family.at(magnitude), x0, grid, "euler-sequential", noise)
        return sum(weights[i] * loss.fn(t, x) for i, t, x in steps if i in weights)  # type: ignore[return-value]

    def values(noise: Increments) -> dict[str, Tensor]:
        terms = {
            term: v for (_, term), v in corrected_terms(family, losses, x0, grid, noise, "euler-sequential").items()
        }
        first = eps * terms["P~"]
        return {
            "loss0": terms["loss0"],
            "bias_first": first,
            "bias": first + eps**2 * (terms["Q~"] + terms["S~"]),
            "increase": total(eps, noise) - terms["loss0"],
        }

    channels = family.base.noise_channels(torch.tensor(grid.t0, dtype=x0.dtype), x0.expand(1, -1))  # type: ignore[attr-defined]
    return sample(values, QuasiMonteCarlo(paths, seed), channels, grid, x0)


def _repeat(states: Latent, times: int) -> Latent:
    return Latent(*(part.repeat_interleave(times, 0) for part in states))


def _normal(generator: torch.Generator, *shape: int, like: Tensor) -> Tensor:
    return torch.randn(shape, generator=generator, dtype=like.dtype)
