"""Rollouts (19) of a model from filtered states: how an error of z̃ grows, and the Jacobians on the way."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from sdewm.adapters.gaussian_rssm import GaussianRSSM
from sdewm.arrays import Array
from sdewm.auditing.open_loop_error import Followed
from sdewm.estimate.estimates import CARRIERS
from sdewm.jets.forward_mode import load_forward_mode
from sdewm.worldmodel.gaussian import Gaussian
from sdewm.worldmodel.jacobian import exact_jacobian, logarithmic_norm
from sdewm.worldmodel.latent_rollout import Dynamics, Latent, closed_loop, normal, repeated, rollout

ERROR = 0.5  # size of an error in z̃, in the latent's own spread
PATHS = 32  # noises for each start
STARTS = 8  # of an episode, at most
STATES = 16  # of an episode that Jacobians are taken at


@dataclass(frozen=True, eq=False)
class Growth:
    """Of pairs of rollouts on common noise, means over each episode.

    ``size`` (episodes,): E|ε|²; ``apart`` (episodes, N + 1): E|(h, z̃)^ε − (h, z̃)⁰|² after n steps; ``farthest``
    (episodes,): E of its largest over n, Theorem 4.1's d_ε. ``small_apart``, ``small_farthest``: the same of ε → 0,
    that is with the derivative Φ ε in place of the difference. ``pairs``: in all. ``carriers`` (N + 1,): how many of
    them carry ``small_apart``, all where they are alike and one where it is all of it.
    """

    pairs: int
    size: Array
    apart: Array
    small_apart: Array
    farthest: Array
    small_farthest: Array
    carriers: Array

    @property
    def flags(self) -> tuple[tuple[str, ...], ...]:
        """Why ``small_apart`` cannot be trusted after n steps."""
        needed = CARRIERS * math.sqrt(max(1.0, self.pairs / 256))
        return tuple(
            (f"{n:.1f} of {self.pairs} pairs of rollouts carry it, and {needed:.0f} should",) if n < needed else ()
            for n in self.carriers
        )


@dataclass(frozen=True, eq=False)
class LogNorms:
    """At states of rollouts, means over each episode ``(episodes,)``.

    ``mu``: μ₂ of the drift's Jacobian ∂_h f − I; ``log_sigma``: log of the largest singular value of the map's, ∂_h f;
    ``expanding``: the share of states where the latter is above 0. ``states``: in all.
    """

    mu: Array
    log_sigma: Array
    expanding: Array
    states: int


def as_dynamics(model: GaussianRSSM) -> Dynamics:
    """What of a model (19) needs."""
    return Dynamics(model.recurrent, lambda h: Gaussian(*model.prior(h)), model.policy)


@torch.no_grad()
def error_growth(
    model: GaussianRSSM, followed: Sequence[Followed], horizon: int, spread: Float[Tensor, " z"], seed: int
) -> tuple[Growth, list[Latent]]:
    """How an error grows, normal and :data:`ERROR` of the latent's spread; and a state of each rollout and step."""
    of, generator = as_dynamics(model), torch.Generator().manual_seed(seed)
    rows: list[tuple[Tensor, ...]] = []
    visited, sums, squares = [], torch.zeros(()), torch.zeros(())
    for f in followed:
        start = repeated(_starts(f), PATHS)
        noise = normal(generator, horizon, *start.z.shape, like=start.z)
        error = ERROR * spread * normal(generator, *start.z.shape, like=start.z)
        base, turned = _with_derivative(of, start, noise, error)
        perturbed = rollout(of, Latent(start.h, start.z + error), noise)
        apart, small = _square(perturbed, base), _square(turned)
        size = error.double().square().sum(-1).mean()
        sums, squares = sums + small.sum(1), squares + small.square().sum(1)
        rows.append((size, apart.mean(1), small.mean(1), apart.amax(0).mean(), small.amax(0).mean()))
        steps = torch.linspace(0, horizon - 1, STATES).long()
        visited.append(Latent(*(part[steps, torch.arange(STATES) * PATHS % part.shape[1]] for part in base)))
    pairs = PATHS * sum(len(_starting(f)) for f in followed)
    sizes, means, small_means, farthest, small_farthest = (
        torch.stack(parts).numpy() for parts in zip(*rows, strict=True)
    )
    carriers = (sums.square() / squares).numpy()
    return Growth(pairs, sizes, means, small_means, farthest, small_farthest, carriers), visited


def logarithmic_norms(model: GaussianRSSM, visited: Sequence[Latent]) -> LogNorms:
    """Of the memory's Jacobian in h, the action being π(h, z̃) and z̃ as it is."""
    of = as_dynamics(model)
    rows = []
    for state in visited:
        map_h = exact_jacobian(lambda h, z: closed_loop(of, h, z), (state.h, state.z), (0,)).double()
        log_sigma = torch.linalg.matrix_norm(map_h, 2).log()
        mu = logarithmic_norm(map_h - torch.eye(map_h.shape[-1], dtype=map_h.dtype))
        rows.append(torch.stack([mu.mean(), log_sigma.mean(), (log_sigma > 0).double().mean()]))
    mu, log_sigma, expanding = torch.stack(rows).T.numpy()
    return LogNorms(mu, log_sigma, expanding, sum(len(state.h) for state in visited))


def _starting(followed: Followed) -> list[int]:
    """Times that rollouts start at."""
    return list(followed.starts[:: -(-len(followed.starts) // STARTS)])


def _starts(followed: Followed) -> Latent:
    at = _starting(followed)
    return Latent(followed.filtered.h[at], followed.filtered.mean[at])


def _with_derivative(of: Dynamics, start: Latent, noise: Tensor, error: Tensor) -> tuple[Latent, Latent]:
    """A rollout, and its derivative along an error in the first z̃."""

    def walk(z: Tensor) -> tuple[Tensor, Tensor]:
        h, z = rollout(of, Latent(start.h, z), noise)
        return h, z

    load_forward_mode()
    base, turned = torch.func.jvp(walk, (start.z,), (error,))  # type: ignore[misc]
    return Latent(*base), Latent(*turned)


def _square(states: Latent, less: Latent | None = None) -> Tensor:
    """|(h, z̃)|², or of the difference of two, (N + 1, batch)."""
    parts = states if less is None else [there - here for here, there in zip(less, states, strict=True)]
    h, z = (part.double().square().sum(-1) for part in parts)
    return h + z
