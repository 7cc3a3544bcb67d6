"""How much a perturbation of the images raises a world model's own losses: predicted from the encoder alone.

Corollary 3.8, as corrected, on the model's own step, with σ and σ̄ from
:func:`~sdewm.worldmodel.representation_error.representation_error`, along recorded frames under the recorded actions:

    E L(x^ε) − E L(x⁰) = first ε + second ε² + …   at ε = 1

and beside it the fitted SDE at ε = 1 itself, on the same noise. No perturbed loss is measured on the way, no
simulator asked and nothing trained. It speaks of losses along frames that were recorded, not of returns.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce

import numpy as np
import torch
from torch import Tensor

from sdewm import arguments
from sdewm.arrays import Array
from sdewm.estimate.estimates import Estimate
from sdewm.estimate.samples import Sample, sample
from sdewm.expansion.pathwise_derivatives import corrected_walks, terms_along
from sdewm.noise.grid import TimeGrid
from sdewm.noise.increments import Increments
from sdewm.noise.samplers import AntitheticMonteCarlo
from sdewm.solvers.loop import trajectory
from sdewm.systems.losses import SummedLoss
from sdewm.systems.perturbed import PerturbedSDE
from sdewm.worldmodel.open_loop_loss import open_loop_loss
from sdewm.worldmodel.perturbations import Perturbation
from sdewm.worldmodel.replay import Episode, Sequences, to_sequences
from sdewm.worldmodel.representation_error import ErrorCoefficients, RepresentationError, representation_error
from sdewm.worldmodel.sde import as_sde, initial_state, recorded_actions
from sdewm.worldmodel.sde_losses import consistency_loss, reconstruction_loss, reward_loss
from sdewm.worldmodel.seeds import derived_seed
from sdewm.worldmodel.world_model import WorldModel

LOSSES = {
    "J_O": "reconstruction",
    "J_R": "reward",
    "J_D": "consistency, KL(q ‖ p)",
    "J_L": "guess ahead, open loop",
}
SOURCES, PARTS = ("drift", "diffusion"), ("gradient", "curvature")
GROUPS = 8  # of draws, each left out once: how much the number of draws matters
CLOSE = 0.2  # of an increase: nearer than that a prediction holds
CORRELATED = 0.1  # a correlation from step to step that is no longer small


@dataclass(frozen=True)
class Windows:
    """Stretches of recorded episodes that losses are means over: from each of ``starts``, ``steps`` steps.

    ``ahead`` is how far J_L looks.
    """

    starts: tuple[int, ...] = (10, 30, 50, 70)
    steps: int = 5
    ahead: int = 5

    def __post_init__(self) -> None:
        object.__setattr__(self, "starts", arguments.integers("starts", self.starts, 0))
        if not self.starts:
            raise ValueError("starts: expected at least one, got none")
        for name in ("steps", "ahead"):
            object.__setattr__(self, name, arguments.integer(name, getattr(self, name), 1))

    def check(self, episodes: Sequence[Episode]) -> None:
        """``ValueError`` where an episode ends before the last of them has been foreseen."""
        least = max(self.starts) + self.steps + self.ahead + 1
        if not len(episodes) or min(map(len, episodes)) < least:
            got = "none" if not len(episodes) else f"one of {min(map(len, episodes))}"
            raise ValueError(f"episodes: expected at least {least} steps in each, got {got}")

    def grid(self, start: int) -> TimeGrid:
        return TimeGrid(float(start), float(start + self.steps), self.steps)

    def losses(self, model: WorldModel, episode: Sequences, grid: TimeGrid) -> dict[str, SummedLoss]:
        """Each of :data:`LOSSES` in the mean over the steps of a window."""
        times, weights = [grid.time(i) for i in range(1, self.steps + 1)], [1 / self.steps] * self.steps
        functions = (
            reconstruction_loss(model, episode),
            reward_loss(model, episode),
            consistency_loss(model, episode),
            open_loop_loss(model, episode, self.ahead),
        )
        return {name: SummedLoss(fn, times, weights) for name, fn in zip(LOSSES, functions, strict=True)}


WINDOWS = Windows()


@dataclass(frozen=True)
class PredictedIncrease:
    """By how much one loss rises, as predicted.

    Attributes
    ----------
    loss0 : the loss of the clean frames.
    first, second, third : the coefficients of ε, ε² and ε³.
    increase : first + second, Corollary 3.8 at ε = 1.
    simulated : of the fitted SDE at ε = 1, on the same noise. It needs no series to converge, and names no causes.
    parts : of ``increase``, by (source, part): what the error's drift and its diffusion bring, by the loss's slope or
        by its curvature. What drift and diffusion do together is the drift's.
    cut : what ``simulated`` has beyond ``increase``, an estimate of what the series leaves out.
    flags : why ``increase`` is not to be trusted, in words; none where nothing speaks against it.

    Standard errors have the noise of the paths and of the draws, together, and not the errors of the model: draws that
    are not normal, or not independent in time.
    """

    loss0: Estimate
    first: Estimate
    second: Estimate
    third: Estimate
    increase: Estimate
    simulated: Estimate
    parts: dict[tuple[str, str], Estimate]
    cut: Estimate
    flags: tuple[str, ...]

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Around ``increase``: its own error bar, and to the side of ``simulated`` what the series leaves out."""
        low, high = self.increase.interval(confidence)
        return low + min(self.cut.mean, 0.0), high + max(self.cut.mean, 0.0)


