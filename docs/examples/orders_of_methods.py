"""Three methods, three orders.

Errors of single paths against the length of a step, on geometric Brownian motion. Euler's fall with the root of the
step; Milstein's and Rößler's with the step itself.
"""

import torch
from matplotlib import pyplot as plt

from sdewm import FunctionSDE, compare_methods

sde = FunctionSDE(lambda t, x: 0.1 * x, lambda t, x: 0.5 * x)
x0 = torch.ones(1, dtype=torch.float64)
found = compare_methods(sde, x0, (0.0, 1.0), methods={m: m for m in ("euler", "milstein", "sri2")}, paths=2048)

_, panels = plt.subplots(1, 3, figsize=(9, 3), sharey=True, layout="constrained")
for axes, one in zip(panels, found.values(), strict=True):
    one.plot(axes).set_title(one.method)
    axes.set_ylabel("")
panels[0].set_ylabel("strong error")
