"""Strong orders, measured: every stepper and, on the same paths, those of torchsde and diffrax.

``python -m benchmarks.strong_order`` prints a table (twenty minutes on one core); ``--json PATH`` records it
system by system, ``--systems NAME …`` takes a few. Each error is the root of E|X − X_ref|² at the final time, where
X_ref is Milstein's scheme with two or four times as many steps, on the same Brownian paths and Lévy areas. A slope is
one towards that limit; «own» is the slope of the distances between successive steps, towards whatever limit a scheme
has. Euler has no correction term in common with Milstein's scheme, so that its slope of ½ also says that the
reference's limit is right.

An order is «measured» where the 95 % interval contains it, is at most ±0.05 wide, and leaves its neighbour out.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import sys
import time
import types
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from benchmarks.peers import WITH_DIFFRAX, WITH_TORCHSDE, Diffrax, refusal
from sdewm.exact import reference
from sdewm.files import write_text
from sdewm.noise.grid import TimeGrid
from sdewm.solvers.base import Stepper
from sdewm.solvers.methods import stepper
from sdewm.solvers.order_report import Convergence
from sdewm.solvers.orders import compare_methods
from sdewm.solvers.registry import METHODS
from sdewm.solvers.structure import NoiseStructure, noise_structure
from sdewm.systems.calculus import to_stratonovich
from sdewm.systems.sde import SDE, FunctionSDE
from sdewm.verdicts.record import environment
from sdewm.worldmodel import initial_state, load_trained, to_sequences

CONFIDENCE = 0.95
HALF_WIDTH = 0.05
SEED = 0
OURS = ("euler", "milstein", "sri2", "platen-weak")
Vector = Callable[[types.ModuleType, Any], Any]  # (torch or jax.numpy, x) -> one value for each coordinate


@dataclass(frozen=True)
class System:
    """An SDE to measure orders on.

    ``levels``: 2^level steps. ``refine``: levels from a step to its reference's. ``jax``: its drift and
    its diffusion matrix for one state, where there are such. ``sequential``: it has stages. ``skipped``: methods that
    have nothing to say here, and why. ``note``: what a reader should know.
    """

    sde: SDE
    x0: Tensor
    span: tuple[float, float] = (0.0, 1.0)
    levels: tuple[int, ...] = (4, 5, 6, 7, 8)
    paths: int = 1024
    jax: tuple[Callable[[Any, Any], Any], Callable[[Any, Any], Any]] | None = None
    refine: int = 2
    sequential: bool = False
    skipped: dict[str, str] = field(default_factory=dict)
    note: str = ""


class InStratonovichForm(Stepper):
    """A stepper for Stratonovich SDEs, applied to the Stratonovich form of an Itô SDE."""

    sde_types = ("ito",)

    def __init__(self, method: Stepper) -> None:
        self.method, self.structure = method, method.structure
        self.strong_order, self.weak_order = method.strong_order, method.weak_order

    def check(self, sde: SDE) -> None:
        self.method.check(to_stratonovich(sde))

    def prepare(self, sde: SDE, x0: Tensor, grid: TimeGrid) -> InStratonovichForm:
        return InStratonovichForm(self.method.prepare(to_stratonovich(sde), x0, grid))

    def begin(self) -> InStratonovichForm:
        return InStratonovichForm(self.method.begin())

    def step(self, sde: SDE, t: Tensor, dt: float, x: Tensor, dB: Tensor, area: Tensor | None = None) -> Tensor:
        return self.method.step(to_stratonovich(sde), t, dt, x, dB, area)


# -- systems


def pull(xp: types.ModuleType, x: Any) -> Any:
    return xp.sin(xp.flip(x, (-1,))) - x


def nothing(xp: types.ModuleType, x: Any) -> Any:
    return 0 * x


def system(drift: Vector, columns: list[Vector], noise_type: str, **options: Any) -> System:
    """Two dimensions, from functions that torch and JAX share; a declared diagonal is given as its diagonal."""

    def g(t: Tensor, x: Tensor) -> Tensor:
        if noise_type == "diagonal":
            return columns[0](torch, x)
        return torch.stack([column(torch, x) for column in columns], -1)

    def jax_g(t: Any, x: Any) -> Any:
        import jax.numpy as jnp

        parts = [column(jnp, x) for column in columns]
        return jnp.diag(parts[0]) if noise_type == "diagonal" else jnp.stack(parts, -1)

    def jax_f(t: Any, x: Any) -> Any:
        import jax.numpy as jnp

        return drift(jnp, x)

    sde = FunctionSDE(lambda t, x: drift(torch, x), g, noise_type)
    return System(sde, torch.tensor([0.3, -0.2], dtype=torch.float64), jax=(jax_f, jax_g), **options)


def pair(first: Vector, second: Vector) -> Vector:
    """A vector from the functions of its two coordinates."""
    return lambda xp, x: xp.stack([first(xp, x), second(xp, x)], -1)


def wave(a: float, b: float, of: int) -> Vector:
    return lambda xp, x: a + b * xp.sin(x[..., of])


def scaled_noise(sde: SDE, factor: float, drift: bool = True) -> SDE:
    return FunctionSDE(sde.f if drift else None, lambda t, x: factor * sde.g(t, x), "general")


def latent(
    noise: float = 1.0, drift: bool = True, levels: tuple[int, ...] = (6, 7, 8, 9), paths: int = 512, note: str = ""
) -> System:
    """The reference model with a sequence noise; its nine noises make it the most expensive."""
    model = reference.latent_model(sequence_noise=True)
    untouched = noise == 1.0 and drift
    sde = model if untouched else scaled_noise(model, noise, drift)
    return System(sde, reference.initial_state(), levels=levels, paths=paths, refine=1, sequential=untouched, note=note)


def trained() -> System:
    agent, episodes = load_trained()
    episode = to_sequences(episodes[0][None], torch.float64)
    observations = episode.observations[0]
    same = "the noise is additive along the solution, so that the two calculi coincide"
    return System(
        agent.as_sde(observations),
        initial_state(agent.world_model, observations, episode.actions[0], 10),
        span=(10.0, 11.0),
        levels=(5, 6, 7, 8),
        paths=256,
        refine=1,
        sequential=True,
        skipped={"heun": same, "milstein (Stratonovich)": same},
        note="The noises of z and z̃ depend on h alone, which has none: no vector moves another, all orders are 1. An "
        "interval as narrow as the sequential scheme's shows what the steps' being finite adds to a slope.",
    )


SYSTEMS: dict[str, Callable[[], System]] = {
    "additive": lambda: system(
        pull,
        [lambda xp, x: 0 * x + 0.7, pair(lambda xp, x: 0 * x[..., 0] - 0.4, lambda xp, x: 0 * x[..., 0] + 0.6)],
        "additive",
        note="Additive noise: Euler is Milstein's scheme, of order 1.",
    ),
    "scalar": lambda: system(
        pull, [lambda xp, x: 0.7 + 0.5 * xp.sin(xp.flip(x, (-1,)))], "scalar", levels=(6, 7, 8, 9), paths=4096
    ),
    "diagonal": lambda: system(pull, [lambda xp, x: 0.8 * xp.sqrt(1 + x**2)], "diagonal"),
    # Each coordinate has one function of itself in all of its row: the noises commute, and none is diagonal.
    "commuting": lambda: system(
        pull, [pair(wave(0.6, 0.4, 0), wave(0.3, 0.2, 1)), pair(wave(0.3, 0.2, 0), wave(-0.6, -0.4, 1))], "general"
    ),
    "non-commuting": lambda: system(
        pull,
        [pair(wave(0.6, 0.5, 1), wave(0.3, 0.0, 0)), pair(wave(-0.2, 0.0, 0), wave(0.6, 0.5, 0))],
        "general",
        levels=(6, 7, 8, 9),
    ),
    "declared diagonal": lambda: system(nothing, [lambda xp, x: 0.8 * xp.sqrt(1 + xp.flip(x, (-1,)) ** 2)], "diagonal"),
    "latent": lambda: latent(
        levels=(5, 6, 7, 8),
        paths=256,
        note="At these steps the drift's error, of order 1, is the larger part of Euler's and Heun's; their order ½ "
        "shows in the next two.",
    ),
    "latent, noise × 3": lambda: latent(noise=3.0, levels=(5, 6, 7, 8)),
    "latent, noise alone": lambda: latent(drift=False),
    "trained": trained,
}


# -- measurements


def methods(of: System) -> tuple[dict[str, Stepper], dict[str, str]]:
    """Steppers by name, and why the others are not there."""
    found: dict[str, Stepper] = {name: stepper(name, of.sde) for name in OURS}
    stratonovich = to_stratonovich(of.sde)
    found["heun"] = InStratonovichForm(stepper("heun", stratonovich))
    found["milstein (Stratonovich)"] = InStratonovichForm(stepper("milstein", stratonovich))
    if of.sequential:
        found["euler-sequential"] = stepper("euler-sequential", of.sde)
    missing = dict(of.skipped)
    if WITH_TORCHSDE:
        found["torchsde Milstein (Itô)"] = METHODS["torchsde:milstein"]
        found["torchsde Milstein (Stratonovich)"] = InStratonovichForm(METHODS["torchsde:milstein"])
    else:
        missing["torchsde"] = "not installed"
    if not WITH_DIFFRAX:
        missing["diffrax"] = "not installed"
    elif of.jax is None:
        missing["diffrax"] = "the coefficients are torch modules"
    else:
        f, g = of.jax
        found["diffrax ItoMilstein"] = Diffrax("ItoMilstein", f, g, 1.0)
        # ½ Σ_k ∂g_k[g_k] is subtracted from the drift, as to_stratonovich does.
        found["diffrax StratonovichMilstein"] = Diffrax("StratonovichMilstein", _corrected(f, g), g, 1.0)
    for name in missing:
        found.pop(name, None)
    grid = TimeGrid(*of.span, 2 ** of.levels[0])
    for name, method in list(found.items()):
        if _is_peer(name) and (why := refusal(method, of.sde, of.x0, grid)):
            missing[name] = why
            del found[name]
    return found, missing


def _corrected(f: Callable[[Any, Any], Any], g: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def drift(t: Any, x: Any) -> Any:
        import jax
        import jax.numpy as jnp

        return f(t, x) - 0.5 * jnp.einsum("ikj,jk->i", jax.jacfwd(lambda y: g(t, y))(x), g(t, x))

    return drift


def expected_order(name: str, declared: float, structure: NoiseStructure) -> float:
    """A stepper's declared order holds for any noise; what it has on this one."""
    if structure.kind == "additive":
        return 1.0
    return 1.0 if name == "heun" and not structure.needs_areas else declared


