"""The Taylor test: do remainders fall at the rate that the expansion promises?"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from sdewm import arguments
from sdewm.brownian import BrownianSampler
from sdewm.expansion import Form, check_problem
from sdewm.jets import Jet, JetSpace
from sdewm.losses import Loss, SummedLoss, as_summed
from sdewm.montecarlo import Estimate, Progress, Sample, Values, make_sampler, pool, sample
from sdewm.noise import Increments, MonteCarlo, Sampler, TimeGrid
from sdewm.sde import Magnitude, PerturbedSDE
from sdewm.solvers import Method, trajectory

FORMS: tuple[Form, ...] = ("corrected", "printed")
KINDS: dict[str, str] = {
    "strong": "root mean square over paths of sup_t ‖x^ε − expansion‖",
    "loss": "root mean square over paths of the loss's remainder",
    "weak": "mean over paths of the loss's remainder",
}
Outcome = Literal[
    "as expected",
    "exact",
    "derivative wrong",
    "order higher than expected",
    "ε too large",
    "below noise",
    "below roundoff",
]
# A sum of n steps in double precision keeps about 13 digits; remainders below have none of their own.
ROUNDOFF = 1e-13
RUNGS = 6


@dataclass(frozen=True)
class Rate:
    """The exponent p in remainder ~ C ε^p as ε → 0, for one kind of remainder and one order of the expansion.

    ``stderr`` is the sampling error, by the jackknife over replicates; ``numerical`` how far the extrapolation to
    ε = 0 still moved. ``expected`` follows from the coefficients: the first order past the expansion whose
    coefficient is not zero.
    """

    value: float
    stderr: float
    numerical: float
    dof: int
    expected: int
    outcome: Outcome

    def interval(self, level: float = 0.99) -> tuple[float, float]:
        half = float(stats.t.ppf(0.5 + arguments.level(level) / 2, self.dof)) * self.stderr + self.numerical
        return self.value - half, self.value + half

    @property
    def passed(self) -> bool:
        return self.outcome in ("as expected", "exact")


@dataclass(frozen=True)
class TaylorTest:
    """The result of :func:`taylor_test`.

    Attributes
    ----------
    eps : the ladder, each rung half the one before.
    remainders : {(kind, order): remainder at each ε}.
    rates : {(kind, order): Rate}.
    third : {"predicted", "measured", "difference"}: E of the third-order term from the third jet, the limit of the
        weak remainder over ε³, and their paired difference; for order 2 in the corrected form.
    third_numerical : how far the limit's extrapolation still moved.
    """

    eps: tuple[float, ...]
    order: int
    form: Form
    remainders: dict[tuple[str, int], Values]
    rates: dict[tuple[str, int], Rate]
    third: dict[str, Estimate]
    third_numerical: float
    sample: Sample = field(repr=False)

    @property
    def passed(self) -> bool:
        return all(rate.passed for rate in self.rates.values())

    @property
    def reasons(self) -> dict[tuple[str, int], str]:
        """What failed, and why."""
        return {key: rate.outcome for key, rate in self.rates.items() if not rate.passed}

    def __str__(self) -> str:
        lines = [f"ε from {self.eps[0]:.3g} to {self.eps[-1]:.3g}"]
        for (kind, order), rate in self.rates.items():
            low, high = rate.interval()
            lines.append(
                f"{kind:>6} order {order}: rate {rate.value:.4f} [{low:.4f}, {high:.4f}], "
                f"expected {rate.expected}: {rate.outcome}"
            )
        for name, estimate in self.third.items():
            lines.append(f"third-order coefficient, {name}: {estimate}")
        return "\n".join(lines)


def taylor_test(
    family: PerturbedSDE,
    loss: Loss,
    x0: Tensor,
    grid: TimeGrid,
    *,
    eps: Sequence[float] | None = None,
    order: Literal[0, 1, 2] = 2,
    paths: int = 2**12,
    seed: int = 0,
    method: Method = "euler",
    sampler: Literal["rqmc", "mc"] | Sampler = "rqmc",
    form: Form = "corrected",
    level: float = 0.99,
    progress: Progress | None = None,
) -> TaylorTest:
    """Strong and weak remainders of the expansion over a ladder of ε, on common noise.

    Parameters
    ----------
    eps : at least four positive numbers, each half the one before; by default a ladder that starts where the
        coefficients say that each term of the expansion is a fifth of the one before.
    order : the highest order of the expansion that is tested; all lower ones are tested too.
    form : "printed" expands as (33) and Lemma B.7 have it, with ε²∂²x in place of ½ε²∂²x.
    level : of the two-sided test of each rate.

    The other arguments and errors are those of :func:`sdewm.expand`. Leaves no state behind: the random numbers are
    the sampler's own.
    """
    arguments.choice("form", form, FORMS)
    tests = taylor_tests(
        family, {"loss": loss}, x0, grid,
        eps=eps, order=order, paths=paths, seed=seed, method=method, sampler=sampler, level=level, progress=progress,
    )  # fmt: skip
    return tests["loss", form]


def taylor_tests(
    family: PerturbedSDE,
    losses: Mapping[str, Loss],
    x0: Tensor,
    grid: TimeGrid,
    *,
    eps: Sequence[float] | None = None,
    order: Literal[0, 1, 2] = 2,
    paths: int = 2**12,
    seed: int = 0,
    method: Method = "euler",
    sampler: Literal["rqmc", "mc"] | Sampler = "rqmc",
    level: float = 0.99,
    progress: Progress | None = None,
) -> dict[tuple[str, Form], TaylorTest]:
    """:func:`taylor_test` for several losses and both forms, ``{(loss, form): test}``, on the same paths."""
    order = arguments.choice("order", order, (0, 1, 2))
    level = arguments.level(level)
    x0 = arguments.state(x0)
    summed = {name: as_summed(loss, grid) for name, loss in losses.items()}
    channels = check_problem(family, summed, x0, grid, method, 1)
    drawn = make_sampler(sampler, paths, seed)
    if eps is None:
        # Sizes alone are asked of the pilot, and those of few paths will do.
        few = replace(drawn, paths=64) if isinstance(drawn, BrownianSampler) else MonteCarlo(64, seed)
        pilot = sample(_Paths(family, summed, x0, grid, method, (), order), few, channels, grid, x0)
        top = _largest_eps(pilot, ["|corrected|state scale", *(f"{name}|corrected|loss scale" for name in summed)])
        ladder = tuple(top / 2**j for j in range(RUNGS))
    else:
        ladder = check_ladder(eps)
    evaluate = _Paths(family, summed, x0, grid, method, ladder, order)
    found = sample(evaluate, drawn, channels, grid, x0, progress=progress)
    return {
        (name, form): _result(Sample(_select(found, name, form), found.paths, found.seed), ladder, order, form, level)
        for name in summed
        for form in FORMS
    }


def pool_tests(tests: Sequence[TaylorTest], level: float = 0.99) -> TaylorTest:
    """Tests of one loss and form on independent samples as one test.

    Their ladders of ε have to be the same: give those after the first its ``eps``.
    """
    first = tests[0]
    if any(t.eps != first.eps or t.order != first.order or t.form != first.form for t in tests):
        raise ValueError("tests: expected the same ε, order and form in each")
    found = pool([t.sample for t in tests], first.sample.seed)
    return _result(found, first.eps, first.order, first.form, level)


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


class _Paths:
    """Remainders along paths: the jet and all perturbed solutions walk side by side on the same increments."""

    def __init__(
        self,
        family: PerturbedSDE,
        losses: Mapping[str, SummedLoss],
        x0: Tensor,
        grid: TimeGrid,
        method: str,
        ladder: tuple[float, ...],
        order: int,
    ) -> None:
        self.family, self.losses, self.x0, self.grid, self.method = family, losses, x0, grid, method
        self.ladder, self.order = ladder, order
        self.space = JetSpace(1, 3)

    def __call__(self, noise: Increments) -> dict[str, Tensor]:
        """Names are ``loss|form|quantity``; the state's remainders, which no loss changes, have an empty loss."""
        weights = {name: loss.on(self.grid) for name, loss in self.losses.items()}
        magnitudes: list[Magnitude] = [self.space.parameter(0), *self.ladder]
        walks = [trajectory(self.family.at(e), self.x0, self.grid, self.method, noise) for e in magnitudes]
        largest: dict[str, Tensor] = {}
        series: dict[tuple[str, Form], Tensor] = {}
        perturbed: dict[tuple[str, int], Tensor] = {}
        for steps in zip(*walks, strict=True):
            i, t, x = steps[0]
            states = [x_eps for _, _, x_eps in steps[1:]]
            for form in FORMS:
                c = self._state_series(x, form)
                for k in range(4):
                    _keep_largest(largest, f"|{form}|state scale/{k}", (c[k] ** 2).sum(-1))
                for j, (e, rest) in enumerate(zip(self.ladder, states, strict=True)):
                    for k in range(self.order + 1):
                        rest = rest - e**k * c[k]
                        _keep_largest(largest, f"|{form}|strong/{k}/{j}", (rest**2).sum(-1))
            for name, loss in self.losses.items():
                if i not in weights[name]:
                    continue
                weight = weights[name][i]
                for form in FORMS:
                    c = weight * self._loss_series(loss, t, x, form)
                    series[name, form] = series.get((name, form), 0.0) + c
                for j, x_eps in enumerate(states):
                    perturbed[name, j] = perturbed.get((name, j), 0.0) + weight * loss.at(t, x_eps)
        values = largest
        for (name, form), c in series.items():
            for k in range(4):
                values[f"{name}|{form}|loss scale/{k}"] = c[k] ** 2
                values[f"{name}|{form}|coefficient/{k}"] = c[k]
            for j, e in enumerate(self.ladder):
                rest = perturbed[name, j]
                for k in range(self.order + 1):
                    rest = rest - e**k * c[k]
                    values[f"{name}|{form}|loss/{k}/{j}"] = rest**2
                    values[f"{name}|{form}|weak/{k}/{j}"] = rest
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


