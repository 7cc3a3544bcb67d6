"""The Taylor test: do remainders fall at the rate that the expansion promises?"""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from sdewm import arguments
from sdewm.arrays import Array
from sdewm.estimate.estimates import Estimate
from sdewm.estimate.samples import ProgressCallback, Sample, SamplerName, check_how, make_sampler, pool, sample
from sdewm.expansion.checks import check_problem
from sdewm.expansion.forms import FORMS, Form
from sdewm.expansion.rates import KINDS, Rate, largest_eps, rate_of, remainder_of, rounding_of
from sdewm.expansion.remainders import OF_STATE, POWERS, LargestCoefficients, Remainders, quantities_of
from sdewm.expansion.taylor_result import TaylorTest, Units
from sdewm.noise.brownian import BrownianSampler
from sdewm.noise.grid import TimeGrid
from sdewm.noise.samplers import AntitheticMonteCarlo, Sampler
from sdewm.solvers.methods import Method
from sdewm.solvers.sampling import sampler_for
from sdewm.systems.losses import Loss, as_summed
from sdewm.systems.perturbed import PerturbedSDE

RUNGS = 6


def taylor_test(
    family: PerturbedSDE,
    loss: Loss,
    x0: Float[Tensor, " n"],
    grid: TimeGrid,
    *,
    method: Method = "euler",
    paths: int = 2**12,
    seed: int = 0,
    sampler: SamplerName | Sampler = "rqmc",
    form: Form = "corrected",
    order: Literal[0, 1, 2] = 2,
    eps: Sequence[float] | None = None,
    confidence: float = 0.99,
    executor: Executor | None = None,
    progress: ProgressCallback | None = None,
) -> TaylorTest:
    """Strong and weak remainders of the expansion over a ladder of ε, on common noise.

    Solutions are computed in x0's dtype. One more solution, at an ε so small that its remainder consists of rounding
    alone, measures how large rounding is. The values of ε at which rounding matters are left out of the fit. In float64
    none of the default ladder is left out. In float32 too few values are often left for the remainders past ε²; their
    outcome is then "below roundoff".

    Parameters
    ----------
    eps : at least four positive numbers, each half the one before; by default six, the largest where the
        coefficients say that each term of the expansion is a fifth of the one before.
    order : the highest order of the expansion that is tested; all lower ones are tested too.
    form : "printed" expands as (33) and Lemma B.7 have it, with ε²∂²x in place of ½ε²∂²x.
    confidence : of the interval that each rate is to lie in.

    The other arguments and errors are those of :func:`sdewm.expand`. The global random state is neither used nor
    changed: random numbers come from the sampler.

    >>> test = taylor_test(family, loss, x0, TimeGrid(0.0, 1.0, 64))
    >>> test.passed, test.rates["weak", 2].value
    (True, 2.998)
    """
    arguments.choice("form", form, FORMS)
    tests = taylor_tests(
        family, {"loss": loss}, x0, grid,
        eps=eps, order=order, paths=paths, seed=seed, method=method, sampler=sampler, confidence=confidence,
        executor=executor, progress=progress,
    )  # fmt: skip
    return tests["loss", form]


def taylor_tests(
    family: PerturbedSDE,
    losses: Mapping[str, Loss],
    x0: Float[Tensor, " n"],
    grid: TimeGrid,
    *,
    method: Method = "euler",
    paths: int = 2**12,
    seed: int = 0,
    sampler: SamplerName | Sampler = "rqmc",
    order: Literal[0, 1, 2] = 2,
    eps: Sequence[float] | None = None,
    confidence: float = 0.99,
    executor: Executor | None = None,
    progress: ProgressCallback | None = None,
) -> dict[tuple[str, Form], TaylorTest]:
    """:func:`taylor_test` for several losses and both forms, ``{(loss, form): test}``, on the same paths."""
    check_how(executor, progress)
    order = arguments.choice("order", order, (0, 1, 2))
    confidence = arguments.confidence(confidence)
    given = None if eps is None else check_ladder(eps)
    x0 = arguments.state(x0)
    if not (isinstance(losses, Mapping) and losses and all(isinstance(name, str) for name in losses)):
        raise TypeError(f"losses: expected one or more by name, {{name: loss}}, got {arguments.shown(losses)}")
    arguments.instance("grid", grid, TimeGrid, "a TimeGrid(t0, t1, steps)")
    summed = {name: as_summed(loss, grid) for name, loss in losses.items()}
    channels = check_problem(family, summed, x0, grid, method=method, grids=1)
    drawn = sampler_for(make_sampler(sampler, paths, seed), family.at(1.0), x0, grid, method=method)
    # The pilot run estimates sizes only, for which a few paths are enough.
    few: Sampler = replace(drawn, paths=64) if isinstance(drawn, BrownianSampler) else AntitheticMonteCarlo(64, seed)
    few = sampler_for(few, family.at(1.0), x0, grid, method=method)
    problem = family, summed, x0, grid, method
    units = _units(sample(LargestCoefficients(*problem), few, channels, grid, x0))
    pilot = sample(Remainders(*problem, units, (), order), few, channels, grid, x0)
    top = largest_eps(*(quantities_of(pilot, name, "corrected") for name in summed))
    ladder = given or tuple(top / 2**j for j in range(RUNGS))
    if min(ladder) ** 3 < sys.float_info.min:  # coefficients of ε³ would be infinite
        name, what = ("family", "an error") if given is None else ("eps", "numbers")
        raise ValueError(
            f"{name}: expected {what} with an ε³ that can be told from 0, got ε of {min(ladder):.2g}. Scale the error, "
            "and ε with it"
        )
    # Small enough that the remainder is mostly rounding, even where the first derivative is quite wrong; large enough
    # that the last digits of each step change, so that rounding differs.
    tiny = top * torch.finfo(x0.dtype).eps ** (2 / 3)
    evaluate = Remainders(*problem, units, (*ladder, tiny), order)
    found = sample(evaluate, drawn, channels, grid, x0, executor=executor, progress=progress)
    return {
        (name, form): _result(
            quantities_of(found, name, form), Units(units[None], units[name]), ladder, order, form, confidence, x0.dtype
        )
        for name in summed
        for form in FORMS
    }


