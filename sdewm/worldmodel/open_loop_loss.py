"""The error of a guess some steps ahead, as a loss of the state that the guess is made from."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from sdewm import arguments
from sdewm.worldmodel.replay import Sequences
from sdewm.worldmodel.sde import block_sizes, recorded_actions
from sdewm.worldmodel.world_model import WorldModel


def open_loop_loss(
    model: WorldModel, episode: Sequences, ahead: int
) -> Callable[[Float[Tensor, ""] | float, Float[Tensor, "paths n"]], Float[Tensor, " paths"]]:
    """J_L(t, x) = ½ · mean over the observation's numbers of (ŝ − s_{t+ahead})², standardized: (t, x) -> (paths,).

    ŝ is the model's guess from h and z of the state x: ``ahead`` steps under the recorded actions, z̃ at the prior's
    mean, without looking. ``episode`` is a batch of one, and t a whole agent step of it; ``ValueError`` where the
    episode ends before t + ``ahead``.

    Example: ``open_loop_loss(model, episode, 5)(12.0, initial_state(model, observations, actions, 12)[None])``.
    """
    ahead = arguments.integer("ahead", ahead, 1)
    act = recorded_actions(episode.actions[0])
    seen, sizes = model.standardize(episode.observations[0]).flatten(1), list(block_sizes(model))

    def loss(t: Tensor | float, x: Tensor) -> Tensor:
        start = round(float(t))
        if not 0 <= start < len(seen) - ahead:
            raise ValueError(f"t: expected 0 to {len(seen) - 1 - ahead}, {ahead} steps before the end, got {start}")
        z, h, _, _ = torch.split(x, sizes, -1)
        for n in range(start, start + ahead):
            h = model.sequence(h, z, act(torch.tensor(float(n)), h, z))
            z = model.prior(h).mean
        guess, target = model.s_tilde(h, z), seen[start + ahead]
        if model.basis is None:
            error = guess - target
            return 0.5 * (error * error).mean(-1)
        reached = model.basis.coordinates(target)
        error = guess - reached
        return 0.5 * (error * error).sum(-1) + 0.5 * (target.square().mean() - reached.square().sum())

    return loss
