"""A claim held against numbers: verified, refuted, vacuous or inconclusive."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from scipy import stats

from sdewm.montecarlo import Estimate

Status = Literal["verified", "refuted", "vacuous", "inconclusive"]
Form = Literal["printed", "corrected"]
POWER = 0.95


@dataclass(frozen=True)
class Verdict:
    """One row of a report.

    Attributes
    ----------
    claim, system : which statement, on which system.
    quantity : what of it is compared, such as "coefficient of ε²".
    form, reading : "printed" or "corrected"; which reading of the printed formula, or which route to the corrected.
    status : "verified", "refuted", "vacuous" (true only because a constant is free) or "inconclusive".
    statistic, stderr : the deviation of what is claimed from what is true, a rate, or what is said to be bounded, and
        its standard error.
    expected : what the statistic is if the claim holds; for a relation of "≤", the most that it may be.
    numerical : error of the statistic that is not sampling error: extrapolation, cancellation.
    level : false-failure rate of this one comparison, corrected for their number in the run.
    detectable : the smallest deviation that this run would have seen with probability 0.95.
    margin : a claim counts as verified only where its whole 99.9 % interval is within this of the truth.
    scale : the size of the true quantity, for reading the numbers by.
    paths, seconds, seed, config : what the row rests on and took, and what repeats it.
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
    level: float
    detectable: float
    margin: float
    scale: float
    paths: int
    seconds: float = 0.0
    seed: int = 0
    config: dict[str, Any] = field(default_factory=dict)
    relation: Literal["=", "≤"] = "="

    @property
    def standard_errors(self) -> float:
        """How many standard errors the statistic is from what the claim allows, beyond the numerical error."""
        deviation = self.statistic - self.expected
        beyond = max(0.0, (abs(deviation) if self.relation == "=" else deviation) - self.numerical)
        return beyond / self.stderr if self.stderr > 0 else math.inf if beyond > 0 else 0.0

    def as_dict(self) -> dict[str, Any]:
        """A plain record; all fields, and ``standard_errors``."""
        return {**asdict(self), "standard_errors": self.standard_errors}


@dataclass(frozen=True)
class Comparison:
    """An equality that is to be judged once the number of judgements in the run is known.

    Fields as in :class:`Verdict`.
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
    scale: float
    seconds: float = 0.0
    config: dict[str, Any] = field(default_factory=dict)

    def judge(self, level: float) -> Verdict:
        """The verdict at a false-failure rate of ``level``.

        Refuted: the statistic differs from what is expected by more than the numerical error and the two-sided
        Student-t half-width. Verified: it does not, and the whole 99.9 % interval, numerical error included, is
        within the margin. Inconclusive: neither, for the sample is too small or the numerical error too large.
        """
        s = self.statistic
        deviation = abs(s.mean - self.expected)
        threshold = _threshold(s, self.numerical, level, sides=2)
        status: Status = "inconclusive"
        if math.isfinite(deviation) and math.isfinite(threshold):
            if deviation > threshold:
                status = "refuted"
            elif deviation + _half_width(s) + self.numerical <= self.margin:
                status = "verified"
        return _verdict(self, status, level, threshold, self.expected, self.margin, "=")


@dataclass(frozen=True)
class Inequality:
    """A bound that is to be judged once the number of judgements in the run is known: ``statistic`` ≤ ``bound``.

    Where the bound is itself estimated, the statistic is a difference or the logarithm of a ratio, and the bound 0.
    ``vacuous`` is for a claim that leaves a constant free: whatever is finite satisfies it, and the statistic is the
    smallest constant that will do. Other fields as in :class:`Verdict`.
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

    def judge(self, level: float) -> Verdict:
        """The verdict at a false-failure rate of ``level``.

        Refuted: the statistic exceeds the bound by more than the numerical error and the one-sided Student-t
        half-width. Verified: the whole 99.9 % interval, numerical error included, is within the bound. Inconclusive:
        neither.
        """
        s = self.statistic
        excess = s.mean - self.bound
        threshold = _threshold(s, self.numerical, level, sides=1)
        status: Status = "inconclusive"
        if self.vacuous:
            status = "vacuous" if math.isfinite(s.mean) else "inconclusive"
        elif math.isfinite(excess) and math.isfinite(threshold):
            if excess > threshold:
                status = "refuted"
            elif excess + _half_width(s) + self.numerical <= 0:
                status = "verified"
        return _verdict(self, status, level, threshold, self.bound, 0.0, "≤")


Claimed = Comparison | Inequality


def judge_all(claimed: Sequence[Claimed], run_level: float = 1e-3) -> list[Verdict]:
    """Judge a run so that it refutes anything true with probability ``run_level`` at most (Bonferroni)."""
    return [c.judge(run_level / len(claimed)) for c in claimed]


def _threshold(s: Estimate, numerical: float, level: float, sides: int) -> float:
    if not 0 < level < 1:
        raise ValueError(f"level: expected a number between 0 and 1, got {level}")
    return float(stats.t.ppf(1 - level / sides, s.dof)) * s.stderr + numerical


def _half_width(s: Estimate) -> float:
    return float(stats.t.ppf(0.9995, s.dof)) * s.stderr


def _verdict(
    c: Claimed, status: Status, level: float, threshold: float, expected: float, margin: float,
    relation: Literal["=", "≤"],
) -> Verdict:  # fmt: skip
    s = c.statistic
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
        level=level,
        detectable=detectable if math.isfinite(detectable) else math.inf,
        margin=margin,
        scale=c.scale,
        paths=s.n,
        seconds=c.seconds,
        seed=s.seed or 0,
        config=c.config,
        relation=relation,
    )
