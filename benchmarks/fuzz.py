"""Inputs made at random for every public function: each gives a right answer, or an error that names the argument.

    python -m benchmarks.fuzz [--inputs 10000] [--seed 0] [--only gru_lipschitz …] [--out results/fuzz.json]

An input is a valid call with some of its arguments replaced: numbers by other kinds of numbers, texts, booleans or
nothing; states by other shapes, dtypes and values; coefficients and losses by functions that return odd things. What
comes is "right" (an independent computation agrees), "finite" (numbers, all of them finite), "refused" (a documented
error that starts with the name of what is wrong), or a fault: "raw" (an error from inside torch, numpy or Python),
"unnamed", "not finite", "wrong", "accepted" (what must be refused gave a number) or "time".
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import re
import signal
import time
import warnings
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from torch import Tensor

import sdewm
from benchmarks.fuzz_answers import VALID, Case, family_of, grid_of, increments, linear, loss_of, sde_of
from benchmarks.fuzz_divergence import divergence_functions
from benchmarks.fuzz_exact import EXACT, exact_functions
from benchmarks.fuzz_sensitivity import WALKED, sensitivity_functions
from benchmarks.fuzz_values import COUNTS, F64, NUMBERS, OBJECTS, STATES
from benchmarks.fuzz_worldmodel import worldmodel_functions
from sdewm import FunctionSDE, PerturbedSDE, TimeGrid
from sdewm.jets import NotDifferentiable

GOOD = ("right", "finite", "refused")
SECONDS = 30
# The start of a message: the name of an argument or of a coefficient, perhaps with a place or a part.
PYTHONS_OWN = ("unhashable type", "could not convert string")
NAMED = re.compile(r"^[a-zA-Zσ_][\w.]*(\[\d+\])?(\.\w+)?((, | )[\w. ]+)*: ")


# -- coefficients that return odd things

# Functions of a state; where True, no coefficient may be so.
ODD: dict[str, tuple[Callable[[Tensor], Any], bool]] = {
    "float": (lambda x: 0.1, True),
    "none": (lambda x: None, True),
    "array": (lambda x: np.zeros(x.shape), True),
    "list": (lambda x: [0.0], True),
    "sum over paths": (lambda x: 0 * x + x.sum(0), True),
    "mean over paths": (lambda x: x - x.mean(), True),
    "number of paths": (lambda x: x * len(x), True),
    "random": (torch.rand_like, True),
    "dropout": (lambda x: torch.nn.functional.dropout(x + 1, 0.5), True),
    "scalar": (lambda x: x.sum(), True),
    "one path": (lambda x: x[0], True),
    "first path": (lambda x: x[:1], True),
    "three paths": (lambda x: torch.ones(3, x.shape[-1], dtype=x.dtype), True),
    "turned": (lambda x: x.T, True),
    "one more axis": (lambda x: x[..., None, None], True),
    "float32": (lambda x: x.float(), True),
    "complex": (lambda x: x + 0j, True),
    "whole": (lambda x: x.long(), True),
    "bool": (lambda x: x > 0, True),
    "nan": (lambda x: x * math.nan, True),
    "inf": (lambda x: x / 0, True),
    "in place": (lambda x: x.mul_(2), True),
    "weights do not fit": (lambda x: x @ torch.ones(7, 7, dtype=x.dtype), True),
    "raises": (lambda x: {}[0], True),
    "grows": (lambda x: x.exp().exp().exp(), False),
    "root": (lambda x: (x - 0.05).sqrt(), False),
    "logarithm": (lambda x: x.abs().log(), False),
    "kink": (lambda x: x.relu(), False),
    "constant": (lambda x: torch.full_like(x, 0.3), False),
    "large": (lambda x: 1e150 * x, False),
}


# -- mutants: one or two arguments of a valid call replaced


def mutable(rng: Random) -> dict[str, tuple[Callable[..., Any], dict[str, Any], dict[str, list[Any]]]]:
    """Every public function: the function, its valid arguments, and what each is replaced by."""
    s = linear(rng)
    s |= {"n": 2, "x0": np.array([0.5, 0.1]), "noise": "diagonal", "m": 2}
    s |= {name: 0.3 * np.eye(2) for name in ("A", "b", "c", "C")} | {"a": np.ones(2), "v": np.ones(2), "steps": 4}
    base, family, grid, dB = sde_of(s, "A", "a", "b"), family_of(s), grid_of(s), torch.tensor(increments(s))
    stratonovich = FunctionSDE(lambda t, x: -x, lambda t, x: 0.1 * x, sde_type="stratonovich")
    texts = [*OBJECTS, "milstein", "heun", "EULER", "", "euler-sequential", "platen-weak", "sri2"]
    walk = {
        "x0": STATES,
        "grid": [*OBJECTS, (0, 1, 4), TimeGrid(0.0, 2.0, 4), TimeGrid(0.0, 1.0, 5)],
        "method": texts,
        "noise": [*STATES, dB[:2], dB[..., :1], dB.float(), dB * math.nan, dB.long(), dB.numpy()],
    }
    sdes = [*OBJECTS, family, stratonovich, FunctionSDE(), FunctionSDE(noise_type="scalar")]
    estimate = {
        "loss": [*OBJECTS, sdewm.SummedLoss(lambda t, x: x.sum(-1), [0.5, 1.0], [math.pi, -1])],
        "x0": STATES,
        "grid": [*OBJECTS, (0, 1, 4)],
        "family": [*OBJECTS, base],
        "method": texts,
        "paths": NUMBERS,
        "seed": NUMBERS,
        "order": NUMBERS,
        "sampler": [*OBJECTS, "sobol", sdewm.BrownianSampler(64, 0), sdewm.MonteCarlo(64, 0)],
        "form": [*OBJECTS, "printed", "literal"],
    }
    problem = {"family": family, "loss": loss_of(s), "x0": s["x0"], "grid": grid, "paths": 64}
    posed = {name: problem[name] for name in ("family", "loss", "x0", "grid")}
    described = {
        "loss": [*estimate["loss"], {"one": loss_of(s)}, {1: loss_of(s)}, {"one": None}],
        "name": OBJECTS,
        "continuous": OBJECTS,
        "formula_factor": NUMBERS,
        "third_factor": NUMBERS,
    }
    eye = torch.eye(2, dtype=F64)
    few = {"sde": base, "x0": s["x0"], "grid": (0.0, 1.0), "levels": (1, 2, 3), "paths": 256, "refine": 1}
    order = {
        "x0": STATES,
        "grid": [*OBJECTS, (0, 1, 2), (1, 0), ("a", "b"), grid],
        "levels": [*OBJECTS, (1, 2), (3, 2, 1), (1.5, 2, 3), np.array([1, 2, 3]), (True, 2, 3), range(1, 4)],
        "paths": NUMBERS,
        # Sixteen levels more are a million steps: an answer, in minutes.
        "refine": [value for value in NUMBERS[:-3] if not (isinstance(value, Tensor | np.ndarray) and value.ndim == 0)],
        "precision": NUMBERS,
        "confidence": NUMBERS,
        "seed": NUMBERS,
        "kind": OBJECTS,
        "sde": sdes,
    }
    model = {
        "q_enc": lambda h, s: h[:, :1],
        "q_enc_bar": lambda h, s: 0.1 + 0 * h[:, :1],
        "f": lambda h, z, a: -h + z,
        "p": lambda h: h[:, :1],
        "p_bar": None,
        "q_dec": lambda h, z: z,
        "policy": lambda h, z: z,
        "observation": lambda t: torch.ones(1, dtype=F64),
        "sizes": (1, 2, 1, 1),
    }
    latent_noise = torch.zeros(4, 5, 1, dtype=F64)
    functions = [*OBJECTS, lambda *a: a[0], lambda *a: a[0][:, :1] * math.nan, lambda *a: 1.0, torch.nn.Identity()]

    def latent(**given: Any) -> Tensor:
        return sdewm.solve(sdewm.LatentSDE(**given), torch.zeros(5, dtype=F64), grid, noise=latent_noise)

    def rollout(model: Any) -> Tensor:
        made = sdewm.LatentRollout(model)
        return sdewm.solve(made, torch.zeros(3, dtype=F64), grid, noise=torch.zeros(4, 5, 0, dtype=F64))

    def maximizer(**given: Any) -> Tensor:
        h = torch.ones(3, 1, dtype=F64)
        return sdewm.LocalMaximizer(**given)(h, h)

    def observed(times: Any, values: Any, t: Any) -> Tensor:
        return sdewm.RecordedObservation(times, values)(t)

    def slopes(size: Any, activation: Any) -> float:
        net = sdewm.SlopeNetwork(size)
        return net.lipschitz(net.layer(net.inputs, activation), search=2)

    def summed(**given: Any) -> Any:
        return sdewm.SummedLoss(**given).on(grid)

    def prolonged(kind: Any, of: Any, x0: Any) -> Tensor:
        system = kind(of)
        return sdewm.solve(system, system.initial(x0), grid, noise=dB)

    def brownian_path(level: Any, finest: Any, **given: Any) -> list[Tensor]:
        return list(itertools.islice(sdewm.BrownianPath(**given).at(level, finest=finest), 8))

    def drawn(kind: Any, **given: Any) -> Any:
        return kind(**given).paths

    def steepest(potential: Any, x: Any) -> Tensor:
        return sdewm.gradient(potential)(x)

    def in_time(function: Any) -> Tensor:
        changed = model | {"policy": sdewm.InTime(function)}
        return latent(**changed)

    def system(**given: Any) -> Any:
        return sdewm.System(**given).grids

    def verified(**given: Any) -> Any:
        return [(row.statistic, row.margin) for row in sdewm.verify(**given).verdicts]

    def certified(**given: Any) -> Any:
        found = sdewm.certify(**given)
        return found.lower, 1 / (1 + found.upper)  # infinite where nothing is certified, as it says

    def same(x: Any) -> bool:
        return sdewm.value_of(x) is x

    def interval(confidence: Any) -> Any:
        return sdewm.Estimate(1.0, 0.1, 64, 7).interval(confidence)

    return {
        "solve": (sdewm.solve, {"sde": base, "x0": s["x0"], "grid": grid, "noise": dB},
                  walk | {"sde": sdes, "save": [*OBJECTS, "path", "last"]}),
        "fundamental_matrix": (sdewm.fundamental_matrix, {"sde": base, "x0": s["x0"], "grid": grid, "noise": dB},
                               walk | {"sde": sdes}),
        "initial_value_derivatives": (sdewm.initial_value_derivatives,
                                      {"sde": base, "x0": s["x0"], "grid": grid, "noise": dB},
                                      walk | {"sde": sdes, "directions": STATES}),
        "expand": (sdewm.expand, problem, estimate | {
            "grids": NUMBERS, "reading": OBJECTS, "executor": [None], "progress": [None]}),
        "expand_to": (sdewm.expand_to, {**posed, "tol": 1.0, "budget": 2**20}, {
            name: estimate[name] for name in ("family", "loss", "x0", "grid", "method", "seed")} | {
            "tol": NUMBERS, "confidence": NUMBERS, "budget": NUMBERS, "compile": OBJECTS}),
        "System": (system, posed, {name: estimate[name] for name in ("family", "x0", "grid", "method")} | described),
        "check_sde": (sdewm.check_sde, {"system": family, "x0": s["x0"], "grid": grid},
                      {"system": [*sdes, sdewm.System(**posed)], "x0": STATES, "grid": OBJECTS}),
        "verify": (verified,
                   {"system": sdewm.System(**posed), "claims": "sensitivities", "precision": 0.1, "budget": 0},
                   {"system": [*OBJECTS, family], "precision": NUMBERS, "seed": NUMBERS, "sampler": texts,
                    "budget": NUMBERS[:8], "progress": OBJECTS[:-1],
                    "claims": [*OBJECTS[1:], "sensitivities", "orders", ["sensitivities", "x"], ("assumptions",) * 2]}),
        "solve_adaptive": (sdewm.solve_adaptive,
                           {"sde": base, "x0": s["x0"], "grid": (0.0, 1.0), "tol": 1.0, "method": "euler", "paths": 5},
                           {"sde": sdes, "x0": STATES, "tol": NUMBERS, "method": texts, "seed": NUMBERS,
                            "grid": [*OBJECTS, (0, 1, 2), (1, 0), ("a", "b"), grid, TimeGrid(0.0, 1.0, 3)],
                            "paths": COUNTS, "finest": NUMBERS, "save": [*OBJECTS, "path", "last"]}),
        "certify": (certified, {"sde": base, "x0": s["x0"], "grid": grid, "perturbations": eye, "noise": dB},
                    walk | {"sde": sdes, "perturbations": [*STATES, eye, 0 * eye, 1e200 * eye, eye.float()],
                            "tubes": COUNTS}),
        "gradient": (steepest, {"potential": lambda x: (x**2).sum(-1), "x": dB[0]}, {
            "potential": [*OBJECTS[:-1], lambda x: x, lambda x: x.sum(), lambda x: x.abs().sum(-1), lambda x: 1.0,
                          lambda x: x[:, 0].detach(), lambda x: x.sum(-1).long(), lambda x: x.sum(-1) + 0j],
            "x": [x for x in STATES if not isinstance(x, Tensor) or bool(torch.isfinite(x).all())]}),
        "value_of": (same, {"x": dB}, {"x": STATES}),
        "InTime": (in_time, {"function": lambda t, h, z: z}, {"function": functions}),
        "taylor_test": (sdewm.taylor_test, problem, estimate | {
            "eps": [*STATES, [0.4, 0.2, 0.1, 0.05], [math.nan] * 4], "confidence": NUMBERS}),
        "convergence": (sdewm.convergence, few | {"method": "euler"}, order | {"method": texts}),
        "compare_methods": (sdewm.compare_methods, few | {"methods": {"e": "euler"}},
                         order | {"methods": [*OBJECTS, {"a": "heun"}, {"a": 3}, ["euler"]]}),
        "TimeGrid": (lambda **a: sdewm.TimeGrid(**a).dt, {"t0": 0.0, "t1": 1.0, "steps": 4},
                     {"t0": NUMBERS, "t1": NUMBERS, "steps": NUMBERS}),
        "FunctionSDE": (lambda **a: sdewm.FunctionSDE(**a).noise_type, {"f": None, "g": None},
                        {"f": OBJECTS, "g": OBJECTS, "noise_type": OBJECTS, "sde_type": OBJECTS}),
        "PerturbedSDE": (lambda eps, **a: sdewm.solve(sdewm.PerturbedSDE(**a).at(eps), s["x0"], grid, noise=dB),
                         {"base": base, "error": base, "eps": 0.1}, {"base": sdes, "error": sdes, "eps": NUMBERS}),
        "LatentSDE": (latent, model, {name: functions for name in model if name != "sizes"} | {
            "sizes": [*OBJECTS, (1, 2, 1), (1, 2, 1, 0), (1.5, 2, 1, 1), (-1, 2, 1, 1), np.array([1, 2, 1, 1])],
            "leak": NUMBERS, "observation0": STATES}),
        "LatentRollout": (rollout, {"model": sdewm.LatentSDE(**model)}, {"model": sdes}),
        "LocalMaximizer": (maximizer, {"q": lambda h, z, a: -((a - h) ** 2).sum(-1), "guess": [0.0]},
                           {"q": functions, "guess": STATES, "low": NUMBERS, "high": NUMBERS, "tolerance": NUMBERS,
                            "iterations": NUMBERS}),
        "RecordedObservation": (observed, {"times": [0.0, 1.0], "values": torch.zeros(2, 3, dtype=F64), "t": 0.5},
                                {"times": STATES, "values": STATES, "t": NUMBERS}),
        "SlopeNetwork": (slopes, {"size": 2, "activation": "tanh"}, {"size": NUMBERS[:-6], "activation": texts}),
        "SummedLoss": (summed, {"fn": lambda t, x: x.sum(-1), "times": [0.5, 1.0]},
                       {"fn": OBJECTS, "times": STATES, "weights": STATES}),
        "FundamentalMatrixSDE": (prolonged, {"kind": sdewm.FundamentalMatrixSDE, "of": base, "x0": s["x0"]},
                                 {"of": sdes, "x0": STATES}),
        "SensitivitySDE": (prolonged, {"kind": sdewm.SensitivitySDE, "of": family, "x0": s["x0"]},
                           {"of": sdes, "x0": STATES}),
        "BrownianPath": (brownian_path, {"seed": 1, "paths": 5, "channels": 2, "level": 2, "finest": None},
                         {"seed": NUMBERS, "paths": NUMBERS[:-9], "channels": NUMBERS[:-9], "level": NUMBERS[:-2],
                          "finest": NUMBERS[:-2], "t0": NUMBERS, "t1": NUMBERS, "first": NUMBERS}),
        "MonteCarlo": (drawn, {"kind": sdewm.MonteCarlo, "paths": 64, "seed": 0},
                       {"paths": NUMBERS, "seed": NUMBERS, "block": NUMBERS}),
        "CounterMonteCarlo": (drawn, {"kind": sdewm.CounterMonteCarlo, "paths": 64, "seed": 0},
                              {"paths": NUMBERS, "seed": NUMBERS, "block": NUMBERS}),
        "AntitheticMonteCarlo": (drawn, {"kind": sdewm.AntitheticMonteCarlo, "paths": 64, "seed": 0},
                                 {"paths": NUMBERS, "seed": NUMBERS, "block": NUMBERS}),
        "QuasiMonteCarlo": (drawn, {"kind": sdewm.QuasiMonteCarlo, "paths": 64, "seed": 0},
                            {"paths": NUMBERS, "seed": NUMBERS, "block": NUMBERS, "replicates": NUMBERS,
                             "ordering": OBJECTS, "widen": NUMBERS}),
        "BrownianSampler": (drawn, {"kind": sdewm.BrownianSampler, "paths": 64, "seed": 0},
                            {"paths": NUMBERS, "seed": NUMBERS, "block": NUMBERS}),
        "Estimate.interval": (interval, {"confidence": 0.9}, {"confidence": NUMBERS}),
        "to_ito": (lambda sde: sdewm.to_ito(sde).sde_type, {"sde": stratonovich}, {"sde": sdes}),
        "to_stratonovich": (lambda sde: sdewm.to_stratonovich(sde).sde_type, {"sde": base}, {"sde": sdes}),
    } | divergence_functions(base, grid, dB) | exact_functions() | worldmodel_functions() | sensitivity_functions(
        base, family, grid, dB
    )  # fmt: skip


def mutant(rng: Random, only: Collection[str] = ()) -> Case:
    table = mutable(rng)
    name = rng.choice(sorted(only or table))
    function, arguments, replacements = table[name]
    changed = rng.sample(sorted(replacements), rng.choice([1, 1, 1, min(2, len(replacements))]))
    given = arguments | {which: rng.choice(replacements[which]) for which in changed}
    return Case(name, "argument " + ", ".join(changed), lambda: function(**given))


ESTIMATES = ["expand"] * 2 + ["taylor_test"] * 2 + ["expand_to", "check_sde"]
WALKS = ["solve"] * 3 + ["fundamental_matrix", "initial_value_derivatives", "solve_adaptive", "certify"]


def odd_function(rng: Random) -> Case:
    """A coefficient of base or error, or a loss, that returns odd things."""
    s = linear(rng)
    kind = rng.choice(sorted(ODD))
    function, bad = ODD[kind]
    place = rng.choice(["base f", "base g", "error f", "error g", "loss"])
    base, error = sde_of(s, "A", "a", "b"), sde_of(s, "C", None, "c")
    loss = loss_of(s)
    if place == "loss":
        loss = (lambda x: function(x).sum(-1)) if not bad or kind in ("nan", "inf", "random") else function
    else:
        part, which = place.split()
        sde = base if part == "base" else error
        shaped = function if s["noise"] == "diagonal" or which == "f" else lambda x: function(x)[..., None]
        given = {"f": sde.f, "g": sde.g} | {which: lambda t, x: shaped(x)}
        odd = FunctionSDE(given["f"], given["g"], s["noise"])
        base, error = (odd, error) if part == "base" else (base, odd)
    estimate = place == "loss" or rng.random() < 0.3
    name = rng.choice(ESTIMATES if estimate else WALKS)
    x0, grid = s["x0"], grid_of(s)

    def call() -> Any:
        family = PerturbedSDE(base, error)
        if name == "check_sde":
            return sdewm.check_sde(sdewm.System(family, loss, x0, grid))
        if name == "expand_to":
            return sdewm.expand_to(family, loss, x0, grid, tol=0.5, budget=2**20).expansion
        if estimate:
            found = getattr(sdewm, name)(family, loss, x0, grid, paths=64)
            return found.remainders if isinstance(found, sdewm.TaylorTest) else found
        perturbed = family.at(0.1)
        if name == "solve_adaptive":
            return sdewm.solve_adaptive(perturbed, x0, (0.0, 1.0), tol=1.0, paths=5).x
        if name == "certify":
            return sdewm.certify(perturbed, x0, grid, perturbations=np.ones((1, s["n"])), noise=increments(s)).lower
        return getattr(sdewm, name)(perturbed, x0, grid, noise=increments(s))

    return Case(name, f"{place}: {kind}", call, bad=bad)


# Calls that take a good part of a second are made less often.
COSTS = {"expand_to_case": 0.5, "check_sde_case": 0.5, "verify_case": 0.5}


def cases(count: int, seed: int, only: Collection[str] = ()) -> Iterator[Case]:
    """``only``: mutants of these functions, by their names in :func:`mutable`, and nothing else."""
    rng = Random(seed)
    if only:
        yield from (mutant(rng, only) for _ in range(count))
        return
    kinds = [mutant, odd_function, *VALID, *EXACT, *WALKED]
    weights = [60, 25, *[COSTS.get(kind.__name__, 2.0) for kind in kinds[2:]]]
    for _ in range(count):
        yield rng.choices(kinds, weights)[0](rng)


# -- what came of it


def numbers(value: Any, depth: int = 0) -> Iterator[float]:
    """Every number in a result."""
    if isinstance(value, Tensor):
        yield from value.detach().double().flatten().tolist()
    elif isinstance(value, np.ndarray):
        yield from value.astype(float).ravel().tolist()
    elif isinstance(value, int | float):
        yield float(value)
    elif isinstance(value, sdewm.Estimate):
        yield from (value.mean, value.stderr)
    elif isinstance(value, dict):
        for one in value.values():
            yield from numbers(one, depth + 1)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from numbers(one, depth + 1)
    elif is_dataclass(value) and depth < 3:
        for field in fields(value):
            if field.name not in ("bias_left", "bias", "sample", "rates", "slope", "own_slope", "order"):
                yield from numbers(getattr(value, field.name), depth + 1)


class TooLong(Exception):
    pass


def _alarm(*_: Any) -> None:
    raise TooLong


def judge(case: Case) -> tuple[str, str]:
    """The outcome and what there is to say of it."""
    signal.signal(signal.SIGALRM, _alarm)
    signal.alarm(SECONDS)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = case.call()
    except TooLong:
        return "time", f"more than {SECONDS} s"
    except (ValueError, TypeError, ArithmeticError) as error:
        frame = error.__traceback__
        while frame is not None and frame.tb_next is not None:
            frame = frame.tb_next
        text = f"{type(error).__name__}: {error}"
        inside = frame is not None and not str(frame.tb_frame.f_globals.get("__name__")).startswith("sdewm")
        if isinstance(error, NotDifferentiable):
            return "refused", text
        if inside:
            return "raw", text
        named = NAMED.match(str(error)) and not str(error).startswith(PYTHONS_OWN)
        return ("refused" if named else "unnamed"), text
    except Exception as error:
        return "raw", f"{type(error).__name__}: {error}"
    finally:
        signal.alarm(0)
    if case.bad:
        return "accepted", "gave a number"
    if not all(map(math.isfinite, numbers(result))):
        return "not finite", "a number that is not finite"
    if case.check is None:
        return "finite", ""
    return ("right", "") if case.check(result) else ("wrong", "disagrees with the independent computation")


def fuzz(count: int, seed: int, only: Collection[str] = ()) -> dict[str, Any]:
    """Counts by outcome and by function, and every fault."""
    outcomes: Counter[str] = Counter()
    by_function: dict[str, Counter[str]] = {}
    faults = []
    start = time.perf_counter()
    for number, case in enumerate(cases(count, seed, only)):
        outcome, text = judge(case)
        outcomes[outcome] += 1
        by_function.setdefault(case.function, Counter())[outcome] += 1
        if outcome not in GOOD:
            faults.append(
                {
                    "number": number,
                    "function": case.function,
                    "kind": case.kind,
                    "outcome": outcome,
                    "text": text.splitlines()[0][:300] if text else "",
                }
            )
    return {
        "inputs": count,
        "seed": seed,
        "seconds": round(time.perf_counter() - start),
        "outcomes": dict(outcomes),
        "by_function": {name: dict(found) for name, found in sorted(by_function.items())},
        "faults": faults,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("results/fuzz.json"))
    parser.add_argument("--only", nargs="+", choices=sorted(mutable(Random(0))), default=[], metavar="FUNCTION")
    options = parser.parse_args()
    torch.set_num_threads(1)
    record = fuzz(options.inputs, options.seed, options.only)
    options.out.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    print(record["outcomes"])
    for fault in record["faults"][:50]:
        print(fault)
    return 1 if record["faults"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
