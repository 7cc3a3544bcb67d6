"""A plain GRU world model: a recurrent state, a Gaussian latent, a decoder; each step of it is a step of the model."""

import torch
from torch import nn

from sdewm import BlockSizes, LatentSDE, PerturbedSDE, SummedLoss, System, TimeGrid

Z, H, S = 4, 12, 6


class WorldModel(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Linear(S + H, 2 * Z)
        self.cell = nn.GRUCell(Z + 1, H)
        self.prior = nn.Linear(H, 2 * Z)
        self.decoder = nn.Linear(H + Z, S)
        self.actor = nn.Linear(H + Z, 1)


def system():
    torch.manual_seed(0)
    m = WorldModel().double().requires_grad_(False)
    observations = torch.randn(11, S, dtype=torch.float64)

    def encode(h, s):
        return m.encoder(torch.cat([h, s.expand(*h.shape[:-1], S)], -1))

    model = LatentSDE(
        q_enc=lambda h, s: encode(h, s)[..., :Z],
        q_enc_bar=lambda h, s: 0.3 * torch.sigmoid(encode(h, s)[..., Z:]),
        f=lambda h, z, a: m.cell(torch.cat([z, a], -1), h),
        p=lambda h: m.prior(h)[..., :Z],
        p_bar=lambda h: 0.3 * torch.sigmoid(m.prior(h)[..., Z:]),
        q_dec=lambda h, z: m.decoder(torch.cat([h, z], -1)),
        policy=lambda h, z: torch.tanh(m.actor(torch.cat([h, z], -1))),
        observation=lambda t: observations[int(t)],
        sizes=BlockSizes(z=Z, h=H, z_tilde=Z, s_tilde=S),
        leak=1.0,
    )
    error = model.encoder_error(
        lambda h, s: 0.5 * torch.tanh(h[..., :Z]), lambda h, s: 0.2 + 0.1 * torch.cos(h[..., :Z])
    )
    reconstruction = SummedLoss(
        lambda t, x: ((x[:, -S:] - observations[int(t)]) ** 2).mean(-1), times=[float(k) for k in range(1, 9)]
    )
    return System(
        PerturbedSDE(model, error),
        reconstruction,
        torch.zeros(2 * Z + H + S, dtype=torch.float64),
        TimeGrid(0.0, 8.0, 8),
        method="euler-sequential",
        name="GRU world model",
    )
