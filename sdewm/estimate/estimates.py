"""Numbers with error bars."""

from __future__ import annotations

import math
from dataclasses import dataclass

import scipy

from sdewm import arguments

# An interval is trusted only if this many paths carry the spread of the quantity, see `Moments.carriers`. For n > 256
# paths √(n/256) times as many are needed: with a heavy tail the number of carriers hardly grows with n, and a fixed
# threshold would be passed by large samples. `python -m benchmarks.coverage` measures missed and needless flags.
CARRIERS = 10
# The largest value of a path: sums over all paths stay finite.
LARGEST = 1e290


@dataclass(frozen=True)
class Estimate:
    """A mean, its standard error, and what they rest on.

    It rests on ``n`` paths in ``dof + 1`` independent replicates; the standard error comes from the spread of the
    replicates. ``seed`` repeats it. ``flags`` are reasons, in words, why the interval cannot be trusted; they are
    printed below the estimate. ``skew`` is the skewness of the replicates, for which :meth:`interval` corrects.

    >>> print(Estimate(1.0, 0.1, 1024, dof=31))
    1 ± 0.1
    """

    mean: float
    stderr: float
    n: int
    dof: float = math.inf
    seed: int | None = None
    flags: tuple[str, ...] = ()
    skew: float = 0.0

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """The two-sided interval at ``confidence``: Student's t, with one end moved out for skewness.

        If the distribution is skewed to the right, most intervals that miss the mean lie below it: the few large values
        are not in the sample, and the standard error is too small. So the upper end is moved to where Hall's
        transform of the t statistic puts it (1992, "On the removal of skewness by transformation"); for skewness to the
        left, the lower end. The other end stays, so that no interval is narrower than Student's.
        `python -m benchmarks.coverage` measures the coverage.

        Raises ``ValueError`` where ``confidence`` is not between 0 and 1.

        >>> Estimate(1.0, 0.1, 1024, dof=31).interval(0.95)
        (0.796, 1.204)
        """
        below, above = self._reach(confidence)
        return self.mean - below, self.mean + above

    def half_width(self, confidence: float = 0.95) -> float:
        """The distance from the mean to the farther end of the interval at ``confidence``."""
        return max(self._reach(confidence))

    def _reach(self, confidence: float) -> tuple[float, float]:
        """The distances from the mean to the lower and the upper end of the interval."""
        confidence = arguments.confidence(confidence)
        t = float(scipy.stats.t.ppf(0.5 + confidence / 2, self.dof))
        if self.skew == 0 or math.isinf(self.dof):
            return t * self.stderr, t * self.stderr
        root = math.sqrt(self.dof + 1)
        below, above = (_hall(y, self.skew, self.dof + 1) * root for y in (t / root, -t / root))
        return max(t, below) * self.stderr, max(t, -above) * self.stderr

    def __format__(self, spec: str) -> str:
        """``mean ± standard error``, with "(flagged)" where there are flags; ``spec`` is for the mean."""
        return f"{self.mean:{spec or '.6g'}} ± {self.stderr:.2g}" + (" (flagged)" if self.flags else "")

    def __str__(self) -> str:
        return "\n".join([format(self, ""), *(f"    flagged: {reason}" for reason in self.flags)])


def _hall(y: float, skew: float, n: float) -> float:
    """The x with x + γx²/3 + γ²x³/27 + γ/(6n) = y: x is (sample mean − mean)/standard deviation of n values."""
    shifted = skew * (y - skew / (6 * n))
    # The cubic is ((1 + γx/3)³ − 1)/γ. For γ near 0 its root is y, to rounding.
    return 3 * (math.cbrt(1 + shifted) - 1) / skew if abs(shifted) > 1e-6 else y
