"""How a loss answers to an error.

The expansion of one nonlinear equation. Dashed: the first order alone. The hatched part is beyond the radius.
"""

import torch

from sdewm import FunctionSDE, PerturbedSDE, TimeGrid, expand

base = FunctionSDE(f=lambda t, x: torch.sin(x), g=lambda t, x: 0.3 + 0.1 * torch.cos(x))
error = FunctionSDE(f=lambda t, x: x, g=lambda t, x: torch.tanh(x))
x0, grid = torch.tensor([0.8], dtype=torch.float64), TimeGrid(0.0, 1.0, 32)

expand(PerturbedSDE(base, error), lambda x: (x**2).sum(-1), x0, grid, paths=4096, order=3).plot()
