"""Lévy areas: their moments against theory, their error against the area of a fine path, and their cost.

``python -m benchmarks.levy_areas`` prints three tables (about two minutes on one core); ``--json PATH`` records them.

1. Mean, variance, covariances and moments given the increments, of each algorithm with the terms that the tolerance
   h^{3/2} takes for four channels and h = 1/200. The theory is that of the series as it is cut off, whose missing
   variance is known. z is the deviation over its standard error; |z| > 3.1 in one of 28 has probability 0.05.
2. Root-mean-square error against truncation: paths on a grid of 2,048 steps have areas, and Fourier coefficients X_r,
   Y_r, of their own. What an algorithm puts for the rest of the series is driven by the path too: where it is a
   normal matrix, by the standard normals that make the path's own rest of its covariance given X_r (or Z_r).
3. Standard normals, and processor time, for the areas of one step of one path.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from scipy.special import polygamma
from torch import Tensor

from sdewm.noise.area_moments import area_variance, conditional_area_variance
from sdewm.noise.area_plan import plan_areas
from sdewm.noise.levy import ALGORITHMS
from sdewm.verdicts.record import environment

F64 = torch.float64
SEED = 0
CHANNELS = (2, 8, 32)
STEP_LENGTHS = (1 / 20, 1 / 200, 1 / 2000)
TRUNCATIONS = (0, 1, 2, 5, 10, 20)


# -- moments


def moments(paths: int = 2**18, m: int = 4, h: float = 1 / 200) -> list[dict[str, Any]]:
    rows = []
    for name, algorithm in ALGORITHMS.items():
        terms = plan_areas(m, h, algorithm=name).groups[0].terms
        generator = torch.Generator().manual_seed(SEED)
        dB = math.sqrt(h) * torch.randn(paths, m, generator=generator, dtype=F64)
        area = algorithm.sample(dB, h, terms, generator)
        a, b, w = area[:, 0, 1], area[:, 0, 2], dB / math.sqrt(h)
        # What the algorithm leaves out of the variance: all of the rest, the rest that is not linear in ΔB, or nothing.
        lost = algorithm.mean_square_error(m, h, terms) if name in ("fourier", "milstein") else 0.0
        linear = lost / 3 if name == "fourier" else 0.0
        given = conditional_area_variance(dB, h)[:, 0, 1]
        missing = (lost - 2 * linear) + linear * (w[:, 0] ** 2 + w[:, 1] ** 2)
        quantities: dict[str, tuple[Tensor, float]] = {
            "mean": (a, 0.0),
            "variance": (a**2, area_variance(h) - lost),
            "covariance with its increment": (a * dB[:, 0], 0.0),
            "covariance with another increment": (a * dB[:, 3], 0.0),
            "covariance of two areas": (a * b, 0.0),
            "variance less that given the increments": (a**2 - given + missing, 0.0),
            "the same on the square of its increment": ((a**2 - given + missing) * (w[:, 0] ** 2 - 1), 0.0),
        }
        for what, (values, theory) in quantities.items():
            stderr = float(values.std() / math.sqrt(paths))
            mean = float(values.mean())
            rows.append(
                {
                    "algorithm": name, "terms": terms, "m": m, "h": h, "paths": paths, "seed": SEED, "moment": what,
                    "found": mean, "stderr": stderr, "theory": theory, "z": (mean - theory) / stderr,
                }
            )  # fmt: skip
    return rows


# -- error against truncation


def fine_paths(paths: int, steps: int, m: int, terms: int) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Increments w ``(paths, m)`` over a step of length 1, areas, X_r and Y_r ``(paths, terms, m)``, and Σ_r X_r/r."""
    generator = torch.Generator().manual_seed(SEED)
    dB = torch.randn(steps, paths, m, generator=generator, dtype=F64) / math.sqrt(steps)
    path = torch.cat([torch.zeros(1, paths, m, dtype=F64), dB.cumsum(0)])
    middle, w = 0.5 * (path[1:] + path[:-1]), path[-1]
    crossed = torch.einsum("spk,spl->pkl", middle, dB)
    times = (torch.arange(steps, dtype=F64) + 0.5) / steps
    bridge = middle - times[:, None, None] * w
    r = torch.arange(1, terms + 1, dtype=F64)
    angle = 2 * math.pi * r[:, None] * times
    scale = (2 / steps * r * math.pi * math.sqrt(2))[:, None]
    x, y = (torch.einsum("rs,spm->prm", scale * wave, bridge) for wave in (angle.cos(), angle.sin()))
    return w, 0.5 * (crossed - crossed.mT), x, y, -math.pi * math.sqrt(2) * bridge.mean(0)