def measure(name: str) -> dict[str, Any]:
    of = SYSTEMS[name]()
    start = time.process_time()
    structure = noise_structure(of.sde, of.x0, TimeGrid(*of.span, 2 ** of.levels[-1]))
    if name in ("non-commuting", "declared diagonal") or name.startswith("latent"):
        assert structure.kind == "general" and structure.commutator > 0.01, structure
    found, missing = methods(of)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        measured = compare_methods(
            of.sde, of.x0, of.span, methods=found, levels=of.levels, refine=of.refine, paths=of.paths, seed=SEED
        )
    rows = [row(method, result, structure) for method, result in measured.items()]
    rows += [{"method": method, "refused": why} for method, why in missing.items()]
    return {
        "system": name,
        "dimension": len(of.x0),
        "channels": structure.channels,
        "declared noise": of.sde.noise_type,
        "structure": structure.kind,
        "commutator": structure.commutator,
        "span": of.span,
        "note": of.note,
        "reference": f"milstein with {2**of.refine} times as many steps",
        "paths": max(result.slope.n for result in measured.values()),
        "seed": SEED,
        "cpu seconds": time.process_time() - start,
        "rows": rows,
    }


def row(method: str, result: Convergence, structure: NoiseStructure) -> dict[str, Any]:
    low, high = result.slope.interval(CONFIDENCE)
    order = expected_order(method, result.declared, structure)
    neighbour = 0.5 if order == 1.0 else 1.0
    reached = low <= order <= high and not low <= neighbour <= high and high - low <= 2 * HALF_WIDTH
    return {
        "method": method,
        "dt": result.dt.tolist(),
        "errors": result.errors.tolist(),
        "stderrs": result.stderrs.tolist(),
        "slope": result.slope.mean,
        "interval": [low, high],
        "own slope": result.own_slope.mean,
        "own interval": list(result.own_slope.interval(CONFIDENCE)),
        "declared": result.declared,
        "expected": order,
        "measured": reached,
    }


