"""A whole verdict in one picture.

Every row of a verification: how far it is from what the theory says, in units of what counts as near enough.
"""

import torch

from sdewm import FunctionSDE, PerturbedSDE, System, TimeGrid, verify

base = FunctionSDE(f=lambda t, x: torch.sin(x), g=lambda t, x: 0.3 + 0.1 * torch.cos(x))
error = FunctionSDE(f=lambda t, x: x, g=lambda t, x: torch.tanh(x))
x0 = torch.tensor([0.8], dtype=torch.float64)
system = System(PerturbedSDE(base, error), lambda x: (x**2).sum(-1), x0, TimeGrid(0.0, 1.0, 32))

verify(system, ["expansion", "sensitivities", "fundamental matrix", "strong order"]).plot()
