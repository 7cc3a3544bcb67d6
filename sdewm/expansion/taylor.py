"""The Taylor test: do remainders fall at the rate that the expansion promises?"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, NamedTuple

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
from sdewm.expansion.rates import (
    ADVICE,
    FAILURES,
    KINDS,
    Outcome,
    Rate,
    largest_eps,
    rate_of,
    remainder_of,
    rounding_of,
)
from sdewm.jets import Jet, JetSpace, Parameter
from sdewm.noise.brownian import BrownianSampler
from sdewm.noise.grid import TimeGrid
from sdewm.noise.increments import Increments
from sdewm.noise.samplers import AntitheticMonteCarlo, Sampler
from sdewm.solvers.loop import trajectory
from sdewm.solvers.methods import Method
from sdewm.solvers.sampling import sampler_for
from sdewm.systems.losses import Loss, SummedLoss, as_summed
from sdewm.systems.perturbed import Magnitude, PerturbedSDE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

RUNGS = 6
# The power of a unit that quantities are in, which is the state's or the loss's.
POWERS = {"state scale": 2, "strong": 2, "loss scale": 2, "loss": 2, "weak": 1, "coefficient": 1}
OF_STATE = ("state scale", "strong")


class Units(NamedTuple):
    """Powers of two about as large as the state and its derivatives, and as the loss and its own."""

    state: float
    loss: float


@dataclass(frozen=True)
class TaylorTest:
    """The result of :func:`taylor_test`. Printed, its first line is the verdict.

    The outcome of each rate is one of

    - "as expected": the interval holds the expected rate, and is no wider than ±0.25.
    - "exact": the series ends here. All later coefficients that are known are zero, and so are the remainders, but for
      rounding.
    - "derivative wrong", "order higher than expected": the interval lies below, or above, the expected rate.
    - "ε too large": the rates change so much along the ladder that their limit is not known.
    - "too wide to tell": the interval holds the expected rate, but is wider than ±0.25.
    - "below noise": a mean over paths is hidden by the sampling error.
    - "below roundoff": rounding in x0's dtype hides the remainders on too many rungs of the ladder. In float32 that is
      often so past ε², where the model is as right as elsewhere.

    Attributes
    ----------
    eps : the ladder, each rung half the one before.
    remainders : {(kind, order): remainder at each ε}.
    rates : {(kind, order): Rate}.
    third : {"predicted", "measured", "difference"}: E of the third-order term from the third jet, the limit of the
        weak remainder over ε³, and their paired difference; for order 2 in the corrected form.
    third_numerical, third_rounding : how far the limit's extrapolation still moved, and rounding may have moved it.
    dtype : of x0, in which the solutions were computed.
    confidence : of each rate's interval, by which it is judged.
    units : powers of two about as large as the state and the loss; the numbers of ``sample`` are in these, so that
        their squares are numbers for every scale of the loss.

    >>> test = taylor_test(family, loss, x0, grid)
    >>> test.passed
    True
    """

    eps: tuple[float, ...]
    order: int
    form: Form
    remainders: dict[tuple[str, int], Array]
    rates: dict[tuple[str, int], Rate]
    third: dict[str, Estimate]
    third_numerical: float
    third_rounding: float
    dtype: torch.dtype
    confidence: float
    units: Units
    sample: Sample = field(repr=False)

    def size(self, order: int) -> float:
        """Root mean square over paths of the loss's coefficient of that order, 0 to 3."""
        return math.sqrt(float(self.sample[f"loss scale/{order}"].mean())) * self.units.loss

    @property
    def passed(self) -> bool:
        """Whether every rate is as expected or exact.

        So a test that cannot see a rate has not passed; :attr:`verdict` says whether anything failed.
        """
        return all(rate.passed for rate in self.rates.values())

    @property
    def reasons(self) -> dict[tuple[str, int], Outcome]:
        """The outcome of each rate that did not pass."""
        return {key: rate.outcome for key, rate in self.rates.items() if not rate.passed}

    @property
    def verdict(self) -> str:
        """One line: passed, failed or undecided, why, and what to do."""
        found = self.reasons
        if not found:
            exact = any(rate.outcome == "exact" for rate in self.rates.values())
            return "passed: all remainders fall as fast as the expansion says" + " or are zero" * exact
        cure = "use .double() on the model and x0, or take larger ε"
        if self.dtype == torch.float64:
            cure = "take larger ε"
        parts = []
        # In the order of ADVICE failures come first.
        for outcome in (o for o in ADVICE if o in found.values()):
            where = {
                kind: [str(k) for (other, k) in found if other == kind and found[kind, k] == outcome] for kind in KINDS
            }
            listed = ", ".join(f"{kind} {' and '.join(orders)}" for kind, orders in where.items() if orders)
            advice = ADVICE[outcome].format(dtype=str(self.dtype).removeprefix("torch."), cure=cure)
            parts.append(f"{outcome} at {listed} – {advice}")
        failed = any(outcome in FAILURES for outcome in found.values())
        return ("failed: " if failed else "undecided, nothing failed: ") + "; ".join(parts)

    def plot(self, axes: Axes | None = None, *, kind: Literal["strong", "loss", "weak"] = "loss") -> Axes:
        """Draw what each order of the expansion leaves against ε, on logarithmic axes, with the rates expected.

        ``axes`` are matplotlib's; new ones by default. ``kind`` is that of the remainders. Returns the axes. Hollow
        markers are rungs that rounding hides, which no rate rests on.

        >>> test.plot(kind="weak").figure.savefig("remainders.svg")
        """
        from sdewm.expansion.remainder_plot import draw_remainders  # takes matplotlib

        arguments.choice("kind", kind, tuple(KINDS))
        remainders = [self.remainders[kind, k] for k in range(self.order + 1)]
        rates = [self.rates[kind, k] for k in range(self.order + 1)]
        title = f"{self.verdict.partition(':')[0]}, {kind} remainders"
        return draw_remainders(self.eps, remainders, rates, axes, kind, title)

    def __str__(self) -> str:
        lines = [
            self.verdict,
            "",
            f"What order k of the expansion leaves, from ε = {self.eps[0]:.3g} halved {len(self.eps) - 1} times:",
            *(f"  {kind:<6}  {meaning}" for kind, meaning in KINDS.items()),
            "",
            f"        k  falls like ε to the power  {100 * self.confidence:.6g} % interval  expected",
        ]
        for (kind, order), rate in self.rates.items():
            lines.append(f"{kind:>6}  {order}  {self._fit(rate):<43}  {rate.expected:>8}  {self._outcome(rate)}")
        if self.third:
            more = f" ± {self.third_numerical:.2g} (extrapolation) ± {self.third_rounding:.2g} (rounding)"
            lines += ["", "Coefficient of ε³ in E L(x^ε): predicted by the third derivative, measured on what is left"]
            lines += [f"{name:>10}  {value}{more * (name != 'predicted')}" for name, value in self.third.items()]
        return "\n".join(lines)

    def _fit(self, rate: Rate) -> str:
        if rate.rungs:
            low, high = rate.interval(self.confidence)
            return f"{rate.value:<26.3f}  [{low:.3f}, {high:.3f}]"
        return "nothing left but rounding" if rate.outcome == "exact" else "no rate"

    def _outcome(self, rate: Rate) -> str:
        left_out = len(self.eps) - rate.rungs
        return rate.outcome + f" (the smallest {left_out} of {len(self.eps)} ε are below roundoff)" * (
            rate.passed and 0 < left_out < len(self.eps)
        )


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

    Solutions are computed in x0's dtype. How much of a remainder is rounding is measured: by one more solution, at an ε
    so small that nothing else is left of it. Rungs at which rounding matters are left out of the fit. In float64 that
    is none of the default ladder's; in float32 the remainders past ε² often have too few rungs left, and their outcome
    is "below roundoff".

    Parameters
    ----------
    eps : at least four positive numbers, each half the one before; by default six, the largest where the
        coefficients say that each term of the expansion is a fifth of the one before.
    order : the highest order of the expansion that is tested; all lower ones are tested too.
    form : "printed" expands as (33) and Lemma B.7 have it, with ε²∂²x in place of ½ε²∂²x.
    confidence : of the interval that each rate is to lie in.

    The other arguments and errors are those of :func:`sdewm.expand`. Leaves no state behind: the random numbers are
    the sampler's own.

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
    summed = {name: as_summed(loss, grid) for name, loss in losses.items()}
    channels = check_problem(family, summed, x0, grid, method=method, grids=1)
    drawn = sampler_for(make_sampler(sampler, paths, seed), family.at(1.0), x0, grid, method=method)
    # Sizes alone are asked of the pilot, and those of few paths will do.
    few: Sampler = replace(drawn, paths=64) if isinstance(drawn, BrownianSampler) else AntitheticMonteCarlo(64, seed)
    few = sampler_for(few, family.at(1.0), x0, grid, method=method)
    problem = family, summed, x0, grid, method
    units = _units(sample(_Largest(*problem), few, channels, grid, x0))
    pilot = sample(_Paths(*problem, units, (), order), few, channels, grid, x0)
    top = largest_eps(*(_select(pilot, name, "corrected") for name in summed))
    ladder = given or tuple(top / 2**j for j in range(RUNGS))
    # Small enough that even a first derivative that is all wrong leaves little but rounding; large enough to change
    # the last digits at each step, and with them what is rounded.
    tiny = top * torch.finfo(x0.dtype).eps ** (2 / 3)
    evaluate = _Paths(*problem, units, (*ladder, tiny), order)
    found = sample(evaluate, drawn, channels, grid, x0, executor=executor, progress=progress)
    return {
        (name, form): _result(
            _select(found, name, form), Units(units[None], units[name]), ladder, order, form, confidence, x0.dtype
        )
        for name in summed
        for form in FORMS
    }


