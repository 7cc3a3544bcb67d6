"""Theorem 3.7 and Corollary 3.8: the expected loss as a power series in the error's magnitude."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, TypeVar, overload

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from sdewm import arguments
from sdewm.arrays import Array
from sdewm.estimate.estimates import Estimate
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
from sdewm.expansion.forms import Form
from sdewm.expansion.unreached import unreached
from sdewm.expansion.variation_of_constants import READINGS, TERMS, formula_terms
from sdewm.jets import Jet, JetSpace, NotDifferentiable, Parameter, nonsmooth_met
from sdewm.noise.brownian import BrownianSampler
from sdewm.noise.grid import TimeGrid
from sdewm.noise.increments import Increments
from sdewm.noise.samplers import AntitheticMonteCarlo, Sampler
from sdewm.solvers.compiled import Compile, Walks, pays
from sdewm.solvers.loop import check_system
from sdewm.solvers.methods import Method, carrying_jets
from sdewm.solvers.sampling import sampler_for
from sdewm.systems.checks import check_loss
from sdewm.systems.losses import Loss, SummedLoss, as_summed
from sdewm.systems.perturbed import PerturbedSDE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Value = TypeVar("Value", Tensor, Array)
# Within the radius each term of the series is at most this part of the one before. If it goes on so, what lies past
# the second order is at most TRUST²/(1 - TRUST) = 1/12 of the first-order term.
TRUST = 0.25
# So many paths tell how large the third coefficient is.
FEW = 256
# A series with kinks seems to end where it could be trusted up to errors that change a loss by so many times itself.
ENDLESS = 1e3
# What the terms are, for whoever prints them.
MEANINGS = {
    "P": "L's slope along ∂x, for the error in the diffusion",
    "Q": "L's slope along ∂²x, for the error in the diffusion",
    "S": "L's curvature along ∂x, for the error in the diffusion",
    "P~": "what the error in the drift adds to P",
    "Q~": "what the error in the drift adds to Q, alone and with the other",
    "S~": "what the error in the drift adds to S, alone and with the other",
}


class BeyondRadius(UserWarning):
    """A prediction at an error so large that the terms left out are not known to be small.

    >>> with warnings.catch_warnings(record=True) as met:
    ...     warnings.simplefilter("always")
    ...     far = expansion.predict(10.0)
    >>> met[0].category.__name__
    'BeyondRadius'
    """


@dataclass(frozen=True)
class Expansion:
    """E L(x^ε) = loss0 + first ε + second ε² + third ε³ + …

    Attributes
    ----------
    loss0, first, second, third : the coefficients; ``third`` is ``None`` unless asked for.
    terms : "P", "Q", "S", "P~", "Q~", "S~". Corrected: first = P + P~, second = ½(Q + S) + Q~ + S~. As printed:
        second = Q + ½S + Q~ + S~.
    bias : for each coefficient and term the discretization error of the finest grid, as far as the extrapolation
        sees it; empty on one grid, whose own expansion then is exact.
    bias_left : how much the last grid changed the extrapolated value; what bias may be left is of this size.
    kinks : the operations met that are not twice continuously differentiable, by name: those that have a kink or a jump
        inside their domain, and those whose domain ends, or has a pole, where paths come, as √ of a square does at 0.
        Coefficients are means of those of the smooth pieces: what paths that cross a kink add to the second is left
        out, and to the first at a jump.

    A coefficient that a few paths carry is flagged, and so is a prediction with it.

    >>> expansion = expand(family, loss, x0, grid)
    >>> expansion.predict(0.1).n
    16384
    """

    form: Form
    reading: str
    loss0: Estimate
    first: Estimate
    second: Estimate
    third: Estimate | None
    terms: dict[str, Estimate]
    bias: dict[str, float]
    bias_left: dict[str, float]
    kinks: tuple[str, ...]
    sample: Sample = field(repr=False)

    @property
    def radius(self) -> float:
        """Up to which |ε| the second-order prediction can be trusted.

        Where each term is at most a quarter of the one before, in root mean square over paths: what is left out is then
        at most a twelfth of the first-order term, if the series goes on as it began. Root mean squares see what a
        mean hides, odd orders that cancel and tails that a few paths make. The first three terms tell, with
        ``order=2`` too, where a few paths are walked for the size of the third; the printed form has two. ``inf`` where
        the series ends on every path, ``nan`` where too few terms are known, as without moments or where nothing
        happens at first order. It is ``nan`` too where a series seems to end but has :attr:`kinks`, or where all paths
        are one: zeros at one state tell nothing of the others.
        """
        moments = self.sample.moments
        if self.form == "corrected" and "third" not in moments:
            return math.nan
        sizes = [moments[name].rms for name in ("loss0", "first", "second", "third") if name in moments]
        if len(sizes) < 3:
            return math.nan
        nothing = 1e-13 * sizes[0]
        ratios = [
            before / after if after > nothing else math.inf
            for before, after in itertools.pairwise(sizes[1:])
            if before > nothing
        ]
        found = TRUST * min(ratios) if ratios else (math.inf if max(sizes[1:]) <= nothing else math.nan)
        alike = all(moments[name].spread <= nothing for name in moments)
        # |x| has no second derivative but what rounding makes of it near 0, where √(x²) has one, and a third too.
        second = TRUST * ratios[0] if ratios else found
        ends = math.isinf(found) or (bool(self.kinks) and second * sizes[1] > ENDLESS * sizes[0])
        return math.nan if ends and (self.kinks or alike) else found

    @overload
    def predict(self, eps: float) -> Estimate: ...

    @overload
    def predict(
        self, eps: Sequence[float] | Float64[np.ndarray, " points"] | Float[Tensor, " points"]
    ) -> list[Estimate]: ...

    def predict(
        self, eps: float | Sequence[float] | Float64[np.ndarray, " points"] | Float[Tensor, " points"]
    ) -> Estimate | list[Estimate]:
        """E L(x^ε) to second order, with the error bar of the whole sum.

        ``eps`` is one number, or several, shape ``(k,)``, which give a list of k estimates. Raises ``ValueError`` where
        it is not finite or has more axes, and warns of :class:`BeyondRadius` where |ε| exceeds :attr:`radius`.

        >>> [round(e.mean, 2) for e in expansion.predict([0.0, 0.1])]
        [0.87, 0.96]
        """
        try:
            values = np.asarray(eps.detach().cpu() if isinstance(eps, Tensor) else eps, dtype=np.float64)
        except (TypeError, ValueError):
            raise ValueError(f"eps: expected a finite number, or several, got {arguments.shown(eps)}") from None
        if values.ndim > 1 or not np.isfinite(values).all():
            raise ValueError(f"eps: expected a finite number, or several in one dimension, got {eps!r}")
        largest = float(np.abs(values).max(initial=0.0))
        if largest > 0 and not largest <= self.radius:
            warnings.warn(self._beyond(largest), BeyondRadius, stacklevel=2)
        found = [self._predict(float(e)) for e in values.ravel()]
        return found if values.ndim else found[0]

    def _predict(self, eps: float) -> Estimate:
        s = self.sample
        powers = {"loss0": 1.0, "first": eps, "second": eps**2}
        # Flags of what hardly matters at this ε are left aside.
        errors = {name: abs(power) * s.estimate(name).stderr for name, power in powers.items()}
        matter = [name for name, error in errors.items() if error >= 0.1 * max(errors.values())]
        return s.estimate(s["loss0"] + eps * s["first"] + eps**2 * s["second"], of=matter)

    def _beyond(self, eps: float) -> str:
        if math.isnan(self.radius):
            return f"eps: {eps:g}, and up to where this prediction holds is not known. Solve at this ε."
        return (
            f"eps: {eps:g} is beyond {self.radius:.2g}, up to which each term of the expansion is at most {TRUST:g} of "
            "the one before: what is left out may exceed what is predicted. Solve at this ε, or take a smaller one."
        )

    def plot(self, axes: Axes | None = None, *, largest: float | None = None) -> Axes:
        """Draw E L(x^ε) against ε as far as each order says it, and where the prediction is no longer to be trusted.

        ``axes`` are matplotlib's; new ones by default. ``largest`` is the largest |ε|: by default a quarter more than
        :attr:`radius`, or 1 where that is not known or has no end. Returns the axes. The band is of two standard
        errors.

        >>> expansion.plot().figure.savefig("loss.svg")
        """
        from sdewm.expansion.loss_plot import draw_loss  # takes matplotlib

        if largest is not None:
            largest = arguments.real("largest", largest, above=0.0)
        names = ["loss0", "first", "second"] + ["third"] * (self.third is not None)
        return draw_loss(self.sample, names, self.radius, axes, largest)

    def __str__(self) -> str:
        q = "½(Q + S)" if self.form == "corrected" else "Q + ½S"
        sums = {"loss0": "", "first": "P + P~", "second": f"{q} + Q~ + S~", "third": ""}
        series = {"loss0": self.loss0, "first": self.first, "second": self.second}
        if self.third is not None:
            series["third"] = self.third
        lines = [
            "E L(x^ε) = loss0 + first ε + second ε² + third ε³ + …",
            f"mean ± standard error of {self.sample.paths} paths; ∂x, ∂²x: derivatives of x^ε in ε at 0",
            *(_row(name, value, sums[name]) for name, value in series.items()),
            *(_row(name, value, MEANINGS[name]) for name, value in self.terms.items()),
            self._reach(),
        ]
        if self.kinks:
            lines.append(f" kinks  {', '.join(self.kinks)}: what paths add that cross a kink or a jump is left out")
        return "\n".join(lines)

    def _reach(self) -> str:
        """The radius in words."""
        if math.isnan(self.radius):
            return "radius  not known: up to which |ε| predict(ε) can be trusted"
        if math.isinf(self.radius):
            return "radius  predict(ε) can be trusted at every ε: the series ends"
        return f"radius  predict(ε) can be trusted for |ε| up to {self.radius:.2g}"


def _row(name: str, value: Estimate, meaning: str) -> str:
    """An estimate with what it is, and its flags below."""
    first, *flags = str(value).splitlines()
    return "\n".join([f"{name:>6}  {first:<24}  {meaning}".rstrip(), *flags])


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
    grids : number of grids, each half as fine as the one before, from which all is extrapolated to Δt = 0.
        1 for the corrected form by default: the expansion on the grid itself. 2 for the printed form, which speaks
        of continuous time.
    compile : whether walks are made by a compiled step, several times faster and the same to rounding: "auto" where
        there is much work. Where it cannot be made the plain step is taken, and with True
        :class:`~sdewm.solvers.compiled.NotCompiled` says why. Needs a C compiler.
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
    doubt = unreached(raw.moments["loss0/0"], summed["loss"], family.base, x0, grid, channels=channels)
    return summarize(raw, form, reading if form == "printed" else "", grids, order, tuple(sorted(kinks)), doubt)


def _size_of_third(
    family: PerturbedSDE, losses: Mapping[str, SummedLoss], x0: Tensor, grid: TimeGrid, method: Method, drawn: Sampler,
    channels: int,
) -> dict[str, Moments]:  # fmt: skip
    """How large the third coefficient is on a few paths, which :attr:`Expansion.radius` takes; nothing if it is none.

    The first two do not tell: at an inflection of the loss the second vanishes, and the third does not.
    """
    paths = min(drawn.paths, FEW)
    few: Sampler = (
        replace(drawn, paths=paths) if isinstance(drawn, BrownianSampler) else AntitheticMonteCarlo(paths, drawn.seed)
    )
    few = sampler_for(few, family.at(1.0), x0, grid, method=method)
    walks = corrected_walks(family, losses, x0, grid, method=method, order=3)[1:]

    def evaluate(increments: Increments) -> dict[str, Tensor]:
        return {f"{term}/0": v for (_, term), v in third_along(walks, losses, grid, increments).items()}

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # all has been said on the way to the second
        try:
            return dict(sample(evaluate, few, channels, grid, x0).moments)
        except (ArithmeticError, NotDifferentiable):
            return {}


def check_problem(
    family: PerturbedSDE,
    losses: Mapping[str, SummedLoss],
    x0: Float[Tensor, " n"],
    grid: TimeGrid,
    *,
    method: Method,
    grids: int,
) -> int:
    """Check all input of an expansion before any work is done. Returns the number of noise channels."""
    if not isinstance(family, PerturbedSDE):
        raise TypeError(f"family: expected a PerturbedSDE(base, error), got {type(family).__name__}")
    if grids < 1 or grid.steps % 2 ** (grids - 1):
        raise ValueError(
            f"grids: expected a number with 2^(grids-1) a divisor of the grid's {grid.steps} steps, got {grids}"
        )
    carrying_jets(method, family.base)
    probe = check_system(family.at(1.0), arguments.state(x0), grid, method=method)
    for loss in losses.values():
        for halvings in range(grids):
            loss.on(grid.coarsen(2**halvings))
        check_loss("loss", loss.fn, loss.times, probe)
    return probe.channels


def corrected_walks(
    family: PerturbedSDE,
    losses: Mapping[str, SummedLoss],
    x0: Float[Tensor, " n"],
    grid: TimeGrid,
    *,
    method: Method = "euler",
    order: Literal[2, 3] = 2,
    compile: bool = False,
    loud: bool = False,
) -> list[Walks]:
    """What :func:`corrected_terms` walks along: jets in both magnitudes to second order, and in one to third."""
    at = {i for loss in losses.values() for i in loss.on(grid)}
    pair, line = _spaces()
    systems = [family.at(Parameter(pair, 0), Parameter(pair, 1)), family.at(Parameter(line, 0))][: order - 1]
    return [Walks(sde, x0, grid, method, at, compile=compile, loud=loud) for sde in systems]


def _spaces() -> tuple[JetSpace, JetSpace]:
    """Of jets in both magnitudes to second order, and in one for both to third."""
    return JetSpace(2, 2), JetSpace(1, 3)


def corrected_terms(
    family: PerturbedSDE,
    losses: Mapping[str, SummedLoss],
    x0: Float[Tensor, " n"],
    grid: TimeGrid,
    *,
    noise: Increments,
    method: Method = "euler",
    order: Literal[2, 3] = 2,
) -> dict[tuple[str, str], Float[Tensor, " paths"]]:
    """The terms of the corrected expansion per path, ``{(loss, term): (paths,)}``; exact on the grid.

    One pass in two parameters (the magnitudes of the diffusion and of the drift error) to second order gives all six
    terms; a second one along equal magnitudes gives the third coefficient.
    """
    return terms_along(corrected_walks(family, losses, x0, grid, method=method, order=order), losses, grid, noise)


def terms_along(
    walks: Sequence[Walks], losses: Mapping[str, SummedLoss], grid: TimeGrid, noise: Increments
) -> dict[tuple[str, str], Float[Tensor, " paths"]]:
    """:func:`corrected_terms` for one block of noise after another."""
    pair, _ = _spaces()
    total = third_along(walks[1:], losses, grid, noise)

    def add(name: str, term: str, value: Tensor) -> None:
        total[name, term] = total[name, term] + value if (name, term) in total else value

    weights = {name: loss.on(grid) for name, loss in losses.items()}
    for i, t, x in walks[0](noise):
        for name, loss in losses.items():
            if i not in weights[name]:
                continue
            weight = weights[name][i]
            whole = _coefficients(loss.at(t, x), pair)
            # Without the first-order part of x, what is left at second order is ∇L·(second-order part of x).
            gradient_part = _coefficients(loss.at(t, _without_first_order(x)), pair)
            curvature_part = whole - gradient_part
            add(name, "loss0", weight * whole[0])
            add(name, "P", weight * whole[1])
            add(name, "P~", weight * whole[2])
            add(name, "Q", weight * 2 * gradient_part[3])
            add(name, "S", weight * 2 * curvature_part[3])
            add(name, "Q~", weight * (gradient_part[4] + gradient_part[5]))
            add(name, "S~", weight * (curvature_part[4] + curvature_part[5]))
    return total


def third_along(
    walks: Sequence[Walks], losses: Mapping[str, SummedLoss], grid: TimeGrid, noise: Increments
) -> dict[tuple[str, str], Float[Tensor, " paths"]]:
    """The third coefficient per path, ``{(loss, "third"): (paths,)}``, along walks in one parameter, if there are."""
    _, line = _spaces()
    weights = {name: loss.on(grid) for name, loss in losses.items()}
    total: dict[tuple[str, str], Tensor] = {}
    for in_one in walks:
        for i, t, x in in_one(noise):
            for name, loss in losses.items():
                if i in weights[name]:
                    value = weights[name][i] * _coefficients(loss.at(t, x), line)[3]
                    total[name, "third"] = total[name, "third"] + value if (name, "third") in total else value
    return total


def second_coefficient(values: Mapping[str, Value], form: Form, half_q: bool = False) -> Value:
    """The coefficient of ε²: ½(Q + S) + Q~ + S~, or as printed Q + ½S + Q~ + S~ (``half_q``: E1 mended)."""
    q = values["Q"] if form == "printed" and not half_q else 0.5 * values["Q"]
    return q + 0.5 * values["S"] + values["Q~"] + values["S~"]


def summarize(
    raw: Sample, form: Form, reading: str, grids: int, order: Literal[2, 3], kinks: tuple[str, ...] = (),
    doubt: str = "",
) -> Expansion:  # fmt: skip
    """An expansion from the replicate means of its terms on one or more grids, named ``term/halvings``.

    ``doubt`` is why nothing is known of any of them.
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
    # Extrapolation moves a value by its bias, and hardly changes which paths carry it.
    of_paths = (raw.moments, raw.pairs)
    moments, pairs = ({n: of[f"{n}/0"] for n in dict.fromkeys([*names, "third"]) if f"{n}/0" in of} for of in of_paths)
    s = Sample(final, raw.paths, raw.seed, moments, pairs, dict.fromkeys(names, doubt) if doubt else {})
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


def _coefficients(value: Tensor, space: JetSpace) -> Tensor:
    if isinstance(value, Jet):
        return value.coefficients
    return torch.cat([value.unsqueeze(0), value.new_zeros(len(space) - 1, *value.shape)])


def _without_first_order(x: Tensor) -> Tensor:
    if not isinstance(x, Jet):
        return x
    coefficients = x.coefficients.clone()
    coefficients[1 : 1 + x.space.parameters] = 0
    return Jet(coefficients, x.space)