# -- report


def print_system(found: dict[str, Any], console: Console) -> None:
    x = found
    title = (
        f"{x['system']}: {x['dimension']} dimensions, {x['channels']} noises, declared {x['declared noise']}, measured "
        f"{x['structure']}, largest commutator {x['commutator']:.3g}; {x['paths']} paths"
    )
    table = Table(title=title, title_justify="left", pad_edge=False)
    table.add_column("method")
    for name in ("declared", "expected", "slope", "95 %", "own", "error at the finest Δt", "Δt"):
        table.add_column(name, justify="right")
    table.add_column("order")
    for r in found["rows"]:
        if "refused" in r:
            table.add_row(r["method"], "", "", "", "", "", "", "", f"none: {r['refused']}")
            continue
        table.add_row(
            r["method"],
            f"{r['declared']:g}",
            f"{r['expected']:g}",
            f"{r['slope']:.3f}",
            f"[{r['interval'][0]:.3f}, {r['interval'][1]:.3f}]",
            f"{r['own slope']:.2f}",
            f"{r['errors'][-1]:.2e} ± {r['stderrs'][-1]:.0e}",
            f"{r['dt'][-1]:.2g}",
            "measured" if r["measured"] else "not this one",
        )
    console.print(table)
    if x["note"]:
        console.print(x["note"])


