"""What a better sampler is worth.

The standard error of the second coefficient against the number of paths: randomized quasi-Monte Carlo, and
independent paths.
"""

import torch
from matplotlib import pyplot as plt

from sdewm import FunctionSDE, PerturbedSDE, TimeGrid, expand

family = PerturbedSDE(FunctionSDE(lambda t, x: -x, lambda t, x: 0.5 + 0 * x), FunctionSDE(lambda t, x: torch.sin(x)))
x0, grid = torch.ones(1, dtype=torch.float64), TimeGrid(0.0, 1.0, 16)
paths = [2**k for k in range(8, 16)]

_, axes = plt.subplots(figsize=(5, 3.2), layout="constrained")
for sampler, line in (("mc", "--s"), ("antithetic", ":D"), ("rqmc", "-o")):
    found = [expand(family, lambda x: (x**2).sum(-1), x0, grid, paths=n, sampler=sampler) for n in paths]
    axes.plot(paths, [one.second.stderr for one in found], line, ms=4, label=sampler)
axes.set(xscale="log", yscale="log", xlabel="paths", ylabel="standard error of the ε² coefficient")
axes.legend()
