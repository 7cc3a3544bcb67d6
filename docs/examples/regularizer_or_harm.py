"""Is an error in the noise a regularizer?

The terms of the expansion in a double well, for starts at the top, on the slope and in a valley. S, the curvature of
the loss along what the error does, is the penalty that a regularizer has. At the top and in the valley Q outweighs
it.
"""

import torch
from matplotlib import pyplot as plt

from sdewm import FunctionSDE, PerturbedSDE, TimeGrid, expand, gradient

well = gradient(lambda x: (0.25 * x**4 - 0.5 * x**2).sum(-1))
base = FunctionSDE(lambda t, x: -well(x), lambda t, x: 0.3 + 0 * x)
family = PerturbedSDE(base, FunctionSDE(None, lambda t, x: 0.5 + 0.2 * torch.sin(x)))

_, axes = plt.subplots(figsize=(5.4, 3.2), layout="constrained")
for k, (name, start) in enumerate({"top": 0.0, "slope": 0.5, "valley": 1.0}.items()):
    x0 = torch.tensor([start], dtype=torch.float64)
    found = expand(family, lambda x: (x**2).sum(-1), x0, TimeGrid(0.0, 2.0, 32), paths=4096)
    at = [i + 0.25 * (k - 1) for i in range(3)]
    values, errors = zip(*((found.terms[t].mean, 2 * found.terms[t].stderr) for t in "PQS"), strict=True)
    axes.bar(at, values, 0.22, yerr=errors, color=["#111111", "#1f5fa8", "#d9730d"][k], hatch=["", "//", ".."][k],
             edgecolor="white", label=name)  # fmt: skip
axes.set_xticks(range(3), ["P, of ε", "Q, of ½ε²", "S, of ½ε²"])
axes.axhline(0, color="grey", lw=0.6)
axes.set_ylabel("what it adds to the expected loss")
axes.legend(title="start")