def _keep_largest(values: dict[str, Tensor], name: str, value: Tensor) -> None:
    values[name] = torch.maximum(values[name], value) if name in values else value


def _select(found: Sample, loss: str, form: Form) -> dict[str, Values]:
    prefixes = (f"{loss}|{form}|", f"|{form}|")
    return {
        name.removeprefix(prefix): v
        for prefix in prefixes
        for name, v in found.values.items()
        if name.startswith(prefix)
    }


def _result(found: Sample, ladder: tuple[float, ...], order: int, form: Form, level: float) -> TaylorTest:
    remainders: dict[tuple[str, int], Values] = {}
    rates: dict[tuple[str, int], Rate] = {}
    for kind in KINDS:
        for k in range(order + 1):
            table = np.stack([found[f"{kind}/{k}/{j}"] for j in range(len(ladder))])
            remainders[kind, k] = _remainder(kind, table.mean(1))
            rates[kind, k] = _rate(kind, k, table, ladder, found, level)
    third, numerical = ({}, 0.0) if order < 2 or form == "printed" else _third(found, ladder)
    return TaylorTest(ladder, order, form, remainders, rates, third, numerical, found)


def _series(value: Tensor, space: JetSpace) -> Tensor:
    if isinstance(value, Jet):
        return value.coefficients
    return torch.cat([value.unsqueeze(0), value.new_zeros(len(space) - 1, *value.shape)])


