"""A claim held against numbers: verified, refuted, vacuous or inconclusive."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from scipy import stats

from sdewm.montecarlo import Estimate

Status = Literal["verified", "refuted", "vacuous", "inconclusive"]
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
    statistic, stderr : the deviation of what is claimed from what is true, or a rate, and its standard error.
    expected : what the statistic is if the claim holds.
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
    form: Literal["printed", "corrected"]
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

    @property
    def standard_errors(self) -> float:
        """How many standard errors the statistic is from what is expected, beyond the numerical error."""
        beyond = max(0.0, abs(self.statistic - self.expected) - self.numerical)
        return beyond / self.stderr if self.stderr > 0 else math.inf if beyond > 0 else 0.0

    def as_dict(self) -> dict[str, Any]:
        """A plain record; all fields, and ``standard_errors``."""
        return {**asdict(self), "standard_errors": self.standard_errors}


@dataclass(frozen=True)
class Comparison:
    """What is to be judged once the number of comparisons in the run is known. Fields as in :class:`Verdict`."""

    claim: str
    system: str
    quantity: str
    form: Literal["printed", "corrected"]
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
        if not 0 < level < 1:
            raise ValueError(f"level: expected a number between 0 and 1, got {level}")
        s = self.statistic
        deviation = abs(s.mean - self.expected)
        t = stats.t(s.dof)
        threshold = float(t.ppf(1 - level / 2)) * s.stderr + self.numerical
        detectable = threshold + float(t.ppf(POWER)) * s.stderr
        status: Status = "inconclusive"
        if math.isfinite(deviation) and math.isfinite(threshold):
            if deviation > threshold:
                status = "refuted"
            elif deviation + float(t.ppf(0.9995)) * s.stderr + self.numerical <= self.margin:
                status = "verified"
        return Verdict(
            claim=self.claim,
            system=self.system,
            quantity=self.quantity,
            form=self.form,
            reading=self.reading,
            status=status,
            statistic=s.mean,
            stderr=s.stderr,
            expected=self.expected,
            numerical=self.numerical,
            level=level,
            detectable=detectable if math.isfinite(detectable) else math.inf,
            margin=self.margin,
            scale=self.scale,
            paths=s.n,
            seconds=self.seconds,
            seed=s.seed or 0,
            config=self.config,
        )


def judge_all(comparisons: Sequence[Comparison], run_level: float = 1e-3) -> list[Verdict]:
    """Judge a run so that it refutes anything true with probability ``run_level`` at most (Bonferroni)."""
    return [c.judge(run_level / len(comparisons)) for c in comparisons] if comparisons else []