def truncation(paths: int = 2000, steps: int = 2048, m: int = 3, most: int = 200) -> list[dict[str, Any]]:
    w, area, x, y, whole = fine_paths(paths, steps, m, most)
    k, l = torch.triu_indices(m, m, 1)  # noqa: E741
    eye = torch.eye(m, dtype=F64)
    r = torch.arange(1, most + 1, dtype=F64)[:, None]
    rows = []
    for name, algorithm in ALGORITHMS.items():
        for terms in TRUNCATIONS:
            tail = float(polygamma(1, terms + 1))
            series = torch.stack([x, y], 2)[:, :terms].flatten(1)
            bare = ALGORITHMS["fourier"].from_normals(w, 1.0, terms, series)
            rest_of_x = (whole - (x / r)[:, :terms].sum(1)) / math.sqrt(tail)
            with_linear = ALGORITHMS["milstein"].from_normals(w, 1.0, terms, torch.cat([series, rest_of_x], 1))
            if name == "fourier":
                error = bare - area
            elif name == "milstein":
                error = with_linear - area
            else:
                known, shift = (bare, -math.sqrt(2) * w) if name == "wiktorsson" else (with_linear, torch.zeros_like(w))
                mean = tail * (eye + shift[:, :, None] * shift[:, None, :])
                z = ((y + shift[:, None] if name == "wiktorsson" else x) / r)[:, terms:]
                beyond = float(polygamma(1, most + 1)) / tail
                found = _root(_on_pairs(z.mT @ z + beyond * mean))
                rest = (area - known)[:, k, l, None]
                error = (_root(_on_pairs(mean)) @ torch.linalg.solve(found, rest) - rest)[..., 0]
            squares = (error if error.ndim == 2 else error[:, k, l]) ** 2
            per_path, declared = squares.mean(1), algorithm.mean_square_error(m, 1.0, terms)
            mean_square, stderr = float(per_path.mean()), float(per_path.std() / math.sqrt(paths))
            rows.append(
                {
                    "algorithm": name, "terms": terms, "m": m, "paths": paths, "fine steps": steps, "seed": SEED,
                    "normals": algorithm.normals(m, terms), "rms error / h": math.sqrt(mean_square),
                    "declared / h": math.sqrt(declared), "mean square over declared": mean_square / declared,
                    "stderr": stderr / declared,
                }
            )  # fmt: skip
    return rows


def _on_pairs(S: Tensor) -> Tensor:
    """The matrices ``(…, pairs, pairs)`` of G → SG + GS on antisymmetric matrices G."""
    m = S.shape[-1]
    k, l = torch.triu_indices(m, m, 1)  # noqa: E741
    basis, index = torch.zeros(len(k), m, m, dtype=F64), torch.arange(len(k))
    basis[index, k, l], basis[index, l, k] = 1.0, -1.0
    S = S[:, None]
    return (S @ basis + basis @ S)[..., k, l].mT


def _root(V: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(V)
    return (vectors * values.clamp_min(0).sqrt()[..., None, :]) @ vectors.mT


# -- cost


def cost(paths: int = 2000) -> list[dict[str, Any]]:
    rows = []
    for m in CHANNELS:
        for h in STEP_LENGTHS:
            generator = torch.Generator().manual_seed(SEED)
            dB = math.sqrt(h) * torch.randn(paths, m, generator=generator, dtype=F64)
            auto = plan_areas(m, h).groups[0].algorithm.name
            for name in ALGORITHMS:
                group = plan_areas(m, h, algorithm=name).groups[0]
                # Few paths where each takes a lot: no more than 40 MB of normals.
                some = dB[: max(10, min(paths, 5_000_000 // max(1, group.normals)))]
                seconds = []
                for _ in range(3):
                    start = time.process_time()
                    group.algorithm.sample(some, h, group.terms, generator)
                    seconds.append(time.process_time() - start)
                rows.append(
                    {
                        "m": m,
                        "h": h,
                        "algorithm": name,
                        "terms": group.terms,
                        "normals": group.normals,
                        "cheapest": name == auto,
                        "microseconds per path": 1e6 * min(seconds) / len(some),
                    }
                )
    return rows


# -- report


def main() -> None:
    parser = argparse.ArgumentParser(description="Lévy areas: moments, errors, cost.")
    parser.add_argument("--json", type=Path, metavar="PATH")
    args = parser.parse_args()
    torch.set_num_threads(1)
    console = Console(width=None if sys.stdout.isatty() else 150)
    found = moments()
    table = Table(title=f"moments, m = 4, h = 1/200, {found[0]['paths']:,} paths: z", title_justify="left")
    table.add_column("moment")
    for name in ALGORITHMS:
        terms = next(r["terms"] for r in found if r["algorithm"] == name)
        table.add_column(f"{name}, {terms} terms", justify="right")
    for what in dict.fromkeys(r["moment"] for r in found):
        table.add_row(what, *(f"{r['z']:+.2f}" for r in found if r["moment"] == what))
    console.print(table)
    largest = max(abs(r["z"]) for r in found)
    console.print(f"largest |z| {largest:.2f}, of {len(found)}\n")

    errors = truncation()
    table = Table(
        title="root-mean-square error of an area over h, m = 3: found on fine paths (declared); normals per step",
        title_justify="left",
    )
    table.add_column("terms", justify="right")
    for name in ALGORITHMS:
        table.add_column(name, justify="right")
    for terms in TRUNCATIONS:
        table.add_row(
            str(terms),
            *(
                f"{r['rms error / h']:.4f} ({r['declared / h']:.4f}); {r['normals']}"
                for r in errors
                if r["terms"] == terms
            ),
        )
    console.print(table)

    costs = cost()
    table = Table(
        title="normals, and microseconds of processor time, per step and path, to h^{3/2}; * the cheapest in normals",
        title_justify="left",
    )
    for name in ("m", "h", *ALGORITHMS):
        table.add_column(name, justify="right")
    for m in CHANNELS:
        for h in STEP_LENGTHS:
            here = [r for r in costs if r["m"] == m and r["h"] == h]
            table.add_row(
                str(m),
                f"1/{1 / h:.0f}",
                *(f"{'* ' if r['cheapest'] else ''}{r['normals']}; {r['microseconds per path']:.2g}" for r in here),
            )
    console.print(table)
    if args.json:
        record = {"environment": environment(), "moments": found, "errors": errors, "cost": costs}
        args.json.write_text(json.dumps(record, indent=1, ensure_ascii=False), "utf-8")


if __name__ == "__main__":
    main()
