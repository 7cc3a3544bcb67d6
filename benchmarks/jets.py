"""Price of a second-order jet in two parameters next to a plain forward pass: `python -m benchmarks.jets`."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from statistics import median

import torch
from torch import nn

from sdewm.jets import Jet, JetSpace

THREADS = 1
SPACE = JetSpace(parameters=2, order=2)
BLOCKS = (128, 256, 512, 1024, 2048, 4096)
ACTIVATIONS: tuple[Callable[[], nn.Module], ...] = (nn.Tanh, nn.Softplus, nn.SiLU)


def network(activation: Callable[[], nn.Module]) -> nn.Sequential:
    layers = nn.Linear(16, 64), activation(), nn.Linear(64, 64), activation(), nn.Linear(64, 16)
    return nn.Sequential(*layers).double()


def seconds(*functions: Callable[[], object], rounds: int) -> list[float]:
    """Median time of each function, their calls interleaved so that a busy machine slows all alike."""
    times: list[list[float]] = [[] for _ in functions]
    for _ in range(rounds):
        for function, spent in zip(functions, times, strict=True):
            start = time.perf_counter()
            function()
            spent.append(time.perf_counter() - start)
    return [median(spent) for spent in times]


def main() -> None:
    torch.set_num_threads(THREADS)
    torch.manual_seed(0)
    print(
        f"MLP 16-64-64-16, float64, {len(SPACE)} coefficients, threads: {THREADS}, torch {torch.__version__}, no_grad"
    )
    print(f"{'activation':>10} {'paths':>6} {'plain ns/path':>14} {'jet ns/path':>12} {'ratio':>6}")
    for activation in ACTIVATIONS:
        net = network(activation)
        for paths in BLOCKS:
            x = torch.randn(paths, 16, dtype=torch.float64)
            jet = Jet(torch.randn(len(SPACE), paths, 16, dtype=torch.float64), SPACE)
            with torch.no_grad():
                plain, taylor = seconds(partial(net, x), partial(net, jet), rounds=max(15, 40_000 // paths))
            name = type(net[1]).__name__
            print(
                f"{name:>10} {paths:>6} {plain / paths * 1e9:>14.0f} {taylor / paths * 1e9:>12.0f} "
                f"{taylor / plain:>6.2f}"
            )


if __name__ == "__main__":
    main()
