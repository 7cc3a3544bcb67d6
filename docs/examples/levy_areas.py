"""What increments do not tell.

Two noises over one step: where they end, and the area that they enclose with their chord. Milstein's scheme needs
that area where noises do not commute. For one end point it can be anything.
"""

import torch
from matplotlib import pyplot as plt

from sdewm import BrownianPath

[(increment, area)] = BrownianPath(0, 4000, 2).at(0, finest=0).areas()
size = increment.norm(dim=-1)

_, (left, right) = plt.subplots(1, 2, figsize=(7, 3.2), layout="constrained")
left.scatter(*increment[:400].T, c=area[:400, 0, 1], s=6, cmap="cividis")
left.set(xlabel="first noise", ylabel="second noise", title="end points; colour: area", aspect="equal")
near, far = area[size < 0.7, 0, 1], area[size > 2.0, 0, 1]
bins = torch.linspace(-2, 2, 41).numpy()
right.hist(near.numpy(), bins, density=True, histtype="step", ls="-", label="ends near the start")
right.hist(far.numpy(), bins, density=True, histtype="step", ls="--", label="ends far away")
right.set(xlabel="area", title="the area, given where it ends")
right.legend()