def pool_tests(tests: Sequence[TaylorTest], confidence: float = 0.99) -> TaylorTest:
    """Tests of one loss and form on independent samples as one test.

    Their ladders of ε have to be the same: give those after the first its ``eps``.
    """
    first = tests[0]
    if any((t.eps, t.order, t.form, t.dtype) != (first.eps, first.order, first.form, first.dtype) for t in tests):
        raise ValueError("tests: expected the same ε, order, form and dtype in each")
    found = pool([_in_units(t, first.units) for t in tests], first.sample.seed)
    return _result(found, first.units, first.eps, first.order, first.form, confidence, first.dtype)


def _in_units(test: TaylorTest, units: Units) -> Sample:
    """The sample of a test in other units than its own."""
    values = {}
    for name, value in test.sample.values.items():
        kind = name.partition("/")[0]
        own, other = (u.state if kind in OF_STATE else u.loss for u in (test.units, units))
        values[name] = value * (own / other) ** POWERS[kind]
    return replace(test.sample, values=values)


def check_ladder(eps: Sequence[float]) -> tuple[float, ...]:
    """A ladder of at least four positive numbers, each half the one before."""
    ladder = arguments.reals("eps", eps)
    if len(ladder) < 4:
        raise ValueError(f"eps: expected at least four numbers, got {len(ladder)}")
    if not all(e > 0 for e in ladder):
        raise ValueError(f"eps: expected positive numbers, got {list(ladder)}; the expansion is about ε = 0")
    if any(abs(a / b - 2) > 1e-9 for a, b in itertools.pairwise(ladder)):
        raise ValueError(f"eps: expected each number to be half the one before, got {list(ladder)}")
    return ladder


