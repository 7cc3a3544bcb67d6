"""A path-step's cost: compiled walks, plain ones, torchsde, and JAX by hand, on the same systems in the same run.

``python -m benchmarks.compiled`` prints nanoseconds of processor time for a step of one path on one thread, and ratios
to the compiled walk. Random numbers are included: counter-based ones for the compiled walk and for JAX, torch's for the
plain walk and torchsde. ``--json PATH`` records them. Needs JAX for its columns. Ratios are what to quote: all are
timed in turn, and the median of the rounds is taken.
"""

from __future__ import annotations

import os

os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")

import argparse
import importlib.util
import itertools
import json
import statistics
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from sdewm import FunctionSDE, PerturbedSDE, TimeGrid
from sdewm.exact import reference
from sdewm.jets import JetSpace, Parameter
from sdewm.noise.increments import CountedIncrements, StreamedIncrements
from sdewm.solvers.compiled import Walks
from sdewm.systems.sde import noise_channels
from sdewm.verdicts.record import environment

STEPS = 20
ROUNDS = 3
WITH_JAX = importlib.util.find_spec("jax") is not None
Layers = list[tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]]


@dataclass(frozen=True)
class Problem:
    """A tanh network for a drift, a noise, and errors in both; for torch, and the same numbers for JAX."""

    n: int
    drift: Layers
    noise: str  # "matrix", "network" or "diagonal"
    noise_network: Layers
    matrices: tuple[np.ndarray[Any, Any], ...]
    x0: np.ndarray[Any, Any]

    def coefficients(
        self, xp: Any, network: Callable[[Layers], Callable[[Any], Any]]
    ) -> tuple[Callable[..., Any], ...]:
        """f, g and those of the error, as functions of x, in torch or in jax.numpy."""
        A, B, C = (xp.asarray(m) for m in self.matrices)
        drift, n = network(self.drift), self.n
        if self.noise == "diagonal":
            return drift, lambda x: 0.3 + 0.1 * xp.cos(x), lambda x: 0.5 * xp.sin(x), lambda x: 0.2 * xp.cos(x)
        whole = network(self.noise_network)
        g = {
            "matrix": lambda x: A + B * xp.tanh(x)[..., None],
            "network": lambda x: 0.3 * whole(x).reshape(*x.shape[:-1], n, n),
        }[self.noise]
        return drift, g, lambda x: 0.5 * xp.sin(x), lambda x: C * xp.cos(x)[..., None]


def problem(n: int, hidden: list[int], noise: str) -> Problem:
    draw = np.random.default_rng(0)

    def layers(*sizes: int) -> Layers:
        return [
            (draw.uniform(-1, 1, (i, o)) / i**0.5, draw.uniform(-1, 1, o) / i**0.5)
            for i, o in itertools.pairwise(sizes)
        ]

    matrices = tuple(size * draw.normal(size=(n, n)) / n**0.5 for size in (0.3, 0.1, 0.3))
    drift, second = layers(n, *hidden, n), layers(n, 32, n * n)
    return Problem(n, drift, noise, second, matrices, 0.1 * draw.normal(size=n))


def in_torch(layers: Layers) -> Callable[[Tensor], Tensor]:
    modules: list[torch.nn.Module] = []
    for weight, bias in layers:
        linear = torch.nn.Linear(*weight.shape).double().requires_grad_(False)
        linear.weight.copy_(torch.from_numpy(weight.T))
        linear.bias.copy_(torch.from_numpy(bias))
        modules += [linear, torch.nn.Tanh()]
    return torch.nn.Sequential(*modules[:-1])


def family(of: Problem) -> tuple[PerturbedSDE, Tensor]:
    f, g, ef, eg = of.coefficients(torch, in_torch)
    kind = "diagonal" if of.noise == "diagonal" else "general"
    base = FunctionSDE(lambda t, x: f(x), lambda t, x: g(x), kind)
    error = FunctionSDE(lambda t, x: ef(x), lambda t, x: eg(x), kind)
    return PerturbedSDE(base, error), torch.from_numpy(of.x0)


SYSTEMS: dict[str, Problem | None] = {
    "8-32-8, noise a full matrix": problem(8, [32], "matrix"),
    "8-32-8, noise from a network": problem(8, [32], "network"),
    "16-64-64-16, diagonal noise": problem(16, [64, 64], "diagonal"),
    "8-256-8, noise a full matrix": problem(8, [256], "matrix"),
    "reference latent model": None,
}
# The parameters and the order of what is carried along: nothing, one magnitude to second order, both to second.
SPACES = {"plain": None, "first and second": JetSpace(1, 2), "all six": JetSpace(2, 2)}


def ours(perturbed: PerturbedSDE, x0: Tensor, kind: str, paths: int, compile: bool) -> Callable[[], object]:
    space, grid = SPACES[kind], TimeGrid(0.0, 1.0, STEPS)
    sde = perturbed.base if space is None else perturbed.at(*(Parameter(space, i) for i in range(space.parameters)))
    walks = Walks(sde, x0, grid, "euler", [STEPS], compile=compile, loud=True)
    m = noise_channels(perturbed.base, torch.zeros((), dtype=x0.dtype), x0[None])
    block = min(paths, 2048)

    def run() -> None:
        with torch.no_grad():
            for i in range(0, paths, block):
                count = min(block, paths - i)
                list(
                    walks(
                        CountedIncrements(0, (i,), count, m, grid, x0)
                        if compile
                        else StreamedIncrements((i,), count, m, grid, x0)
                    )
                )

    return run


