"""How fast do networks come near the oracle encoder as they grow? Theorem 3.6's rate beside what is found.

``python -m benchmarks.approximation`` fits ridge networks, members of F_CNN, to the oracle encoder of an arc and of a
sphere cap in R^D, and of images of a bar that turns, for several smoothnesses k of the state density, ambient
dimensions D, sizes and seeds, and prints the rates (about ten minutes on one core); ``--json PATH`` records them, and
takes up what a file there already has.

Three networks for each size: interpolated at equal gaps (on the arc: a construction), random features with the last
layer by least squares, and the same trained on. The error is ∫‖g_enc − g*‖ dQ, which bounds W1. That a good network
exists is what the theorem says, so the smallest error known at a size, over networks and seeds, is what bounds the
approximation error; what a training run has beyond it is optimization error.

The slope is in the number of units N, at depth M = 1, over the whole ladder; the printed one is −2(k+1)/d_θ in NM.
Shallow ReLU networks reach −(d + 3)/(2d) on smooth maps of d variables (Siegel and Xu, "Sharp bounds on the
approximation rates, metric entropy, and n-widths of shallow neural networks", 2022): −2 and −5/4 here, whatever k is.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy import stats

from sdewm.approximation.densities import DiskMeasure, IntervalMeasure
from sdewm.approximation.distances import sliced_w1, w1_to_measure
from sdewm.approximation.fit import Ridge, interpolation, random_features, trained
from sdewm.approximation.manifolds import arc, rotating_bar, sphere_cap
from sdewm.approximation.moser import MoserMap
from sdewm.approximation.quantiles import QuantileMap
from sdewm.files import write_text
from sdewm.verdicts.record import environment

Array = NDArray[np.float64]
UNITS = (4, 8, 16, 32, 64)
SEEDS = 4
TRAIN, TEST = 1024, 2048
STEPS = 500
ANGLE = 1.2
LATENT = IntervalMeasure((1.0, 0.4, 0.2))
SIDE = 15  # of an image
MANIFOLDS = {"arc": 1, "rotating bar": 1, "sphere cap": 2}  # and their dimensions
NETWORKS = ("interpolated", "features", "trained")


@dataclass(frozen=True)
class Case:
    """The encoder of a manifold in R^``ambient``, for a state density of class C^{k,½} in its chart's coordinates.

    On the sphere cap k = 3 stands for an analytic density.
    """

    manifold: str
    k: int
    ambient: int

    @property
    def name(self) -> str:
        return f"{self.manifold}, k = {self.k}, D = {self.ambient}"

    @property
    def dim(self) -> int:
        return MANIFOLDS[self.manifold]

    def chart(self, u: Array) -> Array:
        if self.manifold == "arc":
            return arc(ANGLE, self.ambient).chart(u)
        return (
            rotating_bar(SIDE).chart(u) if self.manifold == "rotating bar" else sphere_cap(0.7, self.ambient).chart(u)
        )

    def printed_slope(self, theta: float) -> float:
        """−2(k+1)/d_θ, with 1 for the constant of d_θ's O."""
        return -2 * (self.k + 1) * theta**2 / (self.dim * math.log(self.ambient / theta))


CASES = (
    *(Case("arc", k, ambient) for k in (1, 3) for ambient in (16, 64, 256)),
    *(Case("rotating bar", k, SIDE**2) for k in (1, 3)),
    *(Case("sphere cap", k, ambient) for k in (1, 3) for ambient in (16, 64)),
)


@cache
def _line(k: int) -> QuantileMap:
    return QuantileMap(IntervalMeasure((1.0, -0.3), kink=1.0, power=k + 0.5), LATENT)


@cache
def _cap(k: int) -> MoserMap:
    """From the latent disk to the cap's coordinates; the kink is along a line."""
    cap = sphere_cap(0.7)

    def weight(u: Array) -> Array:
        kink = 0.5 * np.abs(u[:, 1]) ** (k + 0.5) if k < 3 else 0.0
        return (1 - 0.2 * u[:, 0] + kink) * cap.volume(u)

    return MoserMap(DiskMeasure(lambda x: 1 + 0.3 * x[:, 0]), DiskMeasure(weight), degree=30)


