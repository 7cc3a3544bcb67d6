"""A small recurrent latent dynamics model of pixels, smooth everywhere (C^∞ activations only).

Indices, for the step from t to t + 1:

    h_{t+1} = f(h_t, z_t, a_t)                 sequence model (deterministic)
    z_{t+1} ~ q(z | h_{t+1}, s_{t+1})          encoder, Gaussian
    z̃_{t+1} ~ p(z | h_{t+1})                   transition predictor, Gaussian
    s̃_{t+1} = decoder(h_{t+1}, z̃_{t+1})        decoder, K image coordinates
    r̂_{t+1} = reward(h_{t+1}, z_{t+1})         reward collected on the way into t + 1
    a_{t+1} ≈ π(h_{t+1}, z_{t+1})              the recorded behaviour, imitated
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sdewm.worldmodel.gaussian import Gaussian
from sdewm.worldmodel.world_model import Rollout

PIXEL_SCALE = 0.1  # of the full intensity range; one unit of a standardized pixel
MIN_STD, MAX_STD = 0.1, 2.1  # bounds of every latent standard deviation


@dataclass(frozen=True)
class ModelConfig:
    """Sizes of a :class:`WorldModel`."""

    image_size: int = 32  # pixels per side, a multiple of 8
    action_size: int = 6
    deter: int = 32  # h
    stoch: int = 8  # z and z̃
    hidden: int = 64  # width of every hidden layer
    embed: int = 64  # width of the encoder's embedding
    features: int = 24  # s̃, coordinates in the learned image basis
    depth: int = 8  # channels of the encoder's first layer

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if type(value) is not int or value < 1:
                raise ValueError(f"{name}: expected a positive whole number, got {value!r}")
        if self.image_size % 8:
            raise ValueError(f"image_size: expected a multiple of 8, got {self.image_size}")

    @property
    def pixels(self) -> int:
        return self.image_size**2

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


class GaussianHead(nn.Module):
    """A one-hidden-layer network onto a diagonal normal, its standard deviation inside (0.1, 2.1)."""

    def __init__(self, inputs: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(inputs, hidden)
        self.mean = nn.Linear(hidden, outputs)
        self.raw_std = nn.Linear(hidden, outputs)

    def forward(self, x: Tensor) -> Gaussian:
        x = F.silu(self.hidden(x))
        return Gaussian(self.mean(x), MIN_STD + (MAX_STD - MIN_STD) * torch.sigmoid(self.raw_std(x)))


def _mlp(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, hidden), nn.SiLU(), nn.Linear(hidden, outputs))


def _orthonormal(rows: Tensor) -> Tensor:
    """Rows of the same span, orthonormal per pixel: result @ result.T / pixels is the identity."""
    return torch.linalg.qr(rows.T).Q.T * rows.shape[-1] ** 0.5


class WorldModel(nn.Module):
    """The recurrent state-space model of this module's docstring.

    Frames are grey intensities in [0, 1], (..., size, size). The model standardizes them: each pixel's mean
    over the training data is taken off and the rest divided by 0.1. All pixel errors are in these units, in
    which the decoder is a normal distribution of unit variance.

    The decoder speaks in coordinates of a linear image basis, learned from the training frames: ``basis``
    (features, pixels), their leading principal components, orthonormal per pixel, ``basis @ basis.T /
    pixels`` being the identity. So for standardized pixels s with ``coordinates(s)`` = c, and for any s̃,

        mean over pixels of (s̃ @ basis − s)²  =  |s̃ − c|² + (mean of s² − |c|²),

    where the last bracket is what no s̃ can reach.
    """

    mean_image: Tensor
    basis: Tensor

    def __init__(self, config: ModelConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or ModelConfig()
        depth, deter, stoch, hidden = config.depth, config.deter, config.stoch, config.hidden
        self.register_buffer("mean_image", torch.zeros(config.image_size, config.image_size))
        self.register_buffer("basis", _orthonormal(torch.randn(config.features, config.pixels)))
        self.encoder = nn.Sequential(
            nn.Conv2d(1, depth, 4, stride=2, padding=1), nn.SiLU(),
            nn.Conv2d(depth, 2 * depth, 4, stride=2, padding=1), nn.SiLU(),
            nn.Conv2d(2 * depth, 4 * depth, 4, stride=2, padding=1), nn.SiLU(),
            nn.Flatten(), nn.Linear(4 * depth * (config.image_size // 8) ** 2, config.embed),
        )  # fmt: skip
        self.cell_input = nn.Linear(stoch + config.action_size, hidden)
        self.cell = nn.GRUCell(hidden, deter)
        self.posterior_head = GaussianHead(deter + config.embed, hidden, stoch)
        self.prior_head = GaussianHead(deter, hidden, stoch)
        self.decoder = _mlp(deter + stoch, hidden, config.features)
        self.reward_head = _mlp(deter + stoch, hidden, 1)
        self.policy_head = _mlp(deter + stoch, hidden, config.action_size)

    # The coefficient functions. h: (B, deter), z: (B, stoch), a: (B, action_size).

    def embed(self, frames: Tensor) -> Tensor:
        """The encoder's embedding of frames (B, size, size) in [0, 1]: (B, embed)."""
        return self.encoder(self.standardize(frames).unsqueeze(1))

    def posterior(self, h: Tensor, embedding: Tensor) -> Gaussian:
        """q(z | h, s), s through its embedding (B, embed)."""
        return self.posterior_head(torch.cat([h, embedding], -1))

    def prior(self, h: Tensor) -> Gaussian:
        """p(z̃ | h)."""
        return self.prior_head(h)

    def sequence(self, h: Tensor, z: Tensor, a: Tensor) -> Tensor:
        """The next h, (B, deter), of a step that starts from h and z and takes action a."""
        return self.cell(F.silu(self.cell_input(torch.cat([z, a], -1))), h)

    def decode(self, h: Tensor, z: Tensor) -> Tensor:
        """Image coordinates, (..., features)."""
        return self.decoder(torch.cat([h, z], -1))

    def reward(self, h: Tensor, z: Tensor) -> Tensor:
        """Expected reward collected on the way here, (...)."""
        return self.reward_head(torch.cat([h, z], -1)).squeeze(-1)

    def policy(self, h: Tensor, z: Tensor) -> Tensor:
        """π(h, z), the imitated behaviour: actions in (−1, 1), (..., action_size)."""
        return torch.tanh(self.policy_head(torch.cat([h, z], -1)))

    # Pixels and image coordinates.

    def standardize(self, frames: Tensor) -> Tensor:
        """Intensities (..., size, size) in [0, 1] to standardized pixels of the same shape."""
        return (frames - self.mean_image) / PIXEL_SCALE

    def coordinates(self, standardized: Tensor) -> Tensor:
        """Image coordinates (..., features) of standardized pixels (..., size, size)."""
        return standardized.flatten(-2) @ self.basis.T / self.config.pixels

    def intensities(self, coordinates: Tensor) -> Tensor:
        """Frames (..., size, size), in [0, 1] but for overshoot, of image coordinates (..., features)."""
        size = self.config.image_size
        pixels = (coordinates @ self.basis).unflatten(-1, (size, size))
        return pixels * PIXEL_SCALE + self.mean_image

    @torch.no_grad()
    def fit_pixels(self, frames: Tensor) -> None:
        """Take mean image and basis from training frames (N, size, size)."""
        self.mean_image.copy_(frames.mean(0))
        centred = self.standardize(frames).flatten(1)
        _, vectors = torch.linalg.eigh(centred.T @ centred)
        self.basis.copy_(_orthonormal(vectors.T.flip(0)[: self.config.features]))

    def double(self) -> WorldModel:
        """To float64, with the basis orthonormal to the rounding of float64 and not of float32."""
        super().double()
        for _ in range(2):  # Newton's iteration: each step squares the error
            gram = self.basis @ self.basis.T / self.config.pixels
            self.basis.copy_(1.5 * self.basis - 0.5 * gram @ self.basis)
        return self

    # Sequences, batch first.

    def observe(self, frames: Tensor, actions: Tensor, noise: Tensor) -> Rollout:
        """Filter frames (B, T, size, size) under actions (B, T, action_size), from h = 0 at the first frame.

        ``noise`` (B, T, stoch), standard normal, draws z from the posterior; zeros give its mean. The
        action at t acts between t and t + 1, so the last one is not used.
        """
        batch, steps = frames.shape[:2]
        embeddings = self.embed(frames.flatten(0, 1)).unflatten(0, (batch, steps))
        h = frames.new_zeros(batch, self.config.deter)
        z = frames.new_zeros(batch, self.config.stoch)
        history = []
        for t in range(steps):
            if t > 0:
                h = self.sequence(h, z, actions[:, t - 1])
            mean, std = self.posterior(h, embeddings[:, t])
            z = mean + std * noise[:, t]
            history.append((h, z, mean, std))
        h, z, mean, std = (torch.stack(parts, 1) for parts in zip(*history, strict=True))
        return Rollout(h, z, Gaussian(mean, std))

    def imagine(self, h: Tensor, z: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        """Open loop from h (B, deter) and z (B, stoch), actions (B, T, action_size), z̃ at the prior's mean.

        Returns h (B, T, deter) and z̃ (B, T, stoch) after each action: frames are no longer seen.
        """
        hs, zs = [], []
        for t in range(actions.shape[1]):
            h = self.sequence(h, z, actions[:, t])
            z = self.prior(h).mean
            hs.append(h)
            zs.append(z)
        return torch.stack(hs, 1), torch.stack(zs, 1)