def _largest_eps(found: Sample, scales: Iterable[str]) -> float:
    """Where each term is a fifth of the one before, in all of the given sizes of coefficients."""
    bounds = []
    for what in scales:
        size = [math.sqrt(float(found[f"{what}/{k}"].mean())) for k in range(4)]
        # Where the series breaks off, the size of the solution itself is the only scale there is.
        bounds += [size[k] / size[k + 1] for k in (1, 2) if size[k] > 0 and size[k + 1] > 0]
        bounds += [size[0] / size[1]] if size[0] > 0 and size[1] > 0 else []
    return 0.2 * min(bounds, default=1.0)


def _remainder(kind: str, mean: Values) -> Values:
    return np.abs(mean) if kind == "weak" else np.sqrt(mean)


def _extrapolated(values: Values) -> tuple[float, float]:
    """The limit of a sequence in ε, ε/2, ε/4, … whose error is a power series in ε; and how far it still moved."""
    first = 2 * values[1:] - values[:-1]
    second = (4 * first[1:] - first[:-1]) / 3
    # Against the order below and against the rung before: either alone can agree by chance, as where an error changes
    # its sign.
    others = np.array([first[-1], *second[-2:-1]])
    return float(second[-1]), float(np.abs(second[-1] - others).max())


def _jackknife(statistic: Callable[[Values], float], table: Values) -> float:
    """Standard error of a statistic of the means of ``(…, replicates)``, leaving out one replicate at a time."""
    n = table.shape[-1]
    means = (table.sum(-1, keepdims=True) - table) / (n - 1)
    left_out = np.array([statistic(means[..., r]) for r in range(n)])
    return float(np.sqrt((n - 1) / n * ((left_out - left_out.mean()) ** 2).sum()))