def points(case: Case, n: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """States ``(n, D)`` of Q, and where the oracle encoder sends them ``(n, d)``."""
    if case.dim == 1:
        u = _line(case.k).source.sample(n, rng)
        return case.chart(u[:, None]), _line(case.k)(u)[:, None]
    u = _cap(case.k).target.sample(n, rng)
    return case.chart(u), _cap(case.k).inverse(u)


def networks(case: Case, units: int, rng: np.random.Generator) -> Iterator[tuple[str, Ridge]]:
    x, z = points(case, TRAIN, rng)
    if case.manifold == "arc":
        end, manifold = math.sin(ANGLE), arc(ANGLE, case.ambient)
        chord = manifold.tangents(np.zeros((1, 1)))[0, :, 0] / ANGLE

        def along(t: Array) -> Array:
            return _line(case.k)(np.clip(np.arcsin(np.clip(t, -1, 1)) / ANGLE, -1, 1))[:, None]

        yield "interpolated", interpolation(chord, np.linspace(-end, end, units + 1), along)
    start = random_features(x, z, units, rng)
    yield "features", start
    yield "trained", trained(start, x, z, STEPS)


def measure(case: Case, units: int, seed: int) -> list[dict[str, Any]]:
    """One row for each network of one size and seed."""
    rng = np.random.default_rng([seed, units, case.dim, case.k, case.ambient])
    x, z = points(case, TEST, np.random.default_rng([seed, 2**16]))
    rows = []
    for network, found in networks(case, units, rng):
        values = found(x)
        apart = np.linalg.norm(values - z, axis=1)
        row: dict[str, Any] = {
            "manifold": case.manifold, "d": case.dim, "k": case.k, "D": case.ambient, "units": units,
            "seed": seed, "network": network,
            "error": float(apart.mean()), "stderr": float(apart.std(ddof=1) / math.sqrt(TEST)),
            "sliced W1": sliced_w1(values, z, 64, rng), "L, S, W": list(found.cnn().size),
        }  # fmt: skip
        if case.dim == 1:
            row["W1"] = w1_to_measure(values[:, 0], LATENT)
        rows.append(row)
    return rows


def slope(case: Case, network: str, rows: Sequence[dict[str, Any]]) -> tuple[float, float, float]:
    """Of log error over log units: the mean over seeds, and its 95 % interval (Student's t)."""
    found = []
    for seed in sorted({r["seed"] for r in rows}):
        line = [(r["units"], r["error"]) for r in of(case, network, rows) if r["seed"] == seed]
        found.append(float(np.polyfit(*np.log(np.array(line)).T, 1)[0]))
    half = float(stats.t.ppf(0.975, len(found) - 1) * np.std(found, ddof=1) / math.sqrt(len(found)))
    return float(np.mean(found)), float(np.mean(found)) - half, float(np.mean(found)) + half


def of(case: Case, network: str | None, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    same = [r for r in rows if (r["manifold"], r["k"], r["D"]) == (case.manifold, case.k, case.ambient)]
    return [r for r in same if network in (None, r["network"])]


def summary(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each case's slopes, the d_θ that they imply, and the two errors of training at the largest size."""
    found = []
    for case in CASES:
        largest = [r for r in of(case, None, rows) if r["units"] == UNITS[-1]]
        best = min(r["error"] for r in largest)
        ends = [r["error"] for r in largest if r["network"] == "trained"]
        for network in NETWORKS if case.manifold == "arc" else NETWORKS[1:]:
            mean, low, high = slope(case, network, rows)
            found.append({
                "manifold": case.manifold, "d": case.dim, "k": case.k, "D": case.ambient, "network": network,
                "slope": mean, "interval": [low, high],
                "implied d_θ": -2 * (case.k + 1) / mean,
                "printed slope, θ = ½": case.printed_slope(0.5), "printed slope, θ → 1": case.printed_slope(1.0),
                "smallest error known": best, "optimization error of training": float(np.mean(ends)) - best,
            })  # fmt: skip
    return found


def print_summary(found: Sequence[dict[str, Any]], console: Console) -> None:
    table = Table(pad_edge=False)
    for name in ("case", "network", "slope", "95 %", "implied d_θ", "printed, θ = ½", "printed, θ → 1"):
        table.add_column(name, justify="left" if name in ("case", "network") else "right")
    for r in found:
        low, high = r["interval"]
        table.add_row(
            Case(r["manifold"], r["k"], r["D"]).name,
            r["network"],
            f"{r['slope']:.2f}",
            f"{low:.2f} … {high:.2f}",
            f"{r['implied d_θ']:.2f}",
            f"{r['printed slope, θ = ½']:.2f}",
            f"{r['printed slope, θ → 1']:.2f}",
        )
    console.print(table)


def run(path: Path | None, seeds: int, say: Callable[[str], None]) -> dict[str, Any]:
    record: dict[str, Any] = {"environment": environment(), "rows": []}
    if path is not None and path.is_file():
        record["rows"] = json.loads(path.read_text(encoding="utf-8"))["rows"]
    done = {(r["manifold"], r["k"], r["D"], r["units"], r["seed"]) for r in record["rows"]}
    for case in CASES:
        for seed in range(seeds):
            for units in UNITS:
                if (case.manifold, case.k, case.ambient, units, seed) not in done:
                    record["rows"] += measure(case, units, seed)
            if path is not None:
                _write(path, record)
        say(case.name)
    record["settings"] = {"train": TRAIN, "test": TEST, "steps": STEPS, "seeds": seeds, "units": UNITS}
    record["tail of the flow's potential"] = {f"k = {k}": _cap(k).tail for k in (1, 3)}
    record["summary"] = summary(record["rows"])
    if path is not None:
        _write(path, record)
    return record


def _write(path: Path, record: dict[str, Any]) -> None:
    write_text(path, json.dumps(record, indent=1, ensure_ascii=False))


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.approximation",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", type=Path, metavar="PATH", help="record every row, and go on from what is there")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="at least 2 (%(default)s)")
    args = parser.parse_args(argv)
    if args.seeds < 2:
        parser.error(f"argument --seeds: expected at least 2, got {args.seeds}")
    torch.set_num_threads(1)
    record = run(args.json, args.seeds, lambda name: print(name, file=sys.stderr))
    print_summary(record["summary"], Console())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