class _Of(NamedTuple):
    """A quantity of one loss in one form; of the state, whose remainders no loss changes, where there is no loss."""

    loss: str | None
    form: Form
    quantity: str

    def __str__(self) -> str:
        return f"{self.quantity} of " + ("the state" if self.loss is None else f"loss {self.loss}")


class _Largest:
    """How large the coefficients of the state and of each loss become on each path."""

    def __init__(
        self, family: PerturbedSDE, losses: Mapping[str, SummedLoss], x0: Tensor, grid: TimeGrid, method: Method
    ) -> None:
        self.family, self.losses, self.x0, self.grid, self.method = family, losses, x0, grid, method

    def __call__(self, noise: Increments) -> dict[_Of, Tensor]:
        space = JetSpace(1, 3)
        weights = {name: loss.on(self.grid) for name, loss in self.losses.items()}
        largest: dict[_Of, Tensor] = {}
        for i, t, x in trajectory(
            self.family.at(Parameter(space, 0)), self.x0, self.grid, method=self.method, noise=noise
        ):
            found = {_Of(None, "corrected", "coefficients"): _series(x, space).abs().amax((0, 2))}
            for name, loss in self.losses.items():
                if i in weights[name]:
                    value = (weights[name][i] * _series(loss.at(t, x), space)).abs().amax(0)
                    found[_Of(name, "corrected", "coefficients")] = value
            for of, value in found.items():
                _keep_largest(largest, of, value)
        return largest


