"""Theorem 3.7 and Corollary 3.8: estimate the expansion of the expected loss in the magnitude of the error."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import replace
from types import MappingProxyType
from typing import Literal

from jaxtyping import Float
from torch import Tensor

from sdewm import arguments
from sdewm.arrays import Array
from sdewm.estimate.samples import (
    Moments,
    ProgressCallback,
    Sample,
    SamplerName,
    check_how,
    make_sampler,
    richardson,
    sample,
)
from sdewm.expansion.checks import check_problem
from sdewm.expansion.ending import left_out
from sdewm.expansion.forms import Form
from sdewm.expansion.pathwise_derivatives import corrected_walks, terms_along, third_along
from sdewm.expansion.power_series import Expansion, second_coefficient
from sdewm.expansion.unreached import Known, unreached
from sdewm.expansion.variation_of_constants import READINGS, TERMS, formula_terms
from sdewm.jets import NotDifferentiable, nonsmooth_met
from sdewm.noise.brownian import BrownianSampler
from sdewm.noise.grid import TimeGrid
from sdewm.noise.increments import Increments
from sdewm.noise.samplers import AntitheticMonteCarlo, QuasiMonteCarlo, Sampler
from sdewm.solvers.compiled import Compile, pays
from sdewm.solvers.methods import Method
from sdewm.solvers.sampling import sampler_for
from sdewm.systems.losses import Loss, SummedLoss, as_summed
from sdewm.systems.perturbed import PerturbedSDE

# The number of paths from which the size of the third coefficient is estimated.
FEW = 256


def expand(
    family: PerturbedSDE,
    loss: Loss,
    x0: Float[Tensor, " n"],
    grid: TimeGrid,
    *,
    method: Method = "euler",
    paths: int = 2**14,
    seed: int = 0,
    sampler: SamplerName | Sampler = "rqmc",
    form: Form = "corrected",
    reading: str = "literal",
    order: Literal[2, 3] = 2,
    grids: int | None = None,
    compile: Compile = "auto",
    executor: Executor | None = None,
    progress: ProgressCallback | None = None,
) -> Expansion:
    """Expand the expected loss in the magnitude of the error.

    Parameters
    ----------
    family : the perturbed system (32).
    loss : ``(paths, n) -> (paths,)`` of the final state, or a :class:`~sdewm.SummedLoss`.
    x0 : the initial state ``(n,)``.
    grid : the time grid, the finest one where several are used.
    method : as for :func:`sdewm.solve`. One that needs Lévy areas where the diffusion vectors do not commute
        needs a :class:`~sdewm.BrownianSampler` there.
    paths, seed, sampler : "rqmc", "mc", "antithetic", or a sampler object, which has its own paths and seed.
    form : "corrected" differentiates the solver's own steps, which is exact on the grid. "printed" evaluates the
        paper's (11)–(13) and (15)–(17) with its own Φ, ξ, ξ̃ and H.
    reading : which reading of the printed formulas, see :data:`sdewm.expansion.variation_of_constants.READINGS`.
    order : 3 adds the third coefficient (corrected form).
    grids : number of grids, each half as fine as the one before; all results are extrapolated from them to Δt = 0.
        The default is 1 for the corrected form, which is the expansion on the grid itself, and 2 for the printed
        form, which is about continuous time.
    compile : whether paths are simulated by compiled steps, which are several times faster and give the same numbers
        to rounding. "auto" compiles where there is much work. Where a step cannot be compiled, the plain step is used,
        and with True the warning :class:`~sdewm.solvers.compiled.NotCompiled` says why. Needs a C compiler.
    executor : runs replicates side by side; the numbers do not depend on it.
    progress : called with (replicates done, replicates).

    Raises
    ------
    ValueError, TypeError : name the argument that is wrong, before any work is done.
    NonFiniteState : names the time and the component.

    >>> family = PerturbedSDE(gbm, FunctionSDE(lambda t, x: x))
    >>> expansion = expand(family, lambda x: (x**2).sum(-1), x0, grid, order=3)
    >>> print(expansion.first)
    2.4 ± 0.002
    """
    check_how(executor, progress)
    arguments.choice("form", form, ("corrected", "printed"))
    arguments.choice("reading", reading, tuple(READINGS))
    order = arguments.choice("order", order, (2, 3))
    if form == "printed" and order == 3:
        raise ValueError("order: expected 2 for form 'printed', got 3; the paper prints no third-order term")
    if form == "printed" and method != "euler":
        raise ValueError(f"method: expected 'euler' for form 'printed', got {method!r}")
    if grids is None:
        grids = 1 if form == "corrected" else 2
    grids = arguments.integer("grids", grids)
    x0 = arguments.state(x0)
    summed = {"loss": as_summed(loss, grid)}
    channels = check_problem(family, summed, x0, grid, method=method, grids=grids)
    drawn = sampler_for(make_sampler(sampler, paths, seed), family.at(1.0), x0, grid, method=method)
    compiled = pays(compile, drawn.paths, grid, 6 * len(x0)) and form == "corrected"
    loud = compile is True
    walks = [
        corrected_walks(
            family, summed, x0, grid.coarsen(2**halvings), method=method, order=order, compile=compiled, loud=loud
        )
        for halvings in range(grids)
    ]

    def evaluate(increments: Increments) -> dict[str, Tensor]:
        values: dict[str, Tensor] = {}
        for halvings in range(grids):
            g, noise = grid.coarsen(2**halvings), increments.coarsen(2**halvings)
            if form == "corrected":
                found = terms_along(walks[halvings], summed, g, noise)
            else:
                every = formula_terms(family, summed, x0, g, noise=noise, variants={reading: READINGS[reading]})
                found = {(name, term): v for (name, _, term), v in every.items()}
            terms = {term: v for (_, term), v in found.items()}
            terms |= {"first": terms["P"] + terms["P~"], "second": second_coefficient(terms, form)}
            values |= {f"{term}/{halvings}": v for term, v in terms.items()}
        return values

    with nonsmooth_met() as kinks:
        raw = sample(evaluate, drawn, channels, grid, x0, executor=executor, progress=progress)
    if form == "corrected" and order == 2:
        raw = replace(raw, moments={**raw.moments, **_size_of_third(family, summed, x0, grid, method, drawn, channels)})
    widen = drawn.widen if isinstance(drawn, QuasiMonteCarlo) else 1.0
    doubts = _unreached(raw, widen, form, family, summed["loss"], x0, grid, channels, method)
    result = summarize(raw, form, reading if form == "printed" else "", grids, order, tuple(sorted(kinks)), doubts)
    if not math.isinf(result.radius):
        return result
    before, first = (result.sample.moments[name].rms for name in ("loss0", "first"))
    eps = before / first if first > 1e-13 * before > 0 else 1.0  # where the first order is what the loss is
    few = _few(drawn, family, x0, grid, method)
    rest = left_out(family, summed["loss"], x0, grid, magnitudes=(eps, -eps), method=method, few=few, channels=channels)
    return replace(result, sample=replace(result.sample, moments={**result.sample.moments, "rest": rest}))


def _unreached(
    raw: Sample,
    widen: float,
    form: Form,
    family: PerturbedSDE,
    loss: SummedLoss,
    x0: Tensor,
    grid: TimeGrid,
    channels: int,
    method: Method,
) -> dict[str, str]:
    """Why nothing is known of terms whose rare paths were not drawn, by name. What is of higher order is as unknown."""
    first, second = ("P", "P~", "first"), ("Q", "S", "Q~", "S~", "second")
    names = ("loss0",) if form == "printed" else ("loss0", *first, *second)
    found = {name: Known(raw.moments[f"{name}/0"], raw.estimate(f"{name}/0").stderr, widen) for name in names}
    doubts = unreached(found, loss, family, x0, grid, channels=channels, method=method)
    for order, above in ((("loss0",), (*first, *second, "third")), (first, (*second, "third")), (second, ("third",))):
        if lower := [doubts[name] for name in order if name in doubts]:
            doubts = dict.fromkeys(above, lower[-1]) | doubts
    return doubts


def _size_of_third(
    family: PerturbedSDE,
    losses: Mapping[str, SummedLoss],
    x0: Tensor,
    grid: TimeGrid,
    method: Method,
    drawn: Sampler,
    channels: int,
) -> dict[str, Moments]:
    """The moments of the third coefficient on a few paths, for :attr:`Expansion.radius`; empty if there is none.

    The first two coefficients are not enough: at an inflection of the loss the second vanishes and the third does not.
    """
    few = _few(drawn, family, x0, grid, method)
    walks = corrected_walks(family, losses, x0, grid, method=method, order=3)[1:]

    def evaluate(increments: Increments) -> dict[str, Tensor]:
        return {f"{term}/0": v for (_, term), v in third_along(walks, losses, grid, increments).items()}

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the computation of the first two coefficients has given the same warnings
        try:
            return dict(sample(evaluate, few, channels, grid, x0).moments)
        except (ArithmeticError, NotDifferentiable):
            return {}


def _few(drawn: Sampler, family: PerturbedSDE, x0: Tensor, grid: TimeGrid, method: Method) -> Sampler:
    """A sampler of a few paths, with areas if ``drawn`` has them."""
    paths = min(drawn.paths, FEW)
    few: Sampler = (
        replace(drawn, paths=paths) if isinstance(drawn, BrownianSampler) else AntitheticMonteCarlo(paths, drawn.seed)
    )
    return sampler_for(few, family.at(1.0), x0, grid, method=method)


def summarize(
    raw: Sample,
    form: Form,
    reading: str,
    grids: int,
    order: Literal[2, 3],
    kinks: tuple[str, ...] = (),
    doubts: Mapping[str, str] = MappingProxyType({}),
) -> Expansion:
    """An expansion from the replicate means of its terms on one or more grids, named ``term/halvings``.

    ``doubts`` are reasons not to trust some of them, by name.
    """
    names = ["loss0", "first", "second", *TERMS, *(["third"] if order == 3 else [])]
    on_grids = [{name: raw[f"{name}/{halvings}"] for name in names} for halvings in range(grids)]
    final: dict[str, Array] = {}
    bias: dict[str, float] = {}
    left: dict[str, float] = {}
    for name in on_grids[0]:
        final[name], change = richardson([values[name] for values in on_grids])
        if grids > 1:
            bias[name] = float((on_grids[0][name] - final[name]).mean())
            left[name] = change
    # The moments are those of the finest grid: extrapolation removes the bias, and hardly changes the spread.
    of_paths = (raw.moments, raw.pairs)
    moments, pairs = ({n: of[f"{n}/0"] for n in dict.fromkeys([*names, "third"]) if f"{n}/0" in of} for of in of_paths)
    s = Sample(final, raw.paths, raw.seed, moments, pairs, {name: why for name, why in doubts.items() if name in names})
    return Expansion(
        form=form,
        reading=reading,
        loss0=s.estimate("loss0"),
        first=s.estimate("first"),
        second=s.estimate("second"),
        third=s.estimate("third") if order == 3 else None,
        terms={name: s.estimate(name) for name in TERMS},
        bias=bias,
        bias_left=left,
        kinks=kinks,
        sample=s,
    )
