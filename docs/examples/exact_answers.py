"""No sampling at all.

On a circle the expected loss solves Kolmogorov's equation. Its coefficients, to ten digits, beside those that 32
samples of 256 paths give.
"""

from matplotlib import pyplot as plt

from sdewm import TimeGrid, expand
from sdewm.exact.problems import circle

problem = circle()
grid = TimeGrid(0.0, problem.horizon, 16)
exact = problem.euler_truth(16)
second = exact[2, 0] + exact[1, 1] + exact[0, 2]
found = [
    expand(problem.family, problem.loss, problem.x0, grid, paths=256, seed=seed, sampler="mc").second
    for seed in range(32)
]

means, bars = [e.mean for e in found], [2 * e.stderr for e in found]

_, axes = plt.subplots(figsize=(5, 3.2), layout="constrained")
axes.errorbar(range(32), means, bars, fmt="o", ms=3, label="sampled, ± 2 standard errors")
axes.axhline(second, color="black", ls="--", label=f"exact, {second:.6f}")
axes.set(xlabel="seed", ylabel="coefficient of ε²", ylim=(0.05, 0.42))
axes.legend(loc="upper left", ncols=2)
