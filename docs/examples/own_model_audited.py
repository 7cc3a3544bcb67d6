"""An audit of a small recurrent model.

A model with Gaussian latents learns a pendulum for a few seconds, and is given as functions. How many steps ahead are
its predictions better than the mean observation, and than the last one seen?
"""

import torch
from torch import nn

from sdewm.adapters import GaussianRSSM, Recording
from sdewm.auditing import audit

Z, H = 3, 24
torch.manual_seed(0)
cell, prior, encoder, decoder = nn.GRUCell(Z + 1, H), nn.Linear(H, 2 * Z), nn.Linear(H + 2, 2 * Z), nn.Linear(H + Z, 2)
parts = nn.ModuleList([cell, prior, encoder, decoder]).double()


def swing(steps):
    """A pendulum that is pushed at random: (angle, speed) and the pushes."""
    x, seen, pushes = torch.randn(2).double(), [], 0.5 * torch.randn(steps, 1).double()
    for push in pushes:
        seen.append(x)
        speed = x[1] + 0.3 * (push[0] - torch.sin(x[0]) - 0.1 * x[1])
        x = torch.stack([x[0] + 0.3 * speed, speed])
    return Recording(torch.stack(seen), pushes)


def gaussian(x):
    mean, spread = x.chunk(2, -1)
    return mean, 0.02 + 0.3 * torch.sigmoid(spread)


batch = [swing(30) for _ in range(32)]
seen, pushes = (torch.stack(rows) for rows in zip(*(b[:2] for b in batch), strict=True))
optimizer = torch.optim.Adam(parts.parameters(), 1e-2)
for _ in range(150):
    h, objective = torch.zeros(32, H).double(), 0.0
    for t in range(30):
        (q, q_std), (p, p_std) = gaussian(encoder(torch.cat([h, seen[:, t]], -1))), gaussian(prior(h))
        z = q + q_std * torch.randn_like(q)
        kl = ((p_std / q_std).log() + (q_std**2 + (q - p) ** 2) / (2 * p_std**2)).sum(-1)
        error = sum((decoder(torch.cat([h, x], -1)) - seen[:, t]).square().sum(-1) for x in (z, p))
        objective = objective + (20 * error + 0.1 * kl).mean()
        h = cell(torch.cat([z, pushes[:, t]], -1), h)
    optimizer.zero_grad()
    objective.backward()
    optimizer.step()

model = GaussianRSSM(
    recurrent=lambda h, z, a: cell(torch.cat([z, a], -1), h),
    prior=lambda h: gaussian(prior(h)),
    posterior=lambda h, e: gaussian(encoder(torch.cat([h, e], -1))),
    decoder=lambda h, z: decoder(torch.cat([h, z], -1)),
    policy=lambda h, z: 0 * z[:, :1],
    h0=torch.zeros(H).double(),
    name="pendulum",
)
found = audit(model, [swing(60) for _ in range(12)], horizon=20, paths=64)
print(found)
found.plot()
