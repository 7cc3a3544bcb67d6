"""The systems that claims are checked on."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Literal

import torch
from torch import Tensor

from sdewm.exact import reference
from sdewm.exact.problems import PROBLEMS
from sdewm.expansion.variation_of_constants import READINGS
from sdewm.noise.grid import TimeGrid
from sdewm.systems.losses import SummedLoss
from sdewm.systems.perturbed import PerturbedSDE
from sdewm.verification.system import GRIDS, Sizes, System
from sdewm.worldmodel.sde_losses import RunningLoss

ALL_READINGS = tuple(READINGS)


def _closed_form(name: str, paths: int, paired_paths: int, widen: float) -> System:
    problem = PROBLEMS[name]()
    grid = TimeGrid(0.0, problem.horizon, 32)
    truths = tuple(problem.euler_truth(grid.steps // 2**halvings) or {} for halvings in range(GRIDS))
    return System(
        name=name,
        family=problem.family,
        loss=problem.loss,
        x0=problem.x0,
        grid=grid,
        third_factor=1.0,
        sizes=Sizes(paths, paired_paths, widen=widen),
        readings=ALL_READINGS,
        truth=problem.truth,
        euler_truths=truths,
    )


def _latent() -> System:
    return System(
        name="latent",
        family=reference.latent_family(),
        loss=reference.loss,
        x0=reference.initial_state(),
        grid=TimeGrid(0.0, reference.HORIZON, reference.STEPS),
        third_factor=1.0,
        sizes=Sizes(2**15, 2**11),
        readings=ALL_READINGS,
    )


ErrorKind = Literal["constant", "state"]


def trained_family(error: ErrorKind = "state", start: int = 10) -> tuple[PerturbedSDE, dict[str, RunningLoss], Tensor]:
    """The shipped walker model from frame ``start`` of a held-out episode, under a representation error.

    The error is in units of the latent's own spread: constant, or a fixed smooth function of h.
    """
    return _family("walker_walk", error, start)


def lean_family(jacobian: bool, start: int = 10) -> tuple[PerturbedSDE, dict[str, RunningLoss], Tensor]:
    """A shipped agent's model under its actor, from time ``start`` of a held-out episode, under a representation error.

    ``jacobian``: the one trained with the penalty (20). The error is a fixed smooth function of h, in units of
    the latent's own spread.
    """
    from sdewm.worldmodel.shipped import LEAN, LEAN_REGULARIZED

    return _family(LEAN_REGULARIZED if jacobian else LEAN, "state", start)


def _family(name: str, error: ErrorKind, start: int) -> tuple[PerturbedSDE, dict[str, RunningLoss], Tensor]:
    from sdewm.worldmodel import (
        consistency_loss,
        initial_state,
        load_trained,
        reconstruction_loss,
        reward_loss,
        to_sequences,
    )

    agent, episodes = load_trained(name)
    model, episode = agent.world_model, to_sequences(episodes[0][None], torch.float64)
    observations, spread = episode.observations[0], model.latent_spread
    sde = agent.as_sde(observations)
    of_state = partial(state_dependent, error_weights(sde.sizes.h, sde.sizes.z), spread)

    def constant(i: int, h: Tensor, s: Tensor) -> Tensor:
        return 0.5 * spread

    shape = constant if error == "constant" else of_state
    family = PerturbedSDE(sde, sde.encoder_error(partial(shape, 0), partial(shape, 1)))
    fns = {
        "J_O": reconstruction_loss(model, episode),
        "J_R": reward_loss(model, episode),
        "J_D": consistency_loss(model, episode),
    }
    return family, fns, initial_state(model, observations, episode.actions[0], start)


def error_weights(h: int, z: int) -> Tensor:
    """Of the errors that depend on the state: one matrix (h, z) for the drift, one for the diffusion."""
    return torch.randn(2, h, z, generator=torch.Generator().manual_seed(1), dtype=torch.float64) / h**0.5


def state_dependent(weights: Tensor, spread: Tensor, i: int, h: Tensor, s: Tensor) -> Tensor:
    """A smooth error in units of the latent's spread, between 0 and 1 of it; ``i``: of the drift 0, the diffusion 1."""
    return spread * (0.5 + 0.5 * torch.tanh(h @ weights[i]))


def _trained(error: ErrorKind) -> System:
    start, length = 10, 3
    family, fns, x0 = trained_family(error, start)
    frames = tuple(float(start + i) for i in range(1, length + 1))
    return System(
        name=f"trained, {error} error",
        family=family,
        loss={name: SummedLoss(fn, frames, (1 / length,) * length) for name, fn in fns.items()},
        x0=x0,
        grid=TimeGrid(float(start), float(start + length), 12 * length),
        third_factor=1.0,
        sizes=Sizes(2**11, 2**7, taylor=2**8, block=2**11),
        readings=ALL_READINGS,
        formula_factor=100.0,
    )


def _trained_step(error: ErrorKind) -> System:
    start, length = 10, 15
    family, fns, x0 = trained_family(error, start)
    frames = tuple(float(start + i) for i in range(1, length + 1))
    return System(
        name=f"trained, own step, {error} error",
        family=family,
        loss={name: SummedLoss(fn, frames, (1 / length,) * length) for name, fn in fns.items()},
        x0=x0,
        grid=TimeGrid(float(start), float(start + length), length),
        third_factor=1.0,
        sizes=Sizes(2**12, 2**10),
        method="euler-sequential",
    )


def _lean(jacobian: bool) -> System:
    start, length = 10, 4
    family, fns, x0 = lean_family(jacobian, start)
    frames = tuple(float(start + i) for i in range(1, length + 1))
    return System(
        name="lean, regularized" if jacobian else "lean",
        family=family,
        loss={name: SummedLoss(fn, frames, (1 / length,) * length) for name, fn in fns.items()},
        x0=x0,
        grid=TimeGrid(float(start), float(start + length), length),
        third_factor=1.0,
        sizes=Sizes(2**8, 2**8, taylor=2**8, block=2**8),
        method="euler-sequential",
    )


SYSTEMS: dict[str, Callable[[], System]] = {
    "gbm": partial(_closed_form, "gbm", 2**18, 2**14, 1.4),
    "ou": partial(_closed_form, "ou", 2**16, 2**12, 1.4),
    "linear": partial(_closed_form, "linear", 2**18, 2**13, 1.15),
    "circle": partial(_closed_form, "circle", 2**18, 2**13, 1.3),
    "latent-linear": partial(_closed_form, "latent-linear", 2**19, 2**12, 1.15),
    "latent": _latent,
    "trained": partial(_trained, "state"),
    "trained-constant": partial(_trained, "constant"),
    "trained-step": partial(_trained_step, "state"),
    "trained-step-constant": partial(_trained_step, "constant"),
    "lean": partial(_lean, False),
    "lean-regularized": partial(_lean, True),
}


@cache
def system(name: str) -> System:
    """One of :data:`SYSTEMS`, the same object each time, so that what is sampled on it is shared."""
    return SYSTEMS[name]()
