"""Two rollouts of a world model that start apart.

A small recurrent model imagines twenty steps, from a latent and from that latent with an error. The larger the cell's
weights, the longer the error lives.
"""

import torch
from matplotlib import pyplot as plt
from torch import nn

from sdewm import BlockSizes, BrownianPath, LatentRollout, LatentSDE, TimeGrid
from sdewm.divergence.distances import distances

torch.manual_seed(0)
cell, prior, decode = nn.GRUCell(4, 16).double(), nn.Linear(16, 4).double(), nn.Linear(20, 3).double()
start = {name: value.clone() for name, value in cell.state_dict().items()}
grid = TimeGrid(0.0, 16.0, 16)

_, axes = plt.subplots(figsize=(5, 3.2), layout="constrained")
for scale, line in ((1.0, "-"), (3.0, "--"), (8.0, ":")):
    cell.load_state_dict({name: scale * value for name, value in start.items()})
    model = LatentSDE(
        q_enc=lambda h, s: 0 * h[..., :4], q_enc_bar=None, f=lambda h, z, a: cell(z, h),
        p=lambda h: prior(h), p_bar=lambda h: 0.1 + 0 * h[..., :4],
        q_dec=lambda h, z: decode(torch.cat([h, z], -1)), policy=lambda h, z: 0 * z[..., :1],
        observation=lambda t: torch.zeros(3, dtype=torch.float64), sizes=BlockSizes(4, 16, 4, 3), leak=1.0,
    )  # fmt: skip
    rollout = LatentRollout(model)
    error = rollout.perturbation(torch.full((1, 4), 0.5, dtype=torch.float64))
    noise = BrownianPath(0, 512, 4, 0.0, 16.0).at(4)
    apart = distances(
        rollout, torch.zeros(20, dtype=torch.float64), grid, perturbations=error, method="euler-sequential", noise=noise
    )
    axes.plot(range(17), apart[0].detach().mean(-1).sqrt(), line, marker="o", ms=3, label=f"weights × {scale:g}")
axes.set(yscale="log", xlabel="imagined steps", ylabel="distance, root mean square")
axes.legend()
