"""The rate at which a remainder falls as ε is halved: its limit for ε → 0, its interval, and its outcome."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import scipy
from jaxtyping import Float64

from sdewm import arguments
from sdewm.arrays import Array
from sdewm.estimate.samples import Sample

KINDS: dict[str, str] = {
    "strong": "largest distance over time between x^ε and its expansion, root mean square over paths",
    "loss": "what the expansion leaves of the loss L(x^ε), root mean square over paths",
    "weak": "what the expansion leaves of the expected loss E L(x^ε)",
}
Outcome = Literal[
    "as expected",
    "exact",
    "derivative wrong",
    "order higher than expected",
    "ε too large",
    "too wide to tell",
    "below noise",
    "below roundoff",
]
# For each outcome that does not pass: the reason, and what to do.
ADVICE: dict[Outcome, str] = {
    "derivative wrong": "the remainder falls too slowly: a derivative is wrong, or a function has a kink",
    "order higher than expected": "the remainder falls too fast: a coefficient that is not zero ought to be",
    "ε too large": "the series is no guide on this ladder: take smaller ε",
    "too wide to tell": "the interval reaches further than ±0.25: draw more paths, or take smaller ε",
    "below noise": "sampling noise hides it: draw more paths",
    "below roundoff": "rounding in {dtype} hides it: {cure}",
}
FAILURES: tuple[Outcome, ...] = ("derivative wrong", "order higher than expected")
# The lowest rungs are left out of a fit until rounding moves the rate by no more than this.
LARGEST_SHIFT = 0.1
# An interval that is wider holds a rate to less than ±0.25.
WIDEST = 0.5
# The mean of numbers that cancel can be wrong by up to this many units in their last digit.
CANCELLED = 450
SCALES = ("state scale", "loss scale")

# Its cube is in the range of float64. Errors that are smaller than this beside the solution are below its rounding.
LARGEST_EPS = 1e90


@dataclass(frozen=True)
class Rate:
    """The exponent p in remainder ~ C ε^p as ε → 0, for one kind of remainder and one order of the expansion.

    ``stderr`` is the sampling error, by the jackknife over replicates. ``numerical`` is how much the last step of the
    extrapolation to ε = 0 changed the rate, and ``rounding`` how much rounding may have changed it. ``expected`` is the
    first order past the expansion whose coefficient is not zero. The rate is fitted to the ``rungs`` largest ε of the
    ladder; at the smaller ones rounding is too large a part of the remainder. Where there is no rate, ``rungs`` is 0
    and ``value`` is NaN, or infinite for "exact".

    >>> rate = taylor_test(family, loss, x0, grid).rates["weak", 2]
    >>> rate.expected, rate.outcome
    (3, 'as expected')
    """

    value: float
    stderr: float
    numerical: float
    rounding: float
    dof: int
    expected: int
    outcome: Outcome
    rungs: int

    def interval(self, confidence: float = 0.99) -> tuple[float, float]:
        half = float(scipy.stats.t.ppf(0.5 + arguments.confidence(confidence) / 2, self.dof)) * self.stderr
        half += self.numerical + self.rounding
        return self.value - half, self.value + half

    @property
    def passed(self) -> bool:
        return self.outcome in ("as expected", "exact")


def rounding_of(kind: str, found: Sample, rung: int, unit: float) -> float:
    """How large a remainder is that consists of rounding alone, measured at an ε far below the ladder.

    For a mean it is the root mean square over replicates, since the mean itself can be zero by chance. It is at least
    one unit in the last digit of the perturbed solution: if all paths round alike, the measured value can be zero.
    """
    values = found[f"{kind}/1/{rung}"]
    measured = math.sqrt(float((values**2 if kind == "weak" else values).mean()))
    size = _sizes(kind, found)
    top = largest_eps(found)
    return max(measured, unit * sum(top**k * size[k] for k in range(4)))


def largest_eps(*samples: Sample) -> float:
    """The ε at which each term of state and loss is at most a fifth of the one before, in all samples."""
    bounds = []
    for found, what in itertools.product(samples, SCALES):
        size = [math.sqrt(float(found[f"{what}/{k}"].mean())) for k in range(4)]
        # Where the series ends, the size of the solution itself is the only scale.
        bounds += [size[k] / size[k + 1] for k in (1, 2) if size[k] > 0 and size[k + 1] > 0]
        bounds += [size[0] / size[1]] if size[0] > 0 and size[1] > 0 else []
    return min(0.2 * min(bounds, default=1.0), LARGEST_EPS)


def remainder_of(kind: str, mean: Float64[np.ndarray, " values"]) -> Float64[np.ndarray, " values"]:
    return np.abs(mean) if kind == "weak" else np.sqrt(mean)


def _extrapolated(values: Array) -> tuple[float, float]:
    """The limit of values at ε, ε/2, ε/4, … whose error is a power series in ε, and its numerical error.

    From two values the error of first order is removed, from more the second order too.
    """
    first = 2 * values[1:] - values[:-1]
    below, best = (values, first) if len(first) == 1 else (first, (4 * first[1:] - first[:-1]) / 3)
    # The change from the order below and from the rung before: one alone can be zero by chance, as where an error
    # changes its sign.
    others = np.array([below[-1], *best[-2:-1]])
    return float(best[-1]), float(np.abs(best[-1] - others).max())


def _shift(remainder: Array, rounding: float) -> float:
    """The largest change of the limit of the rates if each remainder is wrong by ``rounding``."""
    # The limit weighs the logarithms of neighbouring rungs with opposite signs.
    signs = (-1.0) ** np.arange(len(remainder))
    with np.errstate(divide="ignore", invalid="ignore"):
        logarithms = signs * rounding / (remainder * math.log(2))
        shift = abs(_extrapolated(logarithms[:-1] - logarithms[1:])[0])
    return shift if math.isfinite(shift) else math.inf


def _jackknife(statistic: Callable[[Array], float], table: Array) -> float:
    """Standard error of a statistic of the means of ``(…, replicates)``, leaving out one replicate at a time.

    Infinite where the statistic is not a number without one of them: then it rests on that one alone.
    """
    n = table.shape[-1]
    means = (table.sum(-1, keepdims=True) - table) / (n - 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        left_out = np.array([statistic(means[..., r]) for r in range(n)])
        stderr = float(np.sqrt((n - 1) / n * ((left_out - left_out.mean()) ** 2).sum()))
    return stderr if math.isfinite(stderr) else math.inf


def rate_of(
    kind: str,
    order: int,
    table: Float64[np.ndarray, "values replicates"],
    ladder: tuple[float, ...],
    found: Sample,
    rounding: float,
    unit: float,
    confidence: float,
) -> Rate:
    expected, resolved = _expected(kind, order, found, rounding, unit)
    nothing = Rate(math.nan, math.inf, math.inf, math.inf, table.shape[1] - 1, expected, "below roundoff", 0)
    remainder = remainder_of(kind, table.mean(1))
    if expected == 4 and (remainder <= 10 * rounding).all():
        return replace(nothing, value=math.inf, stderr=0.0, numerical=0.0, rounding=0.0, outcome="exact")
    usable = (n for n in range(len(ladder), 2, -1) if _shift(remainder[:n], rounding) <= LARGEST_SHIFT)
    rungs = next(usable, 0)
    if not rungs:
        return nothing
    if not resolved:
        return replace(nothing, outcome="below noise")

    def limit(mean: Array) -> float:
        return _extrapolated(_local_rates(remainder_of(kind, mean)))[0]

    value, numerical = _extrapolated(_local_rates(remainder[:rungs]))
    rate = replace(
        nothing,
        value=value,
        stderr=_jackknife(limit, table[:rungs]),
        numerical=numerical,
        rounding=_shift(remainder[:rungs], rounding),
        rungs=rungs,
    )
    low, high = rate.interval(confidence)
    outcome: Outcome = "as expected"
    if high - low >= 1:
        outcome = "ε too large" if 2 * numerical > 0.5 else "below noise"
    elif not low <= expected <= high:
        outcome = "derivative wrong" if high < expected else "order higher than expected"
        if ladder[rungs - 1] > largest_eps(found):
            outcome = "ε too large"  # the ladder lies above the ε where the coefficients say that it should start
    elif high - low > WIDEST:
        outcome = "too wide to tell"
    if high - low > WIDEST and rungs < len(ladder) and outcome in ("ε too large", "too wide to tell"):
        # Rounding hides the rungs that would narrow the interval; unless it is noise that makes it wide.
        outcome = "below roundoff" if 4 * (numerical + rate.rounding) > high - low else outcome
    return replace(rate, outcome=outcome)


def _local_rates(remainder: Array) -> Array:
    return np.log2(remainder[:-1] / remainder[1:])


def _carrier(kind: str) -> str:
    return "state" if kind == "strong" else "loss"


def _sizes(kind: str, found: Sample) -> list[float]:
    """Root mean square over paths of the coefficients of ε⁰ to ε³, of the state or of the loss."""
    return [math.sqrt(float(found[f"{_carrier(kind)} scale/{k}"].mean())) for k in range(4)]


def _expected(kind: str, order: int, found: Sample, rounding: float, unit: float) -> tuple[int, bool]:
    """The first order past ``order`` whose coefficient is not zero, and whether its mean is significantly so.

    The order is 4 if all known coefficients are zero. A coefficient counts as zero if its term is below rounding at the
    ε where the ladder should start; the coefficient of a mean also if the paths cancel.
    """
    size = _sizes(kind, found)
    top = largest_eps(found)
    for k in range(order + 1, 4):
        if top**k * size[k] <= rounding:
            continue
        if kind != "weak":
            return k, True
        coefficient = found.estimate(f"coefficient/{k}")
        if abs(coefficient.mean) > CANCELLED * unit * size[k]:
            return k, abs(coefficient.mean) > 3 * coefficient.stderr
    return 4, True