def _units(largest: Sample) -> dict[str | None, float]:
    """Powers of two about as large as that, such that their inverses are numbers too; 1 for what vanishes."""
    means = {of.loss: float(value.mean()) for of, value in largest.values.items()}
    return {name: math.ldexp(1.0, max(-1000, min(1000, math.frexp(mean)[1]))) for name, mean in means.items()}


class _Paths:
    """Remainders along paths: the jet and all perturbed solutions walk side by side on the same increments.

    They walk in x0's dtype and are subtracted in double precision, so that the solutions' own rounding is all there is.
    States are in units of ``units[None]``, each loss in its own.
    """

    def __init__(
        self,
        family: PerturbedSDE,
        losses: Mapping[str, SummedLoss],
        x0: Tensor,
        grid: TimeGrid,
        method: Method,
        units: Mapping[str | None, float],
        ladder: tuple[float, ...],
        order: int,
    ) -> None:
        self.family, self.losses, self.x0, self.grid, self.method = family, losses, x0, grid, method
        self.units = units
        # Order 1 is there for the last rung, which measures rounding.
        self.ladder, self.orders = ladder, range(max(order, 1) + 1)
        self.space = JetSpace(1, 3)

    def __call__(self, noise: Increments) -> dict[_Of, Tensor]:
        weights = {name: loss.on(self.grid) for name, loss in self.losses.items()}
        magnitudes: list[Magnitude] = [Parameter(self.space, 0), *self.ladder]
        walks = [trajectory(self.family.at(e), self.x0, self.grid, method=self.method, noise=noise) for e in magnitudes]
        values: dict[_Of, Tensor] = {}
        series: dict[tuple[str, Form], Tensor] = {}
        perturbed: dict[tuple[str, int], Tensor] = {}
        for steps in zip(*walks, strict=True):
            i, t, x = steps[0]
            states = [x_eps for _, _, x_eps in steps[1:]]
            far = [x_eps.to(torch.float64) / self.units[None] for x_eps in states]
            for form in FORMS:
                c = self._state_series(x, form).to(torch.float64) / self.units[None]
                for k in range(4):
                    _keep_largest(values, _Of(None, form, f"state scale/{k}"), (c[k] ** 2).sum(-1))
                for j, (e, rest) in enumerate(zip(self.ladder, far, strict=True)):
                    for k in self.orders:
                        rest = rest - e**k * c[k]
                        _keep_largest(values, _Of(None, form, f"strong/{k}/{j}"), (rest**2).sum(-1))
            for name, loss in self.losses.items():
                if i not in weights[name]:
                    continue
                weight = weights[name][i] / self.units[name]
                for form in FORMS:
                    c = weight * self._loss_series(loss, t, x, form).to(torch.float64)
                    series[name, form] = series.get((name, form), 0.0) + c
                for j, x_eps in enumerate(states):
                    perturbed[name, j] = perturbed.get((name, j), 0.0) + weight * loss.at(t, x_eps).to(torch.float64)
        for (name, form), c in series.items():
            for k in range(4):
                values[_Of(name, form, f"loss scale/{k}")] = c[k] ** 2
                values[_Of(name, form, f"coefficient/{k}")] = c[k]
            for j, e in enumerate(self.ladder):
                rest = perturbed[name, j]
                for k in self.orders:
                    rest = rest - e**k * c[k]
                    values[_Of(name, form, f"loss/{k}/{j}")] = rest**2
                    values[_Of(name, form, f"weak/{k}/{j}")] = rest
        return values

    def _state_series(self, x: Tensor, form: Form) -> Tensor:
        c = _series(x, self.space)
        if form == "printed":
            c = torch.stack([c[0], c[1], 2 * c[2], c[3]])  # Lemma B.7: ε²∂²x, where Taylor has ½ε²∂²x
        return c

    def _loss_series(self, loss: SummedLoss, t: Tensor, x: Tensor, form: Form) -> Tensor:
        c = _series(loss.at(t, x), self.space)
        if form == "printed" and isinstance(x, Jet):
            bare = x.coefficients.clone()
            bare[1] = 0
            gradient_part = _series(loss.at(t, Jet(bare, self.space)), self.space)[2]
            c = torch.stack([c[0], c[1], c[2] + gradient_part, c[3]])  # (33): ε²∇f·∂²x, likewise
        return c


