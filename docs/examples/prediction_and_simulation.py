"""Is the prediction right, and how far?

Circles: the loss simulated with an error of that size, on the same noise, with bars of two standard errors. The
prediction follows them as far as its radius, and leaves them beyond.
"""

import numpy as np
import torch

from sdewm import FunctionSDE, PerturbedSDE, TimeGrid, expand, solve

base = FunctionSDE(f=lambda t, x: x - x**3, g=lambda t, x: 0.4 + 0 * x)
error = FunctionSDE(f=lambda t, x: torch.ones_like(x), g=lambda t, x: 0.5 * x)
family, x0, grid = PerturbedSDE(base, error), torch.tensor([0.2], dtype=torch.float64), TimeGrid(0.0, 1.0, 32)


def loss(x):
    return torch.tanh(2 * x).sum(-1)


eps = np.linspace(-1.2, 1.2, 9)
axes = expand(family, loss, x0, grid, paths=4096).plot(largest=1.3)
simulated = [loss(solve(family.at(e), x0, grid, paths=4096, seed=0)) for e in eps]
mean, stderr = [y.mean() for y in simulated], [2 * y.std() / 64 for y in simulated]
axes.errorbar(eps, mean, stderr, color="black", linestyle="none", marker="o", label="simulated")
axes.legend()