@dataclass(frozen=True)
class LossPrediction:
    """What :func:`predict_losses` returns: {loss: :class:`PredictedIncrease`}, and the error that it rests on."""

    losses: Mapping[str, PredictedIncrease]
    error: RepresentationError = field(repr=False)
    windows: Windows
    paths: int
    seed: int

    def __getitem__(self, loss: str) -> PredictedIncrease:
        return self.losses[loss]


def predict_losses(
    model: WorldModel,
    perturbation: Perturbation,
    episodes: Sequence[Episode],
    *,
    windows: Windows = WINDOWS,
    draws: int = 64,
    paths: int = 64,
    seed: int = 0,
) -> LossPrediction:
    """Predict the increase of a world model's losses under a perturbation of its images, before it is measured.

    Parameters
    ----------
    model : a world model in float64.
    perturbation, draws : as for :func:`~sdewm.worldmodel.representation_error.representation_error`.
    episodes : records of episodes, whose frames, actions and rewards the losses are taken along.
    windows : which stretches of them.
    paths : latent paths from each start.
    seed : of draws and paths.

    Raises
    ------
    ValueError : names the argument that is wrong, as where an episode is too short.

    Example: ``predict_losses(agent.world_model, Rotation(2.0), episodes[:2])["J_R"].increase``.
    """
    windows.check(episodes)
    error = representation_error(model, perturbation, episodes, draws=draws, seed=seed)
    samples = []
    for number, records in enumerate(episodes):
        episode = to_sequences(records[None], model.latent_spread.dtype)
        for start in windows.starts:
            own_seed = derived_seed(seed, f"predict {number}", start)
            samples.append(_from_start(error, number, episode, start, windows, paths, own_seed))
    whole = _mean_of(samples, seed)
    losses = {name: _summary(whole, name, error) for name in LOSSES}
    return LossPrediction(losses, error, windows, whole.paths, seed)


def _from_start(
    error: RepresentationError, number: int, episode: Sequences, start: int, windows: Windows, paths: int, seed: int
) -> Sample:
    """Every term of every loss, named (loss, term), from one start."""
    model, observations, actions = error.model, episode.observations[0], episode.actions[0]
    of = error.coefficients(number)
    sde = as_sde(model, observations, recorded_actions(actions), of.error_channels)
    grid, x0 = windows.grid(start), initial_state(model, observations, actions, start)
    losses = windows.losses(model, episode, grid)
    weights = {name: loss.on(grid) for name, loss in losses.items()}
    family = PerturbedSDE(sde, sde.encoder_error(of.sigma, of.sigma_bar))
    walks = corrected_walks(family, losses, x0, grid, method="euler-sequential", order=3)
    without = [PerturbedSDE(sde, sde.encoder_error(c.sigma, c.sigma_bar)) for c in _fewer(error, number)]

    def at_one(family: PerturbedSDE, noise: Increments) -> dict[str, Tensor]:
        total: dict[str, Tensor] = {}
        for i, t, x in trajectory(family.at(1.0), x0, grid, method="euler-sequential", noise=noise):
            for name, loss in losses.items():
                if i in weights[name]:
                    value = weights[name][i] * loss.at(t, x)
                    total[name] = total[name] + value if name in total else value
        return total

    def values(noise: Increments) -> dict[tuple[str, str], Tensor]:
        found = terms_along(walks, losses, grid, noise)
        for label, other in [("simulated", family), *((f"without {g}", f) for g, f in enumerate(without))]:
            for name, loss in at_one(other, noise).items():
                found[name, label] = loss - found[name, "loss0"]
        return found

    channels = sde.noise_channels(torch.tensor(grid.t0, dtype=x0.dtype), x0.expand(1, -1))
    return sample(values, AntitheticMonteCarlo(paths, seed), channels, grid, x0)


