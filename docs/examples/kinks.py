"""A kink in the loss.

Theorem 3.7 asks for a loss of class C². With a ReLU in the loss the second coefficient leaves out what paths add that
cross the kink; with softplus nothing is left out. Circles: simulated.
"""

import warnings

import numpy as np
import torch
from matplotlib import pyplot as plt

from sdewm import FunctionSDE, PerturbedSDE, TimeGrid, expand, solve

base = FunctionSDE(lambda t, x: -x, lambda t, x: 0.5 + 0 * x)
family = PerturbedSDE(base, FunctionSDE(lambda t, x: torch.ones_like(x)))
x0, grid = torch.zeros(1, dtype=torch.float64), TimeGrid(0.0, 1.0, 16)
losses = {
    "softplus": lambda x: torch.nn.functional.softplus(4 * x).sum(-1) / 4,
    "ReLU": lambda x: torch.relu(x).sum(-1),
}
eps = np.linspace(-0.6, 0.6, 9)

_, panels = plt.subplots(1, 2, figsize=(7.4, 3.2), layout="constrained")
for axes, (name, loss) in zip(panels, losses.items(), strict=True):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # which would say so
        expand(family, loss, x0, grid, paths=4096).plot(axes, largest=0.7)
    simulated = [loss(solve(family.at(e), x0, grid, paths=4096, seed=0)).mean() for e in eps]
    axes.plot(eps, simulated, "ko", ms=4, label="simulated")
    axes.set_title(name)
    axes.legend()
