"""The printed second order, and the corrected one.

What is left of the loss after order 2 falls like ε³ if the second coefficient is right. As the paper prints it, with
ε²∂²x in place of ½ε²∂²x, it falls like ε² only.
"""

import torch
from matplotlib import pyplot as plt

from sdewm import FunctionSDE, PerturbedSDE, TimeGrid, taylor_test

family = PerturbedSDE(
    FunctionSDE(lambda t, x: torch.sin(x), lambda t, x: 0.3 * x), FunctionSDE(lambda t, x: x, lambda t, x: torch.sin(x))
)
problem = family, lambda x: (x**2).sum(-1), torch.tensor([0.8], dtype=torch.float64), TimeGrid(0.0, 1.0, 32)

_, panels = plt.subplots(1, 2, figsize=(8, 3.4), sharey=True, layout="constrained")
for axes, form in zip(panels, ("printed", "corrected"), strict=True):
    taylor_test(*problem, paths=512, form=form).plot(axes)
    axes.set_title(f"as {form}")
