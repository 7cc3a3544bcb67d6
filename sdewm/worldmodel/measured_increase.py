"""By how much a perturbation of the images raises a world model's losses, measured: the referee of a prediction.

The model's own step, written out, without the SDE: paths of the clean and of the perturbed frames on common noise,
each path's frames perturbed by itself. Nothing here is fitted, and no draw is one that a fit has seen.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from sdewm import arguments
from sdewm.estimate.estimates import Estimate
from sdewm.worldmodel.loss_prediction import LOSSES, WINDOWS, Windows
from sdewm.worldmodel.perturbations import Perturbation
from sdewm.worldmodel.replay import Episode, Sequences, to_sequences
from sdewm.worldmodel.representation_error import perturbed_frames, posterior_embedding
from sdewm.worldmodel.sde import block_sizes, initial_state
from sdewm.worldmodel.seeds import derived_seed
from sdewm.worldmodel.world_model import WorldModel


def measure_losses(
    model: WorldModel,
    perturbation: Perturbation,
    episodes: Sequence[Episode],
    *,
    windows: Windows = WINDOWS,
    paths: int = 256,
    seed: int = 0,
) -> dict[str, Estimate]:
    """The increase of each of :data:`~sdewm.worldmodel.loss_prediction.LOSSES`, as it is.

    In the mean over the same windows as :func:`~sdewm.worldmodel.loss_prediction.predict_losses`, with ``paths`` paths
    from each start, two of them with noise of opposite sign. Losses compare with the clean frame. ``ValueError`` names
    the argument that is wrong.

    Example: ``measure_losses(agent.world_model, Rotation(2.0), episodes[:2])["J_R"].mean``.
    """
    windows.check(episodes)
    paths = arguments.integer("paths", paths, 16)
    pairs = paths // 2
    totals = {name: torch.zeros(pairs, dtype=torch.float64) for name in LOSSES}
    starts = [(number, start) for number in range(len(episodes)) for start in windows.starts]
    for number, start in starts:
        episode = to_sequences(episodes[number][None], model.latent_spread.dtype)
        frames = episodes[number]["observation"][start + 1 : start + windows.steps + 1]
        own_seed = derived_seed(seed, f"measure {number}", start)
        seen = posterior_embedding(model, perturbed_frames(model, perturbation, frames, 2 * pairs, own_seed))
        clean = posterior_embedding(model, frames).expand_as(seen)
        generator = torch.Generator().manual_seed(own_seed)
        half = torch.randn(windows.steps, 2, pairs, model.config.stoch, generator=generator, dtype=torch.float64)
        noise = torch.cat([half, -half], 2).to(seen.dtype)
        perturbed, unperturbed = (losses_of_paths(model, episode, start, windows, e, noise) for e in (seen, clean))
        for name in LOSSES:
            totals[name] += (perturbed[name] - unperturbed[name]).view(2, pairs).mean(0) / len(starts)
    return {
        name: Estimate(float(t.mean()), float(t.std()) / pairs**0.5, 2 * pairs * len(starts), dof=pairs - 1, seed=seed)
        for name, t in totals.items()
    }


@torch.no_grad()
def losses_of_paths(
    model: WorldModel,
    episode: Sequences,
    start: int,
    windows: Windows,
    seen: Float[Tensor, "paths steps embedding"],
    noise: Float[Tensor, "steps 2 paths z"],
) -> dict[str, Float[Tensor, " paths"]]:
    """Each loss of each path, (paths,), where the encoder sees embeddings (paths, steps, n)."""
    grid = windows.grid(start)
    losses = windows.losses(model, episode, grid)
    x0 = initial_state(model, episode.observations[0], episode.actions[0], start)
    z, h = (part.expand(len(seen), -1) for part in x0.split(list(block_sizes(model)))[:2])
    total = {name: torch.zeros(len(seen), dtype=torch.float64) for name in losses}
    for n in range(windows.steps):
        h = model.sequence(h, z, episode.actions[0, start + n].expand(len(seen), -1))
        posterior, prior = model.posterior_of(h, seen[:, n]), model.prior(h)
        z = posterior.mean + posterior.std * noise[n, 0]
        z_tilde = prior.mean + prior.std * noise[n, 1]
        x = torch.cat([z, h, z_tilde, model.s_tilde(h, z_tilde)], -1)
        for name, loss in losses.items():
            total[name] += loss.fn(torch.tensor(grid.time(n + 1)), x) / windows.steps
    return total
