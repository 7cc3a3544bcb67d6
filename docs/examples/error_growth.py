"""Where errors grow, and where they die out.

The derivative Φ of the state in its initial value, on Lorenz's equations and on a contracting one. Bands hold nine of
ten paths.
"""

import torch
from matplotlib import pyplot as plt

from sdewm import FunctionSDE, TimeGrid, fundamental_matrix


def lorenz(t, x):
    a, b, c = x.unbind(-1)
    return torch.stack([10 * (b - a), a * (28 - c) - b, a * b - 8 / 3 * c], -1)


systems = {
    "Lorenz": (FunctionSDE(lorenz, lambda t, x: 1.0 + 0 * x), [1.0, 1.0, 20.0]),
    "contracting": (FunctionSDE(lambda t, x: -x + 0.5 * torch.tanh(x), lambda t, x: 0.3 + 0 * x), [1.0, 0.0, 0.0]),
}
times = [0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.5, 2.0]
_, axes = plt.subplots(figsize=(5, 3.2), layout="constrained")
for (name, (sde, start)), line, color in zip(systems.items(), ("-", "--"), ("#1f5fa8", "#111111"), strict=True):
    x0 = torch.tensor(start, dtype=torch.float64)
    norms = [fundamental_matrix(sde, x0, TimeGrid(0.0, T, int(200 * T)), paths=200).norm(dim=(1, 2)) for T in times]
    axes.plot(times, [n.median() for n in norms], line, color=color, label=name)
    axes.fill_between(
        times, [n.quantile(0.05) for n in norms], [n.quantile(0.95) for n in norms], color=color, alpha=0.2
    )
axes.set(yscale="log", xlabel="time", ylabel="‖Φ‖, growth of an error")
axes.legend()
