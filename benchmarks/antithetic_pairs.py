"""What pairs of paths with noises of opposite sign do to the error of an estimate, quantity by quantity.

Run with ``python -m benchmarks.antithetic_pairs``; writes ``results/antithetic_pairs.json``. The mean of n paths in
pairs has 1 + ρ times the variance of the mean of n independent ones, ρ being the correlation within a pair. Below 1
pairs help. What is even in the noise suffers, up to 2, and what is odd gains. So they are a sampler of their own,
``AntitheticMonteCarlo``, beside ``MonteCarlo`` with independent paths.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from sdewm import PerturbedSDE, TimeGrid
from sdewm.exact import reference
from sdewm.exact.problems import PROBLEMS
from sdewm.expansion.pathwise_derivatives import corrected_terms
from sdewm.expansion.power_series import second_coefficient
from sdewm.expansion.variation_of_constants import TERMS
from sdewm.noise.increments import StoredIncrements
from sdewm.solvers.solve import solve
from sdewm.systems.losses import Loss, as_summed

PAIRS = 2**14
BLOCK = 2**11
STEPS = 16
EPS = 0.05
RECORD = Path("results/antithetic_pairs.json")
QUANTITIES = ("loss0", "first", "second", "third", *TERMS, *(f"remainder {k}" for k in range(3)))


def systems() -> Iterator[tuple[str, PerturbedSDE, Loss, Tensor, float]]:
    """The problems with their own losses, and two losses for which the noise's sign means something else."""
    for name, make in PROBLEMS.items():
        problem = make()
        yield name, problem.family, problem.loss, problem.x0, problem.horizon
    gbm = PROBLEMS["gbm"]()
    yield "gbm, exp(3x)", gbm.family, lambda x: torch.exp(3 * x[:, 0]), gbm.x0, gbm.horizon
    yield "gbm, cos(2x)", gbm.family, lambda x: torch.cos(2 * x[:, 0]), gbm.x0, gbm.horizon
    centred = PROBLEMS["ou"]()
    yield "ou from 0", centred.family, lambda x: (x**2).sum(-1), torch.zeros_like(centred.x0), centred.horizon
    yield "reference", reference.latent_family(), reference.loss, reference.initial_state(), reference.HORIZON


def per_path(family: PerturbedSDE, loss: Loss, x0: Tensor, grid: TimeGrid, noise: Tensor) -> dict[str, Tensor]:
    summed, stored = {"loss": as_summed(loss, grid)}, StoredIncrements(noise)
    found = {term: v for (_, term), v in corrected_terms(family, summed, x0, grid, noise=stored, order=3).items()}
    found["first"] = found["P"] + found["P~"]
    found["second"] = second_coefficient(found, "corrected")
    rest = loss(solve(family.at(EPS), x0, grid, noise=stored))
    for k, name in enumerate(("loss0", "first", "second")):
        rest = rest - EPS**k * found[name]
        found[f"remainder {k}"] = rest
    return found


def measured(family: PerturbedSDE, loss: Loss, x0: Tensor, grid: TimeGrid, seed: int = 0) -> dict[str, float]:
    """1 + ρ of each quantity; NaN where it does not vary."""
    generator = torch.Generator().manual_seed(seed)
    channels = family.base.g(torch.tensor(grid.t0), x0[None]).shape[-1]
    pairs: dict[str, list[Tensor]] = {}
    with torch.no_grad():
        for _ in range(PAIRS // BLOCK):
            noise = grid.dt**0.5 * torch.randn(grid.steps, BLOCK, channels, generator=generator, dtype=torch.float64)
            sides = [per_path(family, loss, x0, grid, sign * noise) for sign in (1, -1)]
            for name in QUANTITIES:
                pairs.setdefault(name, []).append(torch.stack([side[name] for side in sides]))
    return {name: _ratio(torch.cat(values, 1).numpy()) for name, values in pairs.items()}


def _ratio(values: np.ndarray) -> float:
    spread = float(values.var())
    mean = float(values.mean())
    return float(2 * values.mean(0).var() / spread) if spread > (1e-9 * mean) ** 2 and spread > 1e-30 else float("nan")


def main(show: Callable[[object], None]) -> None:
    table = Table(title="variance with pairs over variance without, at the same number of paths", title_justify="left")
    for name in ("system", *QUANTITIES):
        table.add_column(name, justify="left" if name == "system" else "right")
    record = {}
    for name, family, loss, x0, horizon in systems():
        found = measured(family, loss, x0, TimeGrid(0.0, horizon, STEPS))
        record[name] = {k: None if np.isnan(v) else round(v, 3) for k, v in found.items()}
        table.add_row(name, *("–" if np.isnan(found[q]) else f"{found[q]:.2f}" for q in QUANTITIES))
    show(table)
    text = json.dumps({"pairs": PAIRS, "steps": STEPS, "eps": EPS, "variance ratio": record}, indent=1)
    RECORD.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Console(width=None if sys.stdout.isatty() else 180).print)
