"""How an agent's world model answers to errors: the measures of :mod:`sdewm.worldmodel.robustness`, in replicates.

Everything is of the model under the actor's mode, in its own step. Replicates differ in the noise alone, so that what
they spread by says nothing about another seed of training.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from sdewm.estimate.estimates import Values
from sdewm.noise.grid import TimeGrid
from sdewm.systems.losses import SummedLoss
from sdewm.systems.perturbed import PerturbedSDE
from sdewm.worldmodel.agent import Agent
from sdewm.worldmodel.jacobian import exact_norms
from sdewm.worldmodel.losses import reconstruction_loss
from sdewm.worldmodel.replay import to_sequences
from sdewm.worldmodel.robustness import ERROR, STARTS, Dynamics, Latent, bias_and_increase, divergence, final_phi

REPLICATES = 8
EPISODES = 2  # that rollouts start from, at STARTS of each
LOSS_STEPS = 5  # steps of a filtered model over which an expected loss is taken, from each of STARTS
LOSS_PATHS = 2**8  # noises for an expected loss: 8 a replicate, so that its logarithm is of a mean and not of a path


def measure(
    agent: Agent, episodes: Sequence[np.ndarray], error: Callable[[Tensor, Tensor], Tensor]
) -> dict[str, Values]:
    """Values of each quantity, by name, one for each replicate; for an agent in float64.

    - ``divergence``, ``divergence_h``, ``growth_15``, ``final_phi``: as in :mod:`sdewm.worldmodel.robustness`;
    - ``bias``: |ε P̃ + ε² (Q̃ + S̃)| of Corollary 3.8 under the drift error ε σ(h, s), σ = ``error``, and ``increase``:
      that of E J_O as it is, both in the mean over :data:`STARTS` of the first episode;
    - ``penalized``: ‖(∂_h f, ∂_z f)‖_F, the root of its mean square, exact; a value for each starting state;
    - ``reconstruction``: nats a step, z at the posterior's mean; a value for each episode.
    """
    model, batch = agent.world_model, to_sequences(np.stack(episodes), torch.float64)
    noise = batch.actions.new_zeros(*batch.rewards.shape, model.config.stoch)
    rollout = model.observe(batch.observations, batch.actions, batch.first, noise)
    start = Latent(*(part[:EPISODES, list(STARTS)].flatten(0, 1) for part in (rollout.h, rollout.z)))
    dynamics = Dynamics(model.sequence, model.prior, agent.actor.mode)
    found: dict[str, list[float]] = {name: [] for name in ("divergence", "divergence_h", "growth_15", "final_phi")}
    for replicate in range(REPLICATES):
        generator = torch.Generator().manual_seed(replicate)
        parts = divergence(dynamics, start, model.latent_spread, generator)
        parts["final_phi"] = final_phi(dynamics, start, generator)
        for name, values in found.items():
            values.append(parts[name])
    norms = exact_norms(model.sequence, (start.h, start.z, agent.actor.mode(start.h, start.z)), (0, 1))
    return {
        **{name: np.array(values) for name, values in found.items()},
        **_loss_increase(agent, episodes[0], error),
        "penalized": norms.frobenius.numpy(),
        "reconstruction": model.terms(batch, rollout).reconstruction.mean(1).numpy(),
    }


def _loss_increase(agent: Agent, records: np.ndarray, error: Callable[[Tensor, Tensor], Tensor]) -> dict[str, Values]:
    model, episode = agent.world_model, to_sequences(records[None], torch.float64)
    observations, actions = episode.observations[0], episode.actions[0]
    sde = agent.as_sde(observations)
    family = PerturbedSDE(sde, sde.encoder_error(error))
    fn, found = reconstruction_loss(model, episode), []
    for start in STARTS:
        grid = TimeGrid(float(start), float(start + LOSS_STEPS), LOSS_STEPS)
        times = [grid.time(i) for i in range(1, LOSS_STEPS + 1)]
        loss = SummedLoss(fn, times, [1 / LOSS_STEPS] * LOSS_STEPS)  # type: ignore[arg-type]
        x0 = model.initial_state(observations, actions, start)
        found.append(bias_and_increase(family, loss, x0, grid, 2 * ERROR, LOSS_PATHS, seed=0))
    return {name: np.mean([abs(f[name]) for f in found], 0) for name in ("bias", "increase")}
