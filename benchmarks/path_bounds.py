"""How sharp bounds are that are certified along sampled paths: on the reference model and on every model that ships.

``python -m benchmarks.path_bounds`` certifies rollouts (19) whose start is off by ε in z̃, of sizes from 1e-4 to a
half, and holds the bounds against what is measured on the same paths, up to horizons of 1, 5, 15 and 50 steps;
``--json PATH`` records it. It takes some ten minutes on one thread. Of each horizon and size: E sup ‖x^ε − x⁰‖² over
‖ε‖² as measured (estimated, with its standard error over paths), the mean of the bounds over it, and the share of paths
and directions whose own bound is at most 1.5 times what is measured there. A radius is the largest size up to which the
ratio of means is at most 1.5. Some rows cover their segments by more tubes; one is timed.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import Tensor

from sdewm import TimeGrid, certify
from sdewm.divergence.distances import divergence
from sdewm.systems.rollout import LatentRollout
from sdewm.verdicts.record import environment
from theory_checks.rollouts import rollout_system
from theory_checks.systems import lean_family

SEED, STEPS, HORIZONS, SHARP = 0, 50, (1, 5, 15, 50), 1.5
SIZES = (1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1, 0.2, 0.5)
# Paths and directions e_1, e_2, … of z̃: what a larger state costs is its square, and more.
SYSTEMS = {"latent": (256, 2), "trained-step": (128, 4), "lean": (16, 2), "lean-regularized": (16, 2)}
# System, paths, and the numbers of tubes that segments of size 1e-2 are covered by.
TUBES = (("trained-step", 16, (1, 4, 16)),)


def problem(name: str, steps: int = STEPS) -> tuple[LatentRollout, Tensor, TimeGrid, str]:
    """A rollout, where it starts, the first steps of its grid and its method."""
    if name.startswith("lean"):
        family, _, x0 = lean_family(name == "lean-regularized")
        rollout = LatentRollout(family.base)
        return rollout, rollout.state(x0), TimeGrid(10.0, 10.0 + steps, steps), "euler-sequential"
    system = rollout_system(name)
    grid = TimeGrid(system.grid.t0, system.grid.t0 + steps * system.grid.dt, steps)
    return system.rollout, system.x0, grid, system.method


def certified(name: str, paths: int, directions: int, sizes: tuple[float, ...], tubes: int = 1) -> dict[str, Any]:
    """The bounds beside what is measured, for one system."""
    rollout, x0, grid, method = problem(name)
    size = rollout.model.sizes.z_tilde
    unit = rollout.perturbation(torch.eye(size, dtype=x0.dtype))[:directions]
    perturbations = torch.cat([c * unit for c in sizes])
    generator = torch.Generator().manual_seed(SEED)
    noise = torch.randn(grid.steps, paths, size, generator=generator, dtype=x0.dtype) * grid.dt**0.5
    began = time.process_time()
    bounds = certify(rollout, x0, grid, perturbations=perturbations, method=method, noise=noise, tubes=tubes)
    seconds = time.process_time() - began
    measured = divergence(rollout, x0, grid, perturbations=perturbations, method=method, noise=noise)
    least = bounds.lower.square().cummax(1).values
    violated = (measured > bounds.divergence * (1 + 1e-9)) | (measured < least * (1 - 1e-9))
    rows = []
    for steps in HORIZONS:
        for i, c in enumerate(sizes):
            mine = slice(i * directions, (i + 1) * directions)
            found, above = measured[mine, steps], bounds.divergence[mine, steps]
            by_path = found.mean(0) / c**2
            rows.append(
                {
                    "steps": steps,
                    "size": c,
                    "measured": float(by_path.mean()),
                    "stderr": float(by_path.std() / paths**0.5),
                    "ratio": float(above.mean() / found.mean()),
                    "sharp": float((above <= SHARP * found).double().mean()),
                    "finite": float(above.isfinite().double().mean()),
                }
            )
    return {
        "paths": paths,
        "directions": directions,
        "tubes": tubes,
        "seconds": seconds,
        "n": len(x0),
        "violations": int(violated.sum()),
        "comparisons": violated.numel(),
        "rows": rows,
        "radius": {str(steps): radius(rows, steps) for steps in HORIZONS},
    }


def radius(rows: list[dict[str, Any]], steps: int) -> float:
    """The largest size up to which, from the least on, the ratio of means is at most :data:`SHARP`; else 0."""
    found = 0.0
    for row in rows:
        if row["steps"] == steps:
            if not row["ratio"] <= SHARP:
                break
            found = row["size"]
    return found


def table(record: dict[str, Any]) -> str:
    """The record in Markdown: the ratio of means by system, horizon and size, and the radii."""
    shown = [c for c in SIZES if c in (1e-3, 5e-3, 1e-2, 5e-2, 0.1)]
    head = ["model", "steps", "E sup ‖Δ‖²/‖ε‖²", *(f"‖ε‖ = {c:g}" for c in shown), "radius"]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for name, of in record["systems"].items():
        for steps in HORIZONS:
            rows = {row["size"]: row for row in of["rows"] if row["steps"] == steps}
            least = rows[SIZES[0]]
            radius_ = of["radius"][str(steps)]
            cells = [name, str(steps), f"{least['measured']:.3g} ± {least['stderr']:.1g}"]
            cells += [_ratio(rows[c]) for c in shown] + [f"{radius_:g}" if radius_ else "none"]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def tube_table(record: dict[str, Any]) -> str:
    """What more tubes give at 1e-2 and 50 steps, and at what cost."""
    lines = [
        "| model | tubes | bound over measured | paths with a sharp bound | seconds a path |",
        "|---|---|---|---|---|",
    ]
    for of in record["tubes"]:
        row, seconds = of["rows"][-1], of["seconds"] / of["paths"]
        ratio = f"{row['ratio']:.4f}" if row["ratio"] < 100 else "infinite"
        lines.append(f"| {of['system']} | {of['tubes']} | {ratio} | {row['sharp']:.0%} | {seconds:.2f} |")
    return "\n".join(lines)


def _ratio(row: dict[str, Any]) -> str:
    """The ratio of means, or where it is beyond 100 the share of paths whose own bound is sharp."""
    return f"{row['ratio']:.3f}" if row["ratio"] < 100 else f"({row['sharp']:.0%})"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="PATH", help="where the record goes")
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    console = Console(stderr=True)
    record: dict[str, Any] = {"seed": SEED, "environment": environment(), "sharp": SHARP}
    record["systems"] = {}
    for name, (paths, directions) in SYSTEMS.items():
        record["systems"][name] = certified(name, paths, directions, SIZES)
        console.print(name, record["systems"][name]["radius"], f"{record['systems'][name]['seconds']:.0f} s")
    record["timed"] = certified("trained-step", 256, 8, (1e-2,))
    record["tubes"] = []
    for name, paths, counts in TUBES:
        record["tubes"] += [{"system": name, **certified(name, paths, 1, (1e-2,), tubes)} for tubes in counts]
    for found in (record["timed"], *record["tubes"]):
        console.print(found.get("system"), found["tubes"], found["rows"][-1], f"{found['seconds']:.0f} s")
    print(table(record), tube_table(record), sep="\n\n")
    if given.json:
        given.json.write_text(json.dumps(record, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
