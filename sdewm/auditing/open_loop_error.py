"""The error of predictions from actions alone, beside two guesses that take no model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sdewm.adapters.gaussian_rssm import Filtered, GaussianRSSM, Recording
from sdewm.arrays import Array


@dataclass(frozen=True, eq=False)
class Followed:
    """An episode with what the model makes of it: filtered states, the decoder's targets; where predictions start."""

    episode: Recording
    filtered: Filtered
    targets: Tensor
    starts: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Errors:
    """Mean squared errors n = 1 … N steps ahead, ``(episodes, N)`` each, in the units of the model's targets.

    Of the ``model``; of the ``mean`` observation of these very episodes, which nobody can know beforehand; and of the
    ``last`` observation seen, left where it is. ``windows``: predictions in all.
    """

    model: Array
    mean: Array
    last: Array
    windows: int


def follow(model: GaussianRSSM, episode: Recording, context: int, horizon: int) -> Followed:
    """Filter an episode; predictions start after ``context`` observations, then every half horizon."""
    starts = tuple(range(context - 1, len(episode.actions) - horizon, max(1, horizon // 2)))
    return Followed(episode, model.filter(episode), model.targets(episode.observations), starts)


@torch.no_grad()
def open_loop_errors(model: GaussianRSSM, followed: Sequence[Followed], horizon: int) -> Errors:
    """Of every window of every episode, averaged over those of an episode."""
    middle = torch.cat([f.targets for f in followed]).mean(0)
    rows: list[Tensor] = []
    for f in followed:
        starts = list(f.starts)
        ahead = torch.tensor(starts).unsqueeze(1) + torch.arange(1, horizon + 1)
        truth = f.targets[ahead]
        actions = f.episode.actions[ahead - 1]
        predicted = model.predict(f.filtered.h[starts], f.filtered.mean[starts], actions)
        guesses = (predicted, middle.expand_as(truth), f.targets[starts].unsqueeze(1).expand_as(truth))
        rows.append(torch.stack([(guess - truth).double().square().mean(-1).mean(0) for guess in guesses]))
    of_model, mean, last = torch.stack(rows, 1).numpy()
    return Errors(of_model, mean, last, sum(len(f.starts) for f in followed))
