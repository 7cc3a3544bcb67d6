"""A trained world model read as the SDE (5)–(8), its losses, and the model that ships with the package."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.resources import as_file, files

import torch
from torch import Tensor

from sdewm.systems.latent import Blocks, BlockSizes, LatentSDE, RecordedObservation
from sdewm.worldmodel.gaussian import Gaussian, kl_divergence
from sdewm.worldmodel.walker_checkpoint import load_model
from sdewm.worldmodel.walker_model import WorldModel
from sdewm.worldmodel.walker_record import Episode, load_episodes
from sdewm.worldmodel.walker_train import to_batch
from sdewm.worldmodel.world_model import Rollout

Loss = Callable[[Tensor | float, Tensor], Tensor]


def load_trained(name: str = "walker_walk") -> tuple[WorldModel, list[Episode]]:
    """A world model that ships with the package, in float64 and frozen, and episodes it never trained on.

    Besides "walker_walk" there are the ends of the ladder of Jacobian regularization, such as
    "walker_walk_jacobian_10_seed_0" with λ = 10; see :mod:`sdewm.worldmodel.ladder`. Needs neither dm_control nor a
    renderer.
    """
    data = files("sdewm.worldmodel") / "data"
    # Agents ship beside the models of this kind: see sdewm.worldmodel.load_lean.
    known = sorted(
        entry.name.removesuffix(".safetensors")
        for entry in data.iterdir()
        if entry.name.startswith("walker_walk") and entry.name.endswith(".safetensors")
    )
    if name not in known:
        raise ValueError(f"no trained model named {name!r}; there is: {', '.join(known)}")
    with as_file(data / f"{name}.safetensors") as path:
        model, metadata = load_model(path)
    with as_file(data / f"{metadata.get('heldout', name)}_heldout.npz") as path:
        episodes, _ = load_episodes(path)
    return model.double().requires_grad_(False), episodes


def as_sde(model: WorldModel, episode: Episode) -> LatentSDE:
    """The model's learned coefficients as a :class:`LatentSDE` driven by a recorded episode.

    Time is counted in agent steps: frame n of the episode is s_t at t = n, interpolated linearly in
    between, so t runs from 0 to len(episode) − 1. With ``leak`` = 1 each learned map is the value its block
    relaxes to, and the sequential Euler step with Δt = 1 is the model's own step:

    - q_enc and its diffusion: mean and standard deviation of the posterior q(z | h, s);
    - f: the recurrent cell, with no noise; the action is the imitated behaviour π(h, z);
    - p and its diffusion: mean and standard deviation of the prior p(z̃ | h);
    - q_dec: the decoder in image coordinates (see :class:`WorldModel`).

    The decoder's own unit variance is left out (``q_dec_bar`` is None). That noise would be additive and
    independent of everything else, so it would add a constant to the expected quadratic
    :func:`reconstruction_loss`, the same for every representation error.

    Every coefficient is C^∞. Assumption 3.1's boundedness holds where |h| ≤ 1, a set that h never leaves, but
    for q_dec, which grows linearly in z̃.

    A frame s may be (size, size) or flat, one for all paths or one for each.
    """

    def encode(h: Tensor, s: Tensor) -> Gaussian:
        size = model.config.image_size
        embedding = model.embed(s.reshape(-1, size, size))
        return model.posterior(h, embedding.expand(h.shape[0], -1))

    return LatentSDE(
        q_enc=lambda h, s: encode(h, s).mean,
        q_enc_bar=lambda h, s: encode(h, s).std,
        f=model.sequence,
        p=lambda h: model.prior(h).mean,
        p_bar=lambda h: model.prior(h).std,
        q_dec=model.decode,
        policy=model.policy,
        observation=recorded_frames(model, episode),
        sizes=block_sizes(model),
        leak=1.0,
    )


def block_sizes(model: WorldModel) -> BlockSizes:
    """Dimensions of z, h, z̃, s̃."""
    config = model.config
    return BlockSizes(z=config.stoch, h=config.deter, z_tilde=config.stoch, s_tilde=config.features)


def recorded_frames(model: WorldModel, episode: Episode) -> RecordedObservation:
    """s_t: intensities (size, size) in [0, 1], frame n at t = n."""
    return _in_time(to_batch([episode], _dtype(model)).frames[0])


@torch.no_grad()
def initial_state(model: WorldModel, episode: Episode, t: int = 10) -> Tensor:
    """A typical state x = (z, h, z̃, s̃), shape (n,), at the episode's time t.

    The episode is filtered from h = 0 at its first frame to frame t, under the recorded actions and with z
    at its posterior's mean; then z̃ is the prior's mean and s̃ its decoding. Start the SDE at time t. With
    t around 10 the state is typical of the middle of an episode; at t = 0, h is still zero.
    """
    if not 0 <= t < len(episode):
        raise ValueError(f"t must be a frame of the episode, 0 to {len(episode) - 1}, got {t}")
    rollout = _filter(model, episode.window(0, t + 1))
    h, z = rollout.h[0, -1], rollout.z[0, -1]
    z_tilde = model.prior(h).mean
    return torch.cat([z, h, z_tilde, model.decode(h, z_tilde)])


@torch.no_grad()
def latent_spread(model: WorldModel, episodes: Sequence[Episode]) -> Tensor:
    """Standard deviation of each coordinate of the posterior's mean along filtered episodes, (stoch,).

    The latent's own unit: an error in z is large or small as it compares with this.
    """
    return torch.cat([_filter(model, episode).posterior.mean[0] for episode in episodes]).std(0)


def reconstruction_loss(model: WorldModel, episode: Episode) -> Loss:
    """J_O(t, x) = ½ · mean over pixels of (decoded image − s_t)², in standardized pixels: (paths,).

    Computed as ½ |s̃ − c_t|² + ½ (mean of s_t² − |c_t|²), c_t the image coordinates of s_t; equal to rounding,
    the basis being orthonormal. The second part does not depend on the state. It is a mean, not a sum, over
    pixels: times the number of pixels it is the training objective's nats.
    """
    frames, sizes = recorded_frames(model, episode), block_sizes(model)

    def loss(t: Tensor | float, x: Tensor) -> Tensor:
        pixels = model.standardize(frames(t))
        target = model.coordinates(pixels)
        unreachable = pixels.square().mean() - target.square().sum()
        error = _blocks(x, sizes).s_tilde - target
        return 0.5 * (error * error).sum(-1) + 0.5 * unreachable

    return loss


def reward_loss(model: WorldModel, episode: Episode) -> Loss:
    """J_R(t, x) = ½ (r̂(h, z) − r_t)²: (paths,). r_t is the recorded reward, collected on the way into t."""
    rewards, sizes = _in_time(to_batch([episode], _dtype(model)).rewards[0]), block_sizes(model)

    def loss(t: Tensor | float, x: Tensor) -> Tensor:
        state = _blocks(x, sizes)
        error = model.reward(state.h, state.z) - rewards(t)
        return 0.5 * (error * error)

    return loss


def consistency_loss(model: WorldModel, episode: Episode) -> Loss:
    """J_D(t, x) = KL( q(· | h, s_t) ‖ p(· | h) ) in closed form, in nats: (paths,)."""
    frames, sizes = recorded_frames(model, episode), block_sizes(model)

    def loss(t: Tensor | float, x: Tensor) -> Tensor:
        h = _blocks(x, sizes).h
        embedding = model.embed(frames(t).unsqueeze(0)).expand(h.shape[0], -1)
        return kl_divergence(model.posterior(h, embedding), model.prior(h))

    return loss


def _filter(model: WorldModel, episode: Episode) -> Rollout:
    batch = to_batch([episode], _dtype(model))
    return model.observe(batch.frames, batch.actions, batch.frames.new_zeros(1, len(episode), model.config.stoch))


def _in_time(values: Tensor) -> RecordedObservation:
    return RecordedObservation(torch.arange(len(values), dtype=values.dtype), values)


def _blocks(x: Tensor, sizes: BlockSizes) -> Blocks:
    return Blocks(*torch.split(x, list(sizes), -1))


def _dtype(model: WorldModel) -> torch.dtype:
    return model.mean_image.dtype