def torchsde(perturbed: PerturbedSDE, x0: Tensor, paths: int) -> Callable[[], object]:
    from torchsde import sdeint

    start, times = x0.expand(paths, -1), torch.linspace(0, 1, 2, dtype=x0.dtype)

    def run() -> object:
        with torch.no_grad():
            return sdeint(perturbed.base, start, times, dt=1 / STEPS, method="euler")

    return run


def by_jax(of: Problem, kind: str, paths: int) -> Callable[[], object]:
    """Nested forward derivatives of one step inside a scan: the fastest way that was found."""
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)

    def network(layers: Layers) -> Callable[[Any], Any]:
        weights = [(jnp.asarray(w), jnp.asarray(b)) for w, b in layers]

        def apply(x: Any) -> Any:
            for w, b in weights[:-1]:
                x = jnp.tanh(x @ w + b)
            return x @ weights[-1][0] + weights[-1][1]

        return apply

    f, g, ef, eg = of.coefficients(jnp, network)
    dt = 1 / STEPS

    def product(G: Any, dB: Any) -> Any:
        return G * dB if of.noise == "diagonal" else jnp.einsum("pij,pj->pi", G, dB)

    def step(a: Any, b: Any, x: Any, dB: Any) -> Any:
        return x + (f(x) + b * ef(x)) * dt + product(g(x) + a * eg(x), dB)

    def draw(key: Any) -> Any:
        return dt**0.5 * jax.random.normal(key, (paths, of.n), dtype=jnp.float64)

    def plain(x: Any, key: Any) -> Any:
        return x + f(x) * dt + product(g(x), draw(key)), None

    def mixed(at: Any, v: Any, w: Any, x: Any, xv: Any, xw: Any, xvw: Any) -> Any:
        """x, its derivatives along v and w, and the mixed one, after a step."""
        inner = lambda a, b, y, yd: jax.jvp(lambda p, q, z: at(p, q, z), (a, b, y), (*v, yd))  # noqa: E731
        (y, yv), (yw, yvw) = jax.jvp(inner, (0.0, 0.0, x, xv), (*w, xw, xvw))
        return y, yv, yw, yvw

    def second(carry: Any, key: Any) -> Any:
        x, x1, x2 = carry
        dB = draw(key)
        along = (1.0, 1.0)
        y, y1, _, y2 = mixed(lambda a, b, z: step(a, b, z, dB), along, along, x, x1, x1, x2)
        return (y, y1, y2), None

    def six(carry: Any, key: Any) -> Any:
        x, a, b, aa, ab, bb = carry
        dB = draw(key)
        at, e1, e2 = (lambda p, q, z: step(p, q, z, dB)), (1.0, 0.0), (0.0, 1.0)
        y, ya, _, yaa = mixed(at, e1, e1, x, a, a, aa)
        _, yb, _, ybb = mixed(at, e2, e2, x, b, b, bb)
        _, _, _, yab = mixed(at, e1, e2, x, a, b, ab)
        return (y, ya, yb, yaa, yab, ybb), None

    start, zero = jnp.broadcast_to(jnp.asarray(of.x0), (paths, of.n)), jnp.zeros((paths, of.n))
    body, carry = {
        "plain": (plain, start),
        "first and second": (second, (start, zero, zero)),
        "all six": (six, (start, *([zero] * 5))),
    }[kind]
    run = jax.jit(lambda key: jax.lax.scan(body, carry, jax.random.split(key, STEPS))[0])
    return lambda: jax.block_until_ready(run(jax.random.PRNGKey(0)))


def measure(name: str, kind: str, paths: int) -> dict[str, float]:
    """Nanoseconds of processor time a path-step, by who made it."""
    of = SYSTEMS[name]
    perturbed, x0 = (reference.latent_family(), reference.initial_state()) if of is None else family(of)
    runs = {c: ours(perturbed, x0, kind, paths, c == "compiled") for c in ("compiled", "torch")}
    if of is not None and WITH_JAX:
        runs["JAX"] = by_jax(of, kind, paths)
    if kind == "plain" and importlib.util.find_spec("torchsde") is not None:
        runs["torchsde"] = torchsde(perturbed, x0, paths)
    seconds: dict[str, list[float]] = {who: [] for who in runs}
    for run in runs.values():
        run()  # compiles
    for _ in range(ROUNDS):
        for who, run in runs.items():
            started = time.process_time()
            run()
            seconds[who].append(time.process_time() - started)
    return {who: 1e9 * statistics.median(s) / (paths * STEPS) for who, s in seconds.items()}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compiled", description=__doc__.split("\n")[0])
    parser.add_argument("--paths", type=int, action="append", help="how many; may be repeated (10,000 and 200)")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the record to PATH")
    args = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    console, rows = Console(width=120), []
    table = Table(title="ns a path-step (times the compiled walk's)", title_justify="left")
    for column in ("system", "carried", "paths", "compiled", "torch", "JAX", "torchsde"):
        table.add_column(column, justify="left" if column in ("system", "carried") else "right")
    for paths in args.paths or (10_000, 200):
        for name in SYSTEMS:
            for kind in SPACES:
                found = measure(name, kind, paths)
                rows.append({"system": name, "carried": kind, "paths": paths, "nanoseconds": found})
                own = found["compiled"]
                others = [
                    f"{found[w]:.0f} ({found[w] / own:.1f})" if w in found else "–"
                    for w in ("torch", "JAX", "torchsde")
                ]
                table.add_row(name, kind, f"{paths:,}", f"{own:.0f}", *others)
                if args.json is not None:
                    record = {"environment": environment(), "steps": STEPS, "rows": rows}
                    args.json.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    console.print(table)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
