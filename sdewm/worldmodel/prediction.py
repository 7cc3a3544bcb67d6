"""Open-loop prediction: what the world model foresees from the actions alone, beside what came."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from sdewm import arguments
from sdewm.worldmodel.replay import Episode, Sequences, to_sequences
from sdewm.worldmodel.world_model import WorldModel

CONTEXT, HORIZON = 10, 30  # steps of a held-out window that are seen, and that are then predicted
SCORED = (1, 5, 15, 30)  # steps ahead


class OpenLoopError(NamedTuple):
    """Mean over the batch of ½ the squared standardized error, n = 1, 2, … steps after the last observation seen.

    ``predicted``: of the model; ``held``: of the last observation seen, left where it is; ``mean``: of the training
    data's mean. All (T − context,), in nats.
    """

    predicted: Float[Tensor, " steps"]
    held: Float[Tensor, " steps"]
    mean: Float[Tensor, " steps"]


def windows(episodes: Sequence[Episode], length: int, dtype: torch.dtype = torch.float32) -> Sequences:
    """Stretches of ``length`` steps of episodes' records, half overlapping, none over an episode's end, as a batch.

    ``ValueError`` where no episode is so long.
    """
    length = arguments.integer("length", length, 2)
    cut = [e[start : start + length] for e in episodes for start in range(0, len(e) - length + 1, length // 2)]
    if not cut:
        raise ValueError(f"length: expected at most the {max(map(len, episodes))} steps of an episode, got {length}")
    return to_sequences(np.stack(cut), dtype)


@torch.no_grad()
def open_loop(model: WorldModel, batch: Sequences, context: int) -> Float[Tensor, "batch steps ..."]:
    """Standardized observations predicted after ``context`` ones were seen: (B, T − context, *shape).

    z is the posterior's mean while observations are seen, then the prior's. ``ValueError`` unless 1 ≤ context < T.
    """
    steps = batch.rewards.shape[1]
    if not 1 <= arguments.integer("context", context) < steps:
        raise ValueError(f"context: expected 1 to {steps - 1} of the {steps} steps, got {context}")
    seen = Sequences(*(part[:, :context] for part in batch))
    filtered = model.filter(seen)
    h, z = model.predict(filtered.h[:, -1], filtered.z[:, -1], batch.actions[:, context - 1 : -1])
    return model.decode(h, z)


@torch.no_grad()
def open_loop_error(model: WorldModel, batch: Sequences, context: int) -> OpenLoopError:
    """How the error grows with the horizon; the sequences should not run over the end of an episode."""
    truth = model.standardize(batch.observations)
    truth, last = truth[:, context:], truth[:, context - 1 : context]
    guesses = (open_loop(model, batch, context), last, torch.zeros_like(last))
    return OpenLoopError(*(0.5 * (guess - truth).square().flatten(2).sum(-1).mean(0) for guess in guesses))


@torch.no_grad()
def heldout_scores(model: WorldModel, episodes: Sequence[Episode]) -> dict[str, float]:
    """The objective's parts on windows of episodes, z at the posterior's mean, and the error of open loops.

    ``open_N``: of :func:`open_loop_error`, N steps after :data:`CONTEXT` observations seen; ``held_N``: of the last of
    these, left where it is. All in nats per step.
    """
    batch = windows(episodes, CONTEXT + HORIZON, model.latent_spread.dtype)
    scores = {name: float(part.mean()) for name, part in model.terms(batch, model.filter(batch))._asdict().items()}
    error = open_loop_error(model, batch, CONTEXT)
    for n in SCORED:
        scores |= {f"open_{n}": float(error.predicted[n - 1]), f"held_{n}": float(error.held[n - 1])}
    return scores
