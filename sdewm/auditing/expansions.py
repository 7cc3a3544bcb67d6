"""The expected loss expanded in the size of an encoder's error, and the expansion held against a simulation."""

from __future__ import annotations

import math
import operator
import warnings
from collections.abc import Iterator, Sequence
from functools import reduce

import torch
from jaxtyping import Float
from torch import Tensor

from sdewm.adapters.gaussian_rssm import GaussianRSSM
from sdewm.auditing.findings import ExpandedLoss
from sdewm.auditing.open_loop_error import Followed
from sdewm.estimate.estimates import Estimate
from sdewm.estimate.samples import QuasiMonteCarlo, Sample, sample
from sdewm.expansion.expected_loss import expand
from sdewm.expansion.power_series import BeyondRadius
from sdewm.jets import NonSmoothWarning, NotDifferentiable
from sdewm.noise.increments import Increments
from sdewm.solvers.loop import trajectory
from sdewm.systems.losses import SummedLoss
from sdewm.systems.sde import noise_channels
from sdewm.verification.system import System
from sdewm.worldmodel.sde import recorded_actions

EPISODES = 3  # that an expansion starts in, at most: each takes seconds
AT_MOST = 1.0  # the error that a series without an end is held against: as large as the latent's own spread


def expansions(
    model: GaussianRSSM, followed: Sequence[Followed], spread: Float[Tensor, " z"], steps: int, paths: int, seed: int
) -> Iterator[ExpandedLoss | str]:
    """From the first start of each of a few episodes, under each error; in words what cannot be expanded."""
    errors = {"noise": {"sigma_bar": spread}, "drift": {"sigma": spread}}
    for number, f in enumerate(followed[:EPISODES]):
        policy = recorded_actions(f.episode.actions)  # frames were recorded under these
        for error, given in errors.items():
            system = model.system(f.episode, start=f.starts[0], steps=steps, policy=policy, **given)
            for name, loss in system.losses.items():
                what = (number, f.starts[0], error, name or "reconstruction")
                try:
                    yield _expanded(what, system, loss, paths, seed + number)
                except (ArithmeticError, NotDifferentiable) as reason:
                    yield f"episode {number}, {error}, {what[-1]}: {' '.join(str(reason).split())}"


def _expanded(what: tuple[int, int, str, str], system: System, loss: SummedLoss, paths: int, seed: int) -> ExpandedLoss:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NonSmoothWarning)  # `kinks` has their names
        warnings.simplefilter("ignore", BeyondRadius)  # at the radius itself rounding may say so
        found = expand(
            system.family, loss, system.x0, system.grid, method=system.method, paths=paths, seed=seed, order=2
        )
        at = None if math.isnan(found.radius) else min(found.radius, AT_MOST)
        predicted = None if at is None else _predicted(found.sample, at)
        simulated = None if at is None else _simulated(system, loss, at, paths, seed + 1)
    return ExpandedLoss(
        *what, found.loss0, found.first, found.second, found.radius, found.kinks, at, predicted, simulated
    )


def _predicted(found: Sample, eps: float) -> Estimate:
    """first ε + second ε²."""
    return found.estimate(eps * found["first"] + eps**2 * found["second"])


def _simulated(system: System, loss: SummedLoss, eps: float, paths: int, seed: int) -> Estimate:
    """E L(x^ε) − E L(x⁰), both on the same noise."""
    weights = loss.on(system.grid)

    def total(magnitude: float, noise: Increments) -> Tensor:
        walk = trajectory(system.family.at(magnitude), system.x0, system.grid, method=system.method, noise=noise)
        return reduce(operator.add, (weights[i] * loss.at(t, x) for i, t, x in walk if i in weights))

    def change(noise: Increments) -> dict[str, Tensor]:
        return {"change": total(eps, noise) - total(0.0, noise)}

    start = torch.tensor(system.grid.t0, dtype=system.x0.dtype)
    channels = noise_channels(system.family.base, start, system.x0.expand(1, -1))
    return sample(change, QuasiMonteCarlo(paths, seed), channels, system.grid, system.x0).estimate("change")
