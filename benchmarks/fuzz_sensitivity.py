"""Public functions that walk, sample and differentiate: valid calls, and what arguments are replaced by."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np
import torch
from scipy.linalg import expm
from torch import Tensor

from benchmarks.fuzz_answers import Case, close, grid_of, increments, linear, sde_of
from benchmarks.fuzz_values import COUNTS, F64, NUMBERS, OBJECTS, STATES
from sdewm import MonteCarlo, PerturbedSDE, TimeGrid, solve, testing
from sdewm.estimate import sample
from sdewm.expansion import taylor_tests
from sdewm.noise import StoredIncrements
from sdewm.sensitivity import (
    InverseMatrixSDE,
    SecondVariationSDE,
    ShiftedStart,
    commutator_term,
    commutators,
    commuting_flow,
    flow_exponent,
    jacobian,
    jacobians_along,
    second_derivative,
)
from sdewm.solvers import noise_structure, walk
from sdewm.systems.sde import SDE

Functions = dict[str, tuple[Callable[..., Any], dict[str, Any], dict[str, list[Any]]]]


def sensitivity_functions(sde: SDE, family: PerturbedSDE, grid: TimeGrid, dB: Tensor) -> Functions:
    """``name: (function, valid arguments, {argument: replacements})``."""
    start = torch.tensor([0.5, 0.1], dtype=F64)
    walked = {"sde": sde, "x0": start, "grid": grid, "noise": dB}
    replaced = {"sde": [*OBJECTS, family], "x0": STATES, "grid": OBJECTS, "method": [*OBJECTS, "EULER", "heun"],
                "noise": [*STATES, dB[:2], dB.numpy()]}  # fmt: skip
    functions = [*OBJECTS[:-1], lambda x: x[:1], lambda x: 1.0, lambda x: x.sum(-1), lambda x: x.long(), torch.tanh]

    def prolonged(kind: Any, of: Any) -> Tensor:
        system = kind(of)
        return solve(system, system.initial(start), grid, noise=dB)

    def shifted(sde: Any, u: Any) -> Tensor:
        return solve(ShiftedStart(sde, u).at(0.1), start, grid, noise=dB)

    def sampled(evaluate: Any, **given: Any) -> Any:
        return sample(evaluate, **given).values

    def smooth(x: Any = dB[0], **given: Any) -> Tensor:
        made = testing.SmoothSDE(**given)
        return made.f(torch.zeros((), dtype=F64), x)

    along = {"x": dB[0], "u": dB[0], "v": dB[0]}
    return {
        "commuting_flow": (commuting_flow, walked, replaced),
        "flow_exponent": (flow_exponent, walked, replaced),
        "commutators": (commutators, walked, replaced),
        "commutator_term": (commutator_term, walked, replaced),
        "jacobians_along": (lambda **given: list(jacobians_along(**given)), walked, replaced),
        "walk": (lambda **given: list(walk(**given)), walked | {"method": "euler"}, replaced),
        "noise_structure": (lambda **given: noise_structure(**given).commutator,
                            {name: walked[name] for name in ("sde", "x0", "grid")},
                            {name: replaced[name] for name in ("sde", "x0", "grid")} | {"seed": NUMBERS}),
        "InverseMatrixSDE": (prolonged, {"kind": InverseMatrixSDE, "of": sde}, {"of": replaced["sde"]}),
        "SecondVariationSDE": (prolonged, {"kind": SecondVariationSDE, "of": sde}, {"of": replaced["sde"]}),
        "ShiftedStart": (shifted, {"sde": sde, "u": start}, {"sde": replaced["sde"], "u": STATES}),
        "jacobian": (jacobian, {"function": torch.tanh, "x": dB[0]}, {"function": functions, "x": STATES}),
        "second_derivative": (second_derivative, {"function": torch.tanh} | along,
                              {"function": functions} | dict.fromkeys(along, STATES)),
        "sample": (sampled,
                   {"evaluate": lambda noise: {"end": sum(noise)[:, 0]}, "sampler": MonteCarlo(64, 0), "channels": 1,
                    "grid": grid, "like": start},
                   {"evaluate": [*OBJECTS[:-1], lambda noise: torch.zeros(noise.paths), lambda noise: {"end": None}],
                    "sampler": OBJECTS, "channels": COUNTS, "grid": OBJECTS, "like": STATES}),
        "taylor_tests": (lambda **given: list(taylor_tests(**given)),
                         {"family": family, "losses": {"sum": lambda x: x.sum(-1)}, "x0": start, "grid": grid,
                          "paths": 64},
                         {"family": OBJECTS, "x0": STATES, "grid": OBJECTS, "paths": NUMBERS,
                          "losses": [*OBJECTS, {1: torch.sum}, {"sum": None}, [torch.sum], lambda x: x.sum(-1)]}),
        "StoredIncrements": (lambda values, weights: list(StoredIncrements(values, weights)),
                             {"values": dB, "weights": None}, {"values": STATES, "weights": STATES}),
        "SmoothSDE": (smooth, {"noise_type": "diagonal", "size": 2, "channels": 2, "seed": 0},
                      {"noise_type": OBJECTS, "size": COUNTS, "channels": COUNTS, "seed": NUMBERS,
                       "sde_type": OBJECTS}),
        "SmoothLoss": (lambda **given: testing.SmoothLoss(**given)(dB[0]), {"size": 2, "seed": 0},
                       {"size": COUNTS, "seed": NUMBERS}),
    }  # fmt: skip


def flow_case(rng: Random) -> Case:
    """Of a linear system with additive noise Φ is exp(A), on every path."""
    s = linear(rng)
    call = lambda: commuting_flow(sde_of(s, "A", "a", "b"), torch.tensor(s["x0"]), grid_of(s), noise=stored(s))  # noqa: E731
    return Case("commuting_flow", "valid", call, check=lambda phi: close(phi, np.tile(expm(s["A"]), (5, 1, 1))))


def stored(s: dict[str, Any]) -> StoredIncrements:
    return StoredIncrements(torch.tensor(increments(s)))


def derivative_case(rng: Random) -> Case:
    """Of x ↦ Σ a x³ + x xᵀ b, coordinate by coordinate."""
    draw = np.random.default_rng(rng.getrandbits(32))
    n = rng.choice([1, 2, 3])
    (a, b), (x, u, v) = draw.normal(size=(2, n)), draw.normal(size=(3, 5, n))
    cubic, slope = torch.tensor(a), torch.tensor(b)

    def function(x: Tensor) -> Tensor:
        return cubic * x**3 + x * (x @ slope)[:, None]

    def call() -> Any:
        points = [torch.tensor(each) for each in (x, u, v)]
        return jacobian(function, points[0]), second_derivative(function, *points)

    first = np.einsum("i,pi,ij->pij", 3 * a, x**2, np.eye(n)) + np.einsum("p,ij->pij", x @ b, np.eye(n))
    first = first + np.einsum("pi,j->pij", x, b)
    second = 6 * a * x * u * v + u * (v @ b)[:, None] + v * (u @ b)[:, None]
    return Case("jacobian", "valid", call, check=lambda pair: close(pair[0], first) and close(pair[1], second))


WALKED = [flow_case, derivative_case]