def pool_tests(tests: Sequence[TaylorTest], confidence: float = 0.99) -> TaylorTest:
    """Combine tests of one loss and form on independent samples into one.

    They need the same ladder of ε: give the ``eps`` of the first to the others.
    """
    first = tests[0]
    if any((t.eps, t.order, t.form, t.dtype) != (first.eps, first.order, first.form, first.dtype) for t in tests):
        raise ValueError("tests: expected the same ε, order, form and dtype in each")
    found = pool([_in_units(t, first.units) for t in tests], first.sample.seed)
    return _result(found, first.units, first.eps, first.order, first.form, confidence, first.dtype)


def _in_units(test: TaylorTest, units: Units) -> Sample:
    """The sample of a test, converted to other units."""
    values = {}
    for name, value in test.sample.values.items():
        kind = name.partition("/")[0]
        own, other = (u.state if kind in OF_STATE else u.loss for u in (test.units, units))
        values[name] = value * (own / other) ** POWERS[kind]
    return replace(test.sample, values=values)


def check_ladder(eps: Sequence[float]) -> tuple[float, ...]:
    """The ladder of ε; ``ValueError`` unless it has four or more positive numbers, each half the one before."""
    ladder = arguments.reals("eps", eps)
    if len(ladder) < 4:
        raise ValueError(f"eps: expected at least four numbers, got {len(ladder)}")
    if not all(e > 0 for e in ladder):
        raise ValueError(f"eps: expected positive numbers, got {list(ladder)}; the expansion is about ε = 0")
    if any(abs(a / b - 2) > 1e-9 for a, b in itertools.pairwise(ladder)):
        raise ValueError(f"eps: expected each number to be half the one before, got {list(ladder)}")
    return ladder


def _units(largest: Sample) -> dict[str | None, float]:
    """Powers of two about as large as the coefficients, with finite inverses; 1 for coefficients that vanish."""
    means = {of.loss: float(value.mean()) for of, value in largest.values.items()}
    return {name: math.ldexp(1.0, max(-1000, min(1000, math.frexp(mean)[1]))) for name, mean in means.items()}


def _result(
    found: Sample,
    units: Units,
    ladder: tuple[float, ...],
    order: int,
    form: Form,
    confidence: float,
    dtype: torch.dtype,
) -> TaylorTest:
    remainders: dict[tuple[str, int], Array] = {}
    rates: dict[tuple[str, int], Rate] = {}
    unit_of = {kind: units.state if kind in OF_STATE else units.loss for kind in KINDS}
    unit = torch.finfo(dtype).eps
    rounding = {kind: rounding_of(kind, found, len(ladder), unit) for kind in KINDS}
    for kind in KINDS:
        for k in range(order + 1):
            table = np.stack([found[f"{kind}/{k}/{j}"] for j in range(len(ladder))])
            remainders[kind, k] = remainder_of(kind, table.mean(1)) * unit_of[kind]
            rate = rate_of(kind, k, table, ladder, found, rounding[kind], unit, confidence)
            if k > 0 and rate.outcome == "exact" and rates[kind, k - 1].outcome == "below roundoff":
                # Rounding hides the order below, so that a wrong coefficient would look the same.
                rate = replace(rates[kind, k - 1], expected=rate.expected)
            rates[kind, k] = rate
    third, numerical = ({}, 0.0) if order < 2 or form == "printed" else _third(found, ladder, units.loss)
    # The limit over ε³ weighs the last three of its four rungs by 1/3, 2 and 8/3.
    hidden = units.loss * rounding["weak"] * (1 / 3 / ladder[1] ** 3 + 2 / ladder[2] ** 3 + 8 / 3 / ladder[3] ** 3)
    return TaylorTest(
        ladder, order, form, remainders, rates, third, numerical, hidden if third else 0.0, dtype, confidence, units,
        found,
    )  # fmt: skip


def _third(found: Sample, ladder: tuple[float, ...], unit: float) -> tuple[dict[str, Estimate], float]:
    """The mean third-order term against the limit of the weak remainder over ε³, replicate by replicate."""
    scaled = unit * np.stack([found[f"weak/2/{j}"] / e**3 for j, e in enumerate(ladder)])
    # The smallest ε amplify roundoff by ε⁻³; the limit from the four largest is as good.
    scaled = scaled[:4]
    first = 2 * scaled[1:] - scaled[:-1]
    second = (4 * first[1:] - first[:-1]) / 3
    measured = second[-1]
    # The change from the order below, which can be zero by chance, and the change from the rung before. Where the error
    # is of order ε³, what is left of it is a seventh of that last change; twice as much is allowed.
    changes = (second[-1] - first[-1], 2 / 7 * (second[-1] - second[-2]))
    numerical = max(float(abs(change.mean())) for change in changes)
    predicted = unit * found["coefficient/3"]
    estimates: Mapping[str, Array] = {"predicted": predicted, "measured": measured, "difference": measured - predicted}
    return {name: found.estimate(v) for name, v in estimates.items()}, numerical