def _rate(kind: str, order: int, table: Values, ladder: tuple[float, ...], found: Sample, level: float) -> Rate:
    expected, resolved = _expected(kind, order, found)
    dof = table.shape[1] - 1
    remainder = _remainder(kind, table.mean(1))
    what = "state scale" if kind == "strong" else "loss scale"
    # The size of the perturbed solution, to the order that is known: x0 = 0 has no size of its own.
    floor = ROUNDOFF * sum(ladder[0] ** k * math.sqrt(float(found[f"{what}/{k}"].mean())) for k in range(4))
    if (remainder < floor).all():
        return Rate(math.inf, 0.0, 0.0, dof, expected, "exact")
    if remainder[-1] < 100 * floor:
        return Rate(math.nan, math.inf, math.inf, dof, expected, "below roundoff")
    if not resolved:
        return Rate(math.nan, math.inf, math.inf, dof, expected, "below noise")

    def limit(mean: Values) -> float:
        return _extrapolated(_local_rates(_remainder(kind, mean)))[0]

    value, numerical = _extrapolated(_local_rates(remainder))
    rate = Rate(value, _jackknife(limit, table), numerical, dof, expected, "as expected")
    low, high = rate.interval(level)
    outcome: Outcome = "as expected"
    if high - low >= 1:
        outcome = "ε too large" if 2 * numerical > 0.5 else "below noise"
    elif not low <= expected <= high:
        outcome = "derivative wrong" if high < expected else "order higher than expected"
        if ladder[-1] > _largest_eps(found, ("state scale", "loss scale")):
            outcome = "ε too large"  # the whole ladder lies above where the coefficients say it should start
    return Rate(value, rate.stderr, numerical, dof, expected, outcome)


def _local_rates(remainder: Values) -> Values:
    return np.log2(remainder[:-1] / remainder[1:])


def _expected(kind: str, order: int, found: Sample) -> tuple[int, bool]:
    """The first order past ``order`` whose coefficient is not zero, 4 where all known ones are; and whether a mean
    over paths tells that coefficient from zero."""
    what = "state scale" if kind == "strong" else "loss scale"
    for k in range(order + 1, 4):
        size = math.sqrt(float(found[f"{what}/{k}"].mean()))
        if kind == "weak":
            coefficient = found.estimate(f"coefficient/{k}")
            if abs(coefficient.mean) > ROUNDOFF * size:
                return k, abs(coefficient.mean) > 3 * coefficient.stderr
        elif size > ROUNDOFF * math.sqrt(max(float(found[f"{what}/0"].mean()), 1e-300)):
            return k, True
    return 4, True


def _third(found: Sample, ladder: tuple[float, ...]) -> tuple[dict[str, Estimate], float]:
    """Weak remainder over ε³ against E of the third-order term, replicate by replicate."""
    scaled = np.stack([found[f"weak/2/{j}"] / e**3 for j, e in enumerate(ladder)])
    # The finest rungs amplify roundoff by ε⁻³; the limit is as good from the first four.
    scaled = scaled[:4]
    first = 2 * scaled[1:] - scaled[:-1]
    second = (4 * first[1:] - first[:-1]) / 3
    measured = second[-1]
    # Against the order below, which can agree by chance; and against the rung before, from where an error of order ε³
    # falls to a seventh of what has changed, of which twice is granted.
    changes = (second[-1] - first[-1], 2 / 7 * (second[-1] - second[-2]))
    numerical = max(float(abs(change.mean())) for change in changes)
    predicted = found["coefficient/3"]
    estimates: Mapping[str, Values] = {
        "predicted": predicted, "measured": measured, "difference": measured - predicted
    }  # fmt: skip
    return {name: found.estimate(v) for name, v in estimates.items()}, numerical