def _keep_largest(values: dict[_Of, Tensor], name: _Of, value: Tensor) -> None:
    values[name] = torch.maximum(values[name], value) if name in values else value


def _select(found: Sample, loss: str, form: Form) -> Sample:
    """The quantities of one loss and of the state, by name."""
    values = {of.quantity: v for of, v in found.values.items() if of.form == form and of.loss in (loss, None)}
    return Sample(values, found.paths, found.seed)


def _result(
    found: Sample, units: Units, ladder: tuple[float, ...], order: int, form: Form, confidence: float,
    dtype: torch.dtype,
) -> TaylorTest:  # fmt: skip
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
                # Rounding hides the term before: a wrong one would have looked the same.
                rate = replace(rates[kind, k - 1], expected=rate.expected)
            rates[kind, k] = rate
    third, numerical = ({}, 0.0) if order < 2 or form == "printed" else _third(found, ladder, units.loss)
    # The limit over ε³ weighs the last three of its four rungs by 1/3, 2 and 8/3.
    hidden = units.loss * rounding["weak"] * (1 / 3 / ladder[1] ** 3 + 2 / ladder[2] ** 3 + 8 / 3 / ladder[3] ** 3)
    return TaylorTest(
        ladder, order, form, remainders, rates, third, numerical, hidden if third else 0.0, dtype, confidence, units,
        found,
    )  # fmt: skip


def _series(value: Tensor, space: JetSpace) -> Tensor:
    if isinstance(value, Jet):
        return value.coefficients
    return torch.cat([value.unsqueeze(0), value.new_zeros(len(space) - 1, *value.shape)])


def _third(found: Sample, ladder: tuple[float, ...], unit: float) -> tuple[dict[str, Estimate], float]:
    """Weak remainder over ε³ against E of the third-order term, replicate by replicate."""
    scaled = unit * np.stack([found[f"weak/2/{j}"] / e**3 for j, e in enumerate(ladder)])
    # The finest rungs amplify roundoff by ε⁻³; the limit is as good from the first four.
    scaled = scaled[:4]
    first = 2 * scaled[1:] - scaled[:-1]
    second = (4 * first[1:] - first[:-1]) / 3
    measured = second[-1]
    # Against the order below, which can agree by chance; and against the rung before, from where an error of order ε³
    # falls to a seventh of what has changed, of which twice is granted.
    changes = (second[-1] - first[-1], 2 / 7 * (second[-1] - second[-2]))
    numerical = max(float(abs(change.mean())) for change in changes)
    predicted = unit * found["coefficient/3"]
    estimates: Mapping[str, Array] = {"predicted": predicted, "measured": measured, "difference": measured - predicted}
    return {name: found.estimate(v) for name, v in estimates.items()}, numerical
