"""The reference latent model: a small nonlinear system of the form (5)–(8) with fixed weights."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sdewm.systems.blocks import BlockSizes
from sdewm.systems.latent import LatentSDE
from sdewm.systems.perturbed import PerturbedSDE

SIZES = BlockSizes(z=2, h=3, z_tilde=2, s_tilde=2)
HORIZON = 1.0
STEPS = 100
WEIGHTS_SEED = 20240


class _Map(nn.Module):
    """A tanh network with one hidden layer, its inputs concatenated; ``positive`` makes a diffusion of it."""

    def __init__(self, inputs: int, outputs: int, generator: torch.Generator, positive: bool = False) -> None:
        super().__init__()
        hidden = 8
        self.first = nn.Linear(inputs, hidden, dtype=torch.float64)
        self.last = nn.Linear(hidden, outputs, dtype=torch.float64)
        self.positive = positive
        for layer in (self.first, self.last):
            scale = 1.2 / layer.in_features**0.5
            for parameter in layer.parameters():
                parameter.requires_grad_(False).copy_(
                    scale * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
                )

    def forward(self, *inputs: Tensor) -> Tensor:
        paths = max(len(x) for x in inputs if x.ndim == 2)
        x = torch.cat([x if x.ndim == 2 else x.expand(paths, -1) for x in inputs], -1)
        out = self.last(torch.tanh(self.first(x)))
        return 0.2 + 0.5 * torch.sigmoid(out) if self.positive else out


def observation(t: Float[Tensor, ""]) -> Float[Tensor, " 2"]:
    """s_t: a point that moves on a circle, ``(2,)``."""
    return torch.stack([torch.sin(2 * t), torch.cos(2 * t)])


def latent_model(sequence_noise: bool = False) -> LatentSDE:
    """The reference model, 2 + 3 + 2 + 2 dimensions; ``sequence_noise`` gives (6) a diffusion f̄."""
    g = torch.Generator().manual_seed(WEIGHTS_SEED)
    z, h, z_tilde, s_tilde = SIZES
    s, a = 2, 1
    q_enc, q_enc_bar = _Map(h + s, z, g), _Map(h + s, z, g, positive=True)
    f, policy = _Map(h + z + a, h, g), _Map(h + z, a, g)
    p, p_bar = _Map(h, z_tilde, g), _Map(h, z_tilde, g, positive=True)
    q_dec, q_dec_bar = _Map(h + z_tilde, s_tilde, g), _Map(h + z_tilde, s_tilde, g, positive=True)
    f_bar = _Map(h + z + a, h, g, positive=True)
    return LatentSDE(
        q_enc=q_enc,
        q_enc_bar=q_enc_bar,
        f=f,
        f_bar=f_bar if sequence_noise else None,
        p=p,
        p_bar=p_bar,
        q_dec=q_dec,
        q_dec_bar=q_dec_bar,
        policy=policy,
        observation=observation,
        sizes=SIZES,
    )


def latent_family(drift_error: bool = True, sequence_noise: bool = False) -> PerturbedSDE:
    """The reference model under a representation error that depends on h and s; σ = 0 without ``drift_error``.

    ``sequence_noise`` gives (6) a diffusion f̄.
    """
    model = latent_model(sequence_noise)
    g = torch.Generator().manual_seed(WEIGHTS_SEED + 1)
    inputs = SIZES.h + 2
    sigma, sigma_bar = _Map(inputs, SIZES.z, g), _Map(inputs, SIZES.z, g)
    return PerturbedSDE(model, model.encoder_error(sigma if drift_error else None, sigma_bar))


def initial_state() -> Float[Tensor, " n"]:
    """x0, ``(9,)``."""
    return torch.tensor([0.3, -0.2, 0.5, -0.4, 0.1, 0.2, -0.1, 0.4, 0.0], dtype=torch.float64)


def loss(x: Float[Tensor, "paths n"]) -> Float[Tensor, " paths"]:
    """A convex loss of all four blocks: squared error of s̃ against its observation, and of z̃ against z."""
    z, z_tilde, s_tilde = x[:, 0:2], x[:, 5:7], x[:, 7:9]
    target = observation(torch.tensor(HORIZON, dtype=x.dtype))
    return 0.5 * ((s_tilde - target) ** 2).sum(-1) + 0.5 * ((z_tilde - z) ** 2).sum(-1)