def print_summary(results: list[dict[str, Any]], console: Console) -> None:
    ours = [(x["system"], r) for x in results for r in x["rows"] if "slope" in r and not _is_peer(r["method"])]
    misses = [f"{r['method']} on {system}" for system, r in ours if not r["measured"]]
    console.print(
        f"{len(ours) - len(misses)} of our {len(ours)} rows are measured; an interval at 95 % misses a right order "
        f"once in twenty times by chance. Not measured: {', '.join(misses) or 'none'}."
    )


def _is_peer(method: str) -> bool:
    return method.startswith(("torchsde", "diffrax"))


def versions() -> dict[str, Any]:
    names = ("torchsde", "jax", "diffrax")
    found = {}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return environment() | found


def record(path: Path, found: dict[str, Any]) -> None:
    """Put one system's rows in place of what the file has of it."""
    kept = json.loads(path.read_text("utf-8"))["systems"] if path.exists() else []
    systems = {x["system"]: x for x in [*kept, found]}
    ordered = [systems[name] for name in SYSTEMS if name in systems]
    write_text(path, json.dumps({"environment": versions(), "systems": ordered}, indent=1, ensure_ascii=False))


def main() -> None:
    parser = argparse.ArgumentParser(description="Strong orders, measured.")
    parser.add_argument("--json", type=Path, metavar="PATH", help="record there, system by system")
    parser.add_argument("--systems", nargs="+", choices=list(SYSTEMS), default=list(SYSTEMS), metavar="NAME")
    args = parser.parse_args()
    torch.set_num_threads(1)
    console = Console(width=None if sys.stdout.isatty() else 170)
    for name, there in (("torchsde", WITH_TORCHSDE), ("diffrax", WITH_DIFFRAX)):
        if not there:
            console.print(f"{name} is not installed: its rows are left out (pip install 'sdewm[bench]')")
    results = []
    for name in args.systems:
        results.append(measure(name))
        print_system(results[-1], console)
        if args.json:
            record(args.json, results[-1])
    print_summary(results, console)


if __name__ == "__main__":
    main()