def _fewer(error: RepresentationError, number: int) -> list[ErrorCoefficients]:
    """The error without each group of draws in turn; none where all draws are one."""
    if error.coefficients(number).error_channels == 0:
        return []
    return [
        error.coefficients(number, keep=[k for k in range(error.draws) if k % GROUPS != group])
        for group in range(GROUPS)
    ]


def _mean_of(samples: Sequence[Sample], seed: int) -> Sample:
    """The mean over starts, replicate by replicate: starts have noise of their own."""
    values = {name: np.mean([s[name] for s in samples], 0) for name in samples[0].values}
    return Sample(values, sum(s.paths for s in samples), seed)


def _summary(whole: Sample, loss: str, error: RepresentationError) -> PredictedIncrease:
    def of(term: str) -> Array:
        return whole[loss, term]

    first = of("P") + of("P~")
    parts = {
        ("drift", "gradient"): of("P~") + of("Q~"),
        ("drift", "curvature"): of("S~"),
        ("diffusion", "gradient"): of("P") + 0.5 * of("Q"),
        ("diffusion", "curvature"): 0.5 * of("S"),
    }
    total = reduce(operator.add, parts.values())
    of_draws = _of_draws(whole, loss)
    increase, simulated = (_with_draws(whole.estimate(v), of_draws) for v in (total, of("simulated")))
    third, cut = whole.estimate(of("third")), whole.estimate(of("simulated") - total)
    return PredictedIncrease(
        loss0=whole.estimate(of("loss0")),
        first=whole.estimate(first),
        second=whole.estimate(total - first),
        third=third,
        increase=increase,
        simulated=simulated,
        parts={name: whole.estimate(v) for name, v in parts.items()},
        cut=cut,
        flags=tuple(_flags(increase, simulated, third, cut, error)),
    )


def _of_draws(whole: Sample, loss: str) -> float:
    """The jackknife's standard error of the increase for the draws, in groups; 0 where all draws are one."""
    names = [(loss, f"without {group}") for group in range(GROUPS)]
    if names[0] not in whole.values:
        return 0.0
    means = np.array([whole[name].mean() for name in names])
    return math.sqrt((GROUPS - 1) / GROUPS * float(np.square(means - means.mean()).sum()))


def _with_draws(estimate: Estimate, of_draws: float) -> Estimate:
    """Both errors together, with Welch's degrees of freedom."""
    squares = (estimate.stderr**2, of_draws**2)
    if not of_draws:
        return estimate
    total = sum(squares)
    dof = total**2 / (squares[0] ** 2 / estimate.dof + squares[1] ** 2 / (GROUPS - 1))
    return replace(estimate, stderr=math.sqrt(total), dof=dof, skew=0.0)


def _flags(
    increase: Estimate, simulated: Estimate, third: Estimate, cut: Estimate, error: RepresentationError
) -> Sequence[str]:
    flags = []
    low, high = simulated.interval()
    if low < 0 < high:
        flags.append(f"the sign is not known: {simulated:.3g} at ε = 1. Take more paths and draws.")
    if abs(third.mean) > CLOSE * abs(increase.mean):
        flags.append(f"the third order, {third:.3g}, is more than {CLOSE:.0%} of the first two")
    if abs(cut.mean) > CLOSE * abs(simulated.mean):
        flags.append(f"the fitted SDE at ε = 1 has {simulated:.3g}, more than {CLOSE:.0%} away")
    if any(abs(r.mean) - 2 * r.stderr > CORRELATED for r in error.correlation):
        largest = max(error.correlation, key=lambda r: abs(r.mean))
        flags.append(f"the error depends on what it was a step before: correlation {largest:.2g}")
    return flags
