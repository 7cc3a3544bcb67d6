"""Audit a world model with recorded episodes."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from sdewm import arguments
from sdewm.adapters.gaussian_rssm import GaussianRSSM, Recording, latent_spread
from sdewm.adapters.own_agent import as_recording, from_agent
from sdewm.auditing.expansions import expansions
from sdewm.auditing.findings import ExpandedLoss
from sdewm.auditing.model_audit import ModelAudit
from sdewm.auditing.open_loop_error import follow, open_loop_errors
from sdewm.auditing.over_episodes import mean_over, ratio_over
from sdewm.auditing.rollouts import error_growth, logarithmic_norms
from sdewm.worldmodel.agent import Agent
from sdewm.worldmodel.replay import Episode


def audit(
    model: GaussianRSSM | Agent,
    episodes: Sequence[Recording] | Sequence[Episode],
    *,
    horizon: int = 30,
    context: int = 10,
    steps: int = 8,
    paths: int = 256,
    seed: int = 0,
    name: str | None = None,
) -> ModelAudit:
    """How far a world model's predictions can be trusted, and what the theory says of errors in it.

    Parameters
    ----------
    model : a :class:`~sdewm.adapters.GaussianRSSM`, see :mod:`sdewm.adapters`, or an agent that was trained here. An
        agent is taken in its own dtype.
    episodes : recordings that the model was not trained on; for an agent episodes' records, as
        :func:`sdewm.worldmodel.load_trained` gives them. All error bars come from how they differ: with one there is
        none.
    horizon : steps that are predicted.
    context : observations that are seen before.
    steps : of an expansion, ``paths`` for each of its means. At least 2: an error in z is seen in s̃ a step later.
    seed : determines every number.
    name : what the report calls the model.

    Raises ``ValueError`` where an episode does not fit the model, or is shorter than context and horizon together.

    >>> from sdewm.worldmodel import load_trained
    >>> found = audit(*load_trained(), horizon=15)
    >>> found.episodes
    3
    """
    started = time.perf_counter()
    horizon, context = arguments.integer("horizon", horizon, 1), arguments.integer("context", context, 1)
    steps, paths = arguments.integer("steps", steps, 2), arguments.integer("paths", paths, 32)
    seed = arguments.integer("seed", seed, 0)
    if not len(episodes):
        raise ValueError("episodes: expected at least one, got none")
    if isinstance(model, Agent):
        agent = model
        model = from_agent(agent, name or "agent")
        episodes = [as_recording(e, agent) if isinstance(e, np.ndarray) else e for e in episodes]
    arguments.instance("model", model, GaussianRSSM, "a GaussianRSSM, see sdewm.adapters, or an Agent")
    recordings = [model.recording(episode) for episode in episodes]  # type: ignore[arg-type]
    least = context + max(horizon, steps)
    for number, r in enumerate(recordings):
        if len(r.actions) < least:
            raise ValueError(
                f"episodes: expected at least {least} observations in each, context {context} and the "
                f"{max(horizon, steps)} that follow, got {len(r.actions)} in episode {number}"
            )
    followed = [follow(model, r, context, horizon) for r in recordings]
    own = latent_spread([f.filtered for f in followed])
    errors = open_loop_errors(model, followed, horizon)
    growth, visited = error_growth(model, followed, horizon, own, seed)
    norms = logarithmic_norms(model, visited)
    expanded = list(expansions(model, followed, own, steps, paths, seed))
    ahead, n = range(horizon), errors.windows
    return ModelAudit(
        model=name or model.name,
        against_mean=tuple(ratio_over(errors.model[:, i], errors.mean[:, i], n) for i in ahead),
        against_last=tuple(ratio_over(errors.model[:, i], errors.last[:, i], n) for i in ahead),
        growth=tuple(ratio_over(a, growth.size, growth.pairs, seed, power=0.5) for a in growth.apart.T),
        small_growth=tuple(
            ratio_over(a, growth.size, growth.pairs, seed, power=0.5, flags=flags)
            for a, flags in zip(growth.small_apart.T, growth.flags, strict=True)
        ),
        divergence=ratio_over(growth.farthest, growth.size, growth.pairs, seed),
        small_divergence=ratio_over(growth.small_farthest, growth.size, growth.pairs, seed, flags=growth.flags[-1]),
        log_norm=mean_over(norms.mu, norms.states, seed),
        log_sigma=mean_over(norms.log_sigma, norms.states, seed),
        expanding=mean_over(norms.expanding, norms.states, seed),
        expansions=tuple(e for e in expanded if isinstance(e, ExpandedLoss)),
        left_out=tuple(e for e in expanded if isinstance(e, str)),
        episodes=len(followed),
        windows=errors.windows,
        horizon=horizon,
        context=context,
        steps=steps,
        paths=paths,
        seed=seed,
        dtype=str(model.h0.dtype).removeprefix("torch."),
        seconds=time.perf_counter() - started,
    )
