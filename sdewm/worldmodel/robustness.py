"""How an agent's world model answers to errors, all measures together: once, or in replicates.

Everything is of the model under the actor's mode, in its own step, for an agent in float64.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float64

from sdewm.worldmodel.agent import Agent
from sdewm.worldmodel.drift_error import Error, drift_error_bias, loss_increase
from sdewm.worldmodel.error_growth import final_phi, flow_contraction, jacobian_statistics, rollout_divergence
from sdewm.worldmodel.jacobian import exact_norms
from sdewm.worldmodel.latent_rollout import dynamics, starting_states
from sdewm.worldmodel.prediction import windows
from sdewm.worldmodel.replay import Episode, to_sequences

WINDOW = 32  # steps of the windows that the objective is taken over
REPLICATES = 8
EPISODES = 2  # that replicates start from


def measure_robustness(agent: Agent, episodes: Sequence[Episode], seed: int = 0) -> dict[str, float]:
    """Everything for one agent, by name; the docstrings of the parts say what is what.

    ``latent_spread`` is the root mean square of the latent's own unit, ``reconstruction`` and ``kl`` are of the
    objective, in nats a step, z at the posterior's mean: what regularization costs.
    """
    model, of = agent.world_model, dynamics(agent)
    start, spread = starting_states(agent, episodes), model.latent_spread
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        batch = windows(episodes, WINDOW, spread.dtype)
        terms = model.terms(batch, model.filter(batch))
    return {
        "latent_spread": float(spread.square().mean().sqrt()),
        "reconstruction": float(terms.reconstruction.mean()),
        "kl": float(terms.kl.mean()),
        **rollout_divergence(of, start, spread, generator),
        **jacobian_statistics(of, start, spread, generator),
        **flow_contraction(of, start, generator),
        **drift_error_bias(agent, episodes, seed),
    }


def measure_replicates(
    agent: Agent, episodes: Sequence[Episode], error: Error
) -> dict[str, Float64[np.ndarray, " replicates"]]:
    """Array of some quantities, by name, one for each replicate.

    Replicates differ in the noise alone, so that what they spread by says nothing about another seed of training.

    - ``divergence``, ``divergence_h``, ``growth_15``, ``final_phi``: see :mod:`sdewm.worldmodel.error_growth`;
    - ``bias``, ``increase``: of :func:`loss_increase` under ``error``, along the first episode;
    - ``penalized``: ‖(∂_h f, ∂_z f)‖_F, the root of its mean square, exact; a value for each starting state;
    - ``reconstruction``: nats a step, z at the posterior's mean; a value for each episode.
    """
    model, of, start = agent.world_model, dynamics(agent), starting_states(agent, episodes[:EPISODES])
    found: dict[str, list[float]] = {name: [] for name in ("divergence", "divergence_h", "growth_15", "final_phi")}
    for replicate in range(REPLICATES):
        generator = torch.Generator().manual_seed(replicate)
        parts = rollout_divergence(of, start, model.latent_spread, generator)
        parts["final_phi"] = final_phi(of, start, generator)
        for name, values in found.items():
            values.append(parts[name])
    norms = exact_norms(model.sequence, (start.h, start.z, agent.actor.mode(start.h, start.z)), (0, 1))
    with torch.no_grad():
        whole = [to_sequences(e[None], model.latent_spread.dtype) for e in episodes]
        reconstruction = [float(model.terms(e, model.filter(e)).reconstruction.mean()) for e in whole]
    return {
        **{name: np.array(values) for name, values in found.items()},
        **loss_increase(agent, episodes[0], error),
        "penalized": norms.frobenius.numpy(),
        "reconstruction": np.array(reconstruction),
    }
