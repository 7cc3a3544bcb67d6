"""The bias R̃ of Corollary 3.8 that an encoder error makes in a filtered model, and the loss's increase as measured."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from functools import reduce

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from sdewm.estimate.samples import QuasiMonteCarlo, Sample, sample
from sdewm.expansion.pathwise_derivatives import corrected_terms
from sdewm.noise.grid import TimeGrid
from sdewm.noise.increments import Increments
from sdewm.solvers.loop import trajectory
from sdewm.systems.losses import SummedLoss
from sdewm.systems.perturbed import PerturbedSDE
from sdewm.systems.sde import noise_channels
from sdewm.worldmodel.agent import Agent
from sdewm.worldmodel.error_growth import ERROR
from sdewm.worldmodel.latent_rollout import HORIZON, STARTS, normal
from sdewm.worldmodel.replay import Episode, to_sequences
from sdewm.worldmodel.sde import initial_state
from sdewm.worldmodel.sde_losses import reconstruction_loss

LOSS_PATHS = 2**6  # noises for an expected loss
REPLICATED_STEPS, REPLICATED_PATHS = 5, 2**8  # in replicates: 8 noises each, so that a logarithm is of a mean

Error = Callable[[Float[Tensor, "paths h"], Float[Tensor, "paths size"]], Float[Tensor, "paths z"]]  # σ(h, s)


def drift_error_bias(agent: Agent, episodes: Sequence[Episode], seed: int) -> dict[str, float]:
    """R̃ of Corollary 3.8 under a drift error alone, and the increase of the expected loss as measured.

    From the times :data:`STARTS` of each episode, over :data:`HORIZON` steps of filtering under an encoder error
    ε σ(h), σ = spread · ½(1 + tanh(W h)), W random and fixed, ε = 2 · :data:`ERROR`. The loss is J_O, in the mean over
    the steps. ``bias`` is |ε P̃ + ε² (Q̃ + S̃)|, ``bias_first`` |ε P̃|, ``increase`` |E L(x^ε) − E L(x⁰)| on common
    noise, and ``loss0`` E L(x⁰); each in the mean over starts. ``increase_signed`` is the mean with its sign.
    """
    found = [{name: s.estimate(name).mean for name in s.values} for s in _own_errors(agent, episodes, seed)]
    mean = {name: sum(f[name] for f in found) / len(found) for name in found[0]}
    sizes = {name: sum(abs(f[name]) for f in found) / len(found) for name in ("bias", "bias_first", "increase")}
    return {"loss0": mean["loss0"], **sizes, "increase_signed": mean["increase"]}


def drift_error_standard_errors(agent: Agent, episodes: Sequence[Episode], seed: int) -> dict[str, float]:
    """Standard errors of what :func:`drift_error_bias` returns; not below, since starts share their noise."""
    found = [{name: s.estimate(name).stderr for name in s.values} for s in _own_errors(agent, episodes, seed)]
    mean = {name: sum(f[name] for f in found) / len(found) for name in found[0]}
    return mean | {"increase_signed": mean["increase"]}


def loss_increase(agent: Agent, episode: Episode, error: Error) -> dict[str, Float64[np.ndarray, " replicates"]]:
    """``bias`` and ``increase`` under the drift error ε σ(h, s), σ = ``error``, along one episode, by replicate.

    As in :func:`drift_error_bias`, but over :data:`REPLICATED_STEPS` steps.
    """
    found = list(_drift_errors(agent, [episode], error, REPLICATED_STEPS, REPLICATED_PATHS, seed=0))
    return {name: np.mean([abs(f[name]) for f in found], 0) for name in ("bias", "increase")}


def _own_errors(agent: Agent, episodes: Sequence[Episode], seed: int) -> Iterator[Sample]:
    config, spread = agent.config, agent.world_model.latent_spread
    weights = normal(torch.Generator().manual_seed(1), config.deter, config.stoch, like=spread) / config.deter**0.5

    def error(h: Tensor, s: Tensor) -> Tensor:
        return spread * (0.5 + 0.5 * torch.tanh(h @ weights))

    return _drift_errors(agent, episodes, error, HORIZON, LOSS_PATHS, seed)


def _drift_errors(
    agent: Agent, episodes: Sequence[Episode], error: Error, steps: int, paths: int, seed: int
) -> Iterator[Sample]:
    model = agent.world_model
    for records in episodes:
        episode = to_sequences(records[None], model.latent_spread.dtype)
        observations, actions = episode.observations[0], episode.actions[0]
        sde = agent.as_sde(observations)
        family, fn = PerturbedSDE(sde, sde.encoder_error(error)), reconstruction_loss(model, episode)
        for start in STARTS:
            grid = TimeGrid(float(start), float(start + steps), steps)
            times = tuple(grid.time(i) for i in range(1, steps + 1))
            loss = SummedLoss(fn, times, (1 / steps,) * steps)
            x0 = initial_state(model, observations, actions, start)
            yield bias_and_increase(family, loss, x0, grid, eps=2 * ERROR, paths=paths, seed=seed)


def bias_and_increase(
    family: PerturbedSDE,
    loss: SummedLoss,
    x0: Float[Tensor, " n"],
    grid: TimeGrid,
    *,
    eps: float,
    paths: int,
    seed: int,
) -> Sample:
    """``loss0``, ``bias_first``, ``bias`` and ``increase`` of :func:`drift_error_bias`, signed, from one start."""
    losses, weights = {"": loss}, loss.on(grid)

    def total(magnitude: float, noise: Increments) -> Tensor:
        steps = trajectory(family.at(magnitude), x0, grid, method="euler-sequential", noise=noise)
        return reduce(operator.add, (weights[i] * loss.fn(t, x) for i, t, x in steps if i in weights))

    def values(noise: Increments) -> dict[str, Tensor]:
        terms = {
            term: v
            for (_, term), v in corrected_terms(
                family, losses, x0, grid, noise=noise, method="euler-sequential"
            ).items()
        }
        first = eps * terms["P~"]
        return {
            "loss0": terms["loss0"],
            "bias_first": first,
            "bias": first + eps**2 * (terms["Q~"] + terms["S~"]),
            "increase": total(eps, noise) - terms["loss0"],
        }

    channels = noise_channels(family.base, torch.tensor(grid.t0, dtype=x0.dtype), x0.expand(1, -1))
    return sample(values, QuasiMonteCarlo(paths, seed), channels, grid, x0)
