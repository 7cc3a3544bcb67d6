"""Do intervals cover what they say, and do flags tell where they do not?

``python -m benchmarks.coverage`` estimates the coefficients of expansions whose truth on the Euler grid is a closed
form, at many seeds, for each sampler and number of paths, and counts the intervals that miss. It writes
``results/coverage.json`` and the table ``docs/coverage.md``. ``--workers`` shares the work out, ``--seeds`` makes it
shorter.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor

from sdewm.estimate.samples import make_sampler, sample
from sdewm.exact.problems import PROBLEMS, Problem
from sdewm.jets import Jet, JetSpace, Parameter
from sdewm.noise.grid import TimeGrid
from sdewm.noise.increments import Increments
from sdewm.solvers.loop import trajectory
from sdewm.verdicts.record import environment

STEPS = 4
GRID = TimeGrid(0.0, 1.0, STEPS)
QUANTITIES = ("loss0", "first", "second", "third")
CONFIDENCES = (0.95, 0.99)
WITHIN = (0.935, 0.965)
SIZES = (64, 256, 1024, 4096, 16384)
LARGEST = {"ou": 16384, "gbm": 16384, "linear": 4096}
SAMPLERS = ("rqmc", "mc")
Closed = Callable[[Any, Any], Any]


@dataclass(frozen=True)
class Case:
    """Losses of the final state of a problem, each with the Taylor coefficients of its mean in ε on the grid."""

    problem: Problem
    channels: int
    losses: dict[str, tuple[Callable[[Tensor], Tensor], list[float]]]


@dataclass(frozen=True)
class Cell:
    """What ``seeds`` estimates of one coefficient did.

    ``missed`` at each confidence, ``silent`` the 95 % intervals that miss without a flag, ``flagged`` estimates with
    one; ``error`` is the root mean square deviation from the truth, and ``width`` the mean length of a 95 % interval
    over 3.92 of it, 1 for a normal estimate of known variance.
    """

    system: str
    loss: str
    quantity: str
    sampler: str
    paths: int
    seeds: int
    missed: dict[str, int]
    silent: int
    flagged: int
    truth: float
    error: float
    width: float

    @property
    def coverage(self) -> float:
        return 1 - self.missed["0.95"] / self.seeds

    @property
    def strays(self) -> bool:
        """Not flagged in most runs, and coverage outside of WITHIN by more than seeds explain (at 99.9 %)."""
        low, high = stats.binomtest(self.missed["0.95"], self.seeds).proportion_ci(0.999)
        return 2 * self.flagged < self.seeds and not (1 - high <= WITHIN[1] and 1 - low >= WITHIN[0])


@cache
def cases() -> dict[str, Case]:
    ou = PROBLEMS["ou"]()
    mean, variance = _chain(ou)
    center, spread = 0.3, 0.5
    losses: dict[str, tuple[Callable[[Tensor], Tensor], Closed]] = {
        "x²": (lambda x: x[:, 0] ** 2, lambda m, v: m**2 + v),
        "cos x": (lambda x: torch.cos(x[:, 0]), lambda m, v: np.cos(m) * np.exp(-v / 2)),
        "likelihood": (
            lambda x: torch.exp(-((x[:, 0] - center) ** 2) / (2 * spread**2)),
            lambda m, v: np.exp(-((m - center) ** 2) / (2 * (spread**2 + v))) / np.sqrt(1 + v / spread**2),
        ),
        "e^x": (lambda x: torch.exp(x[:, 0]), lambda m, v: np.exp(m + v / 2)),
        "e^3x": (lambda x: torch.exp(3 * x[:, 0]), lambda m, v: np.exp(3 * m + 9 * v / 2)),
        "e^6x": (lambda x: torch.exp(6 * x[:, 0]), lambda m, v: np.exp(6 * m + 36 * v / 2)),
    }
    found = {"ou": Case(ou, 1, {name: (fn, taylor(closed(mean, variance))) for name, (fn, closed) in losses.items()})}
    for name, loss, channels in (("gbm", "x²", 1), ("linear", "quadratic", 2)):
        problem = PROBLEMS[name]()
        exact = problem.euler_truth(STEPS) or {}
        along_both = [sum(c for powers, c in exact.items() if sum(powers) == order) for order in range(4)]
        found[name] = Case(problem, channels, {loss: (problem.loss, along_both)})
    return found


RADIUS, NODES = 0.1, 32
EPS = RADIUS * np.exp(2j * np.pi * np.arange(NODES) / NODES)


def _chain(problem: Problem) -> tuple[NDArray[np.complex128], NDArray[np.complex128]]:
    """Mean and variance of the Euler chain of a scalar equation with additive noise, at each of the complex EPS."""
    base, error = problem.model
    slope = base.A[0, 0] + EPS * error.A[0, 0]
    offset = base.a[0] + EPS * error.a[0]
    noise = base.b[0, 0] + EPS * error.b[0, 0]
    mean, variance = np.full(NODES, float(problem.x0[0]), dtype=complex), np.zeros(NODES, dtype=complex)
    for _ in range(STEPS):
        mean = mean + (slope * mean + offset) * GRID.dt
        variance = (1 + slope * GRID.dt) ** 2 * variance + noise**2 * GRID.dt
    return mean, variance


def taylor(values: NDArray[np.complex128]) -> list[float]:
    """Coefficients of 1 to ε³ of an analytic function from its values on the circle EPS (Cauchy's integral)."""
    return [float((values * EPS**-order).mean().real) for order in range(4)]


def measure(system: str, sampler: str, paths: int, seeds: int) -> list[Cell]:
    """All cells of one system, sampler and number of paths; each seed is one sample of all losses."""
    torch.set_num_threads(1)
    case = cases()[system]
    line = JetSpace(1, 3)
    family = case.problem.family.at(Parameter(line, 0))

    def evaluate(increments: Increments) -> dict[str, Tensor]:
        *_, (_, _, x) = trajectory(family, case.problem.x0, GRID, method="euler", noise=increments)
        values: dict[str, Tensor] = {}
        for name, (loss, _) in case.losses.items():
            value = loss(x)
            assert isinstance(value, Jet)
            values |= {f"{name}|{q}": value.coefficients[k] for k, q in enumerate(QUANTITIES)}
        return values

    names = [f"{loss}|{q}" for loss in case.losses for q in QUANTITIES]
    estimates: dict[str, list[Any]] = {name: [] for name in names}
    for seed in range(seeds):
        found = sample(evaluate, make_sampler(sampler, paths, seed), case.channels, GRID, case.problem.x0)
        for name in names:
            estimates[name].append(found.estimate(name))
    cells = []
    for name in names:
        loss, quantity = name.split("|")
        truth = case.losses[loss][1][QUANTITIES.index(quantity)]
        ends = {confidence: np.array([e.interval(confidence) for e in estimates[name]]) for confidence in CONFIDENCES}
        missed = {confidence: (truth < of[:, 0]) | (of[:, 1] < truth) for confidence, of in ends.items()}
        flagged = np.array([bool(e.flags) for e in estimates[name]])
        error = math.sqrt(np.mean([(e.mean - truth) ** 2 for e in estimates[name]]))
        length = float((ends[0.95][:, 1] - ends[0.95][:, 0]).mean())
        cells.append(
            Cell(
                system, loss, quantity, sampler, paths, seeds,
                {str(confidence): int(of.sum()) for confidence, of in missed.items()},
                int((missed[0.95] & ~flagged).sum()), int(flagged.sum()), truth, error, length / (2 * 1.96 * error),
            )
        )  # fmt: skip
    return cells


def summary(cells: list[Cell]) -> dict[str, Any]:
    """Over the cells that are not flagged in most runs; and of all cells, those that miss without a word."""
    trusted = [c for c in cells if 2 * c.flagged < c.seeds]
    by_sampler = {s: [c for c in trusted if c.sampler == s] for s in SAMPLERS}
    return {
        "cells": len(cells),
        "flagged in most runs": len(cells) - len(trusted),
        "mean coverage": {s: round(float(np.mean([c.coverage for c in of])), 4) for s, of in by_sampler.items() if of},
        "mean coverage at 99 %": {
            s: round(float(np.mean([1 - c.missed["0.99"] / c.seeds for c in of])), 4)
            for s, of in by_sampler.items()
            if of
        },
        "least and most coverage": [min(c.coverage for c in trusted), max(c.coverage for c in trusted)],
        "outside 93.5 to 96.5 %": sum(not WITHIN[0] <= c.coverage <= WITHIN[1] for c in trusted),
        "outside by more than seeds explain": [
            f"{c.system} {c.loss} {c.quantity} {c.sampler} {c.paths}" for c in cells if c.strays
        ],
        "largest rate of misses without a flag": max(c.silent / c.seeds for c in cells),
    }


def page(cells: list[Cell], found: dict[str, Any]) -> str:
    """The table in words."""
    sizes = sorted({c.paths for c in cells})
    least = min(c.seeds for c in cells)
    worst = 100 * found["largest rate of misses without a flag"]
    lines = [
        "# Coverage of intervals",
        "",
        "Made by `python -m benchmarks.coverage`; `results/coverage.json` has the record. Each number is the part of",
        f"95 % intervals that hold the truth, in per cent, over {least:,} seeds or more. The truth is that of the",
        f"Euler chain itself, so that no discretization error enters: {STEPS} steps, float64. A number in brackets is",
        "the part of estimates that are flagged as carried by a few paths, where that is 5 % or more; **bold** where",
        "it is most of them, and then the interval is not to be trusted, whatever it covers.",
        "",
        f"Of {found['cells']} cells {found['flagged in most runs']} are flagged in most runs. The others cover "
        + " and ".join(f"{100 * v:.1f} % ({s})" for s, v in found["mean coverage"].items())
        + " on average at 95 %, "
        + " and ".join(f"{100 * v:.1f} % ({s})" for s, v in found["mean coverage at 99 %"].items())
        + " at 99 %.",
        f"The least of them covers {100 * found['least and most coverage'][0]:.1f} %, the most "
        f"{100 * found['least and most coverage'][1]:.1f} %; seeds alone move a cell by about 1 %. "
        f"{found['outside 93.5 to 96.5 %']} are outside 93.5 to 96.5 %, "
        f"{len(found['outside by more than seeds explain'])} by more than seeds explain (99.9 %)"
        + "".join(f"; {name}" for name in found["outside by more than seeds explain"])
        + ".",
        f"In no cell do more than {worst:.1f} % of intervals miss without a flag.",
    ]
    for sampler in SAMPLERS:
        rows = [c for c in cells if c.sampler == sampler]
        if not rows:
            continue
        lines += [
            "",
            f"## {sampler}",
            "",
            "| system | loss | coefficient | " + " | ".join(f"{n:,}" for n in sizes) + " |",
        ]
        lines += ["|" + "---|" * (3 + len(sizes))]
        for key in dict.fromkeys((c.system, c.loss, c.quantity) for c in rows):
            of = {c.paths: c for c in rows if (c.system, c.loss, c.quantity) == key}
            lines.append("| " + " | ".join([*key, *(_shown(of[n]) if n in of else "" for n in sizes)]) + " |")
    return "\n".join(lines) + "\n"


def _shown(cell: Cell) -> str:
    flagged = cell.flagged / cell.seeds
    text = f"{100 * cell.coverage:.1f}" + (f" ({100 * flagged:.0f})" if flagged >= 0.05 else "")
    return f"**{text}**" if flagged > 0.5 else text


def main() -> None:
    parser = argparse.ArgumentParser(description="Coverage of intervals, and how often estimates are flagged.")
    parser.add_argument("--seeds", type=int, default=500, help="in every cell")
    parser.add_argument("--system", choices=LARGEST, action="append")
    parser.add_argument("--paths", type=int, action="append", help="number of paths; may be repeated")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--json", type=Path, default=Path("results/coverage.json"))
    parser.add_argument("--page", type=Path, default=Path("docs/coverage.md"))
    args = parser.parse_args()
    wanted = [
        (system, sampler, paths, args.seeds)
        for paths in sorted(args.paths or SIZES, reverse=True)
        for system in args.system or LARGEST
        for sampler in SAMPLERS
        if paths <= LARGEST[system]
    ]
    cells: list[Cell] = []
    with ProcessPoolExecutor(args.workers) as pool:
        for part in pool.map(measure, *zip(*wanted, strict=True)):
            cells += part
            found = summary(cells)
            record = {
                "environment": environment(),
                "steps": STEPS,
                "confidences": CONFIDENCES,
                "summary": found,
                "cells": [asdict(c) for c in cells],
            }
            args.json.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", "utf-8")
            args.page.write_text(page(cells, found), "utf-8")
    print(json.dumps(found, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
