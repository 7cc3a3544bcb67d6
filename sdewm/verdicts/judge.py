"""Verdicts on claims: verified, refuted, indistinguishable from 0, vacuous or inconclusive."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, NamedTuple

from sdewm.estimate.estimates import Estimate
from sdewm.expansion.forms import Form

Status = Literal["verified", "refuted", "indistinguishable from 0", "vacuous", "inconclusive"]
Relation = Literal["=", "≤"]
NEAR_ZERO: Status = "indistinguishable from 0"
POWER = 0.95
# A claim counts as verified if its whole interval at confidence 1 − DOUBT is within the margin …
DOUBT = 1e-3
# … and within this fraction of the quantity itself, so that neither 0 nor twice the quantity would be verified.
LARGEST_PART = 0.5


class RowKey(NamedTuple):
    """What one row of a report is about."""

    claim: str
    system: str
    quantity: str
    form: Form
    reading: str


@dataclass(frozen=True)
class Verdict:
    """One row of a report.

    Attributes
    ----------
    claim, system : which statement, on which system.
    quantity : which quantity of the claim is compared, such as "coefficient of ε²".
    form, reading : "printed" or "corrected"; which reading of the printed formula, or which route to the corrected.
    status : "verified"; "refuted"; "indistinguishable from 0" (the claim agrees with the truth at this precision, but
        so would 0); "vacuous" (true only because a constant is free); or "inconclusive".
    statistic, stderr : the deviation of the claimed value from the true one, or a rate, or the quantity that is
        claimed to be bounded; and its standard error.
    expected : the value of the statistic if the claim holds; for a relation of "≤", its largest allowed value.
    numerical : the part of the statistic's error that is not sampling error: extrapolation, cancellation.
    significance : the false-failure rate of this comparison, corrected for the number of comparisons in the run. The
        true rate is higher where replicates have a skewness above ½ (``python -m benchmarks.false_refutations``).
    detectable : the smallest deviation that this run would have detected with probability 0.95.
    margin : a claim counts as verified only if its whole 99.9 % interval is within this distance of the truth, and
        within half of the quantity itself.
    scale : the size of the true quantity, in the statistic's units.
    reach : the largest distance of the 99.9 % interval from the truth, numerical error included. For a bound, how far
        the interval exceeds it; negative where it stays below.
    reason : why the verdict is inconclusive whatever the interval: the flags of its estimate, or its excuse.
    paths, seconds, seed, config : the sample size, the computing time, and what is needed to repeat the row.
    """

    claim: str
    system: str
    quantity: str
    form: Form
    reading: str
    status: Status
    statistic: float
    stderr: float
    expected: float
    numerical: float
    significance: float
    detectable: float
    margin: float
    scale: float
    reach: float
    paths: int
    seconds: float = 0.0
    seed: int = 0
    config: dict[str, Any] = field(default_factory=dict)
    relation: Relation = "="
    reason: str = ""

    @property
    def key(self) -> RowKey:
        """What the row is about; it is unique within a run."""
        return RowKey(self.claim, self.system, self.quantity, self.form, self.reading)

    @property
    def sampling_decides(self) -> bool:
        """Whether more paths could decide the row: neither its numerical error nor its ``reason`` prevents that."""
        if self.reason or self.stderr == 0 or not math.isfinite(self.statistic):
            return False
        deviation = self.statistic - self.expected
        size = abs(deviation) if self.relation == "=" else deviation
        return size > self.numerical or size + self.numerical <= self.margin

    @property
    def standard_errors(self) -> float:
        """The distance of the statistic from what the claim allows, less the numerical error, in standard errors."""
        deviation = self.statistic - self.expected
        beyond = max(0.0, (abs(deviation) if self.relation == "=" else deviation) - self.numerical)
        return beyond / self.stderr if self.stderr > 0 else math.inf if beyond > 0 else 0.0

    def as_dict(self) -> dict[str, Any]:
        """All fields and ``standard_errors`` as a dictionary."""
        return {**asdict(self), "standard_errors": self.standard_errors}


@dataclass(frozen=True)
class Comparison:
    """An equality to be judged: ``statistic`` equals ``expected``.

    ``scale`` is the true quantity in the statistic's units. If it is only estimated, the smallest absolute value in its
    99.9 % interval is used. If the truth is exactly 0, ``scale`` is the size to which the margin is relative, and the
    quantity's name says so. ``excuse`` says why a deviation would not speak against the claim: an assumption of the
    claim is not met. The other fields are as in :class:`Verdict`.
    """

    claim: str
    system: str
    quantity: str
    form: Form
    reading: str
    statistic: Estimate
    expected: float
    numerical: float
    margin: float
    scale: float | Estimate
    seconds: float = 0.0
    config: dict[str, Any] = field(default_factory=dict)
    excuse: str = ""

    def judge(self, significance: float, share: float = 1.0) -> Verdict:
        """The verdict at a false-failure rate of ``significance``; ``share`` as in :func:`share_of_look`.

        Refuted: the statistic differs from the expected value by more than the numerical error plus the two-sided
        half-width. Verified: it does not, and the whole 99.9 % interval, numerical error included, is within the
        margin and within half of the quantity itself. Indistinguishable from 0: the interval is within the margin only,
        and the quantity is within it too, or its own 99.9 % interval contains 0. Inconclusive: none of these, because
        the sample is too small or the numerical error too large; or the estimate is flagged, or there is a deviation
        with an excuse.
        """
        s = self.statistic
        reason = "; ".join(s.flags)
        reach = _reach(s, self.expected, self.numerical, share)
        low, high = s.interval(1 - share * significance)
        most, known = _size(self.scale)
        margin = min(self.margin, LARGEST_PART * known) if known > 0 else self.margin
        status: Status = "inconclusive"
        if not s.flags and math.isfinite(reach) and math.isfinite(high - low):
            if not low - self.numerical <= self.expected <= high + self.numerical:
                status, reason = ("inconclusive", self.excuse) if self.excuse else ("refuted", "")
            elif reach <= margin and known > 0:
                status = "verified"
            elif reach <= self.margin and (most <= self.margin or known == 0):
                status, margin = "indistinguishable from 0", self.margin
        return _verdict(self, status, significance, share, 2, self.expected, margin, most, reach, "=", reason)


@dataclass(frozen=True)
class Inequality:
    """An inequality to be judged: ``statistic`` ≤ ``bound``.

    If the bound is itself estimated, the statistic is a difference or the logarithm of a ratio, and the bound is 0.
    ``vacuous`` marks a claim with a free constant: any finite number satisfies it, and the statistic is the smallest
    constant for which it holds. The other fields are as in :class:`Verdict`.
    """

    claim: str
    system: str
    quantity: str
    form: Form
    reading: str
    statistic: Estimate
    bound: float
    numerical: float
    scale: float
    seconds: float = 0.0
    config: dict[str, Any] = field(default_factory=dict)
    vacuous: bool = False

    def judge(self, significance: float, share: float = 1.0) -> Verdict:
        """The verdict at a false-failure rate of ``significance``; ``share`` as in :func:`share_of_look`.

        Refuted: the statistic exceeds the bound by more than the numerical error plus the one-sided half-width.
        Verified: the whole 99.9 % interval, numerical error included, is within the bound. Inconclusive: neither, or
        the estimate is flagged.
        """
        s = self.statistic
        low = s.interval(1 - 2 * share * significance)[0] - self.numerical
        high = s.interval(1 - share * DOUBT)[1] + self.numerical
        status: Status = "inconclusive"
        if s.flags or not math.isfinite(s.mean - self.bound):
            pass
        elif self.vacuous:
            status = "vacuous"
        elif math.isfinite(high - low):
            status = "refuted" if low > self.bound else "verified" if high <= self.bound else "inconclusive"
        reach, reason = high - self.bound, "; ".join(s.flags)
        return _verdict(self, status, significance, share, 1, self.bound, 0.0, abs(self.scale), reach, "≤", reason)


@dataclass(frozen=True)
class LeftOut:
    """A comparison that cannot be made: what it would have been about, and the reason."""

    claim: str
    system: str
    quantity: str
    form: Form
    reading: str
    reason: str

    @property
    def key(self) -> RowKey:
        """As :attr:`Verdict.key`."""
        return RowKey(self.claim, self.system, self.quantity, self.form, self.reading)


Claimed = Comparison | Inequality
Row = Claimed | LeftOut


def share_of_look(look: int) -> float:
    """The share of the false-failure rate for look 0, 1, 2, … at a growing sample: ½, ¼, ⅛, …, at most 1 in all.

    A sample that grows until a question is decided is tested several times, once at each look. Shared out like this,
    the probability that a true claim is refuted at any look is at most the whole rate, however the looks depend on each
    other. The 0.1 % of doubt in "verified" is shared out in the same way.
    """
    return 2.0 ** -(look + 1)


def _size(scale: float | Estimate) -> tuple[float, float]:
    """The size of a quantity, and a lower bound for it."""
    if not isinstance(scale, Estimate):
        return abs(scale), abs(scale)
    return abs(scale.mean), max(0.0, abs(scale.mean) - scale.half_width(1 - DOUBT))


def _reach(s: Estimate, expected: float, numerical: float, share: float) -> float:
    low, high = s.interval(1 - share * DOUBT)
    return max(high - expected, expected - low) + numerical


def _verdict(
    c: Claimed,
    status: Status,
    significance: float,
    share: float,
    sides: int,
    expected: float,
    margin: float,
    scale: float,
    reach: float,
    relation: Relation,
    reason: str,
) -> Verdict:
    from scipy import stats

    s = c.statistic
    threshold = s.half_width(1 - 2 / sides * share * significance) + c.numerical
    detectable = threshold + float(stats.t.ppf(POWER, s.dof)) * s.stderr
    return Verdict(
        claim=c.claim,
        system=c.system,
        quantity=c.quantity,
        form=c.form,
        reading=c.reading,
        status=status,
        statistic=s.mean,
        stderr=s.stderr,
        expected=expected,
        numerical=c.numerical,
        significance=significance,
        detectable=detectable if math.isfinite(detectable) else math.inf,
        margin=margin,
        scale=scale,
        reach=reach if math.isfinite(reach) else math.inf,
        paths=s.n,
        seconds=c.seconds,
        seed=s.seed or 0,
        config=c.config,
        relation=relation,
        reason=reason,
    )
