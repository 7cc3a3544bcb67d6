"""The rows and the curves of one claim on one system."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sdewm.estimate.estimates import Estimate
from sdewm.expansion.forms import Form
from sdewm.verdicts.judge import Comparison, Inequality
from sdewm.verdicts.record import Curve


def exact(value: float, n: int = 1, seed: int | None = None) -> Estimate:
    """A number without sampling error, from ``n`` paths or points."""
    return Estimate(value, 0.0, n, seed=seed)


@dataclass
class Rows:
    """Makes what a check returns: it knows the claim and the system, and when the row before was made.

    A row's seconds are those since the row before it, so that the seconds of all rows are those of the check.

    >>> rows = Rows("covering_map", "one-sheet")
    >>> rows.equal("∫η̄ − 1", "corrected", "Σ", 1e-15, margin=1e-12).quantity
    '∫η̄ − 1'
    """

    claim: str
    system: str
    since: float = field(default_factory=time.perf_counter, repr=False, compare=False)

    def equal(
        self,
        quantity: str,
        form: Form,
        reading: str,
        statistic: Estimate | float,
        expected: float = 0.0,
        *,
        margin: float,
        numerical: float = 0.0,
        scale: float | Estimate = 1.0,
        config: Mapping[str, Any] | None = None,
    ) -> Comparison:
        """That ``statistic`` is ``expected``; a number is taken for exact. Arguments as in :class:`Comparison`."""
        return Comparison(
            self.claim, self.system, quantity, form, reading, _estimate(statistic), expected, numerical, margin, scale,
            self._seconds(), dict(config or {}),
        )  # fmt: skip

    def at_most(
        self,
        quantity: str,
        form: Form,
        reading: str,
        statistic: Estimate | float,
        bound: float = 0.0,
        *,
        numerical: float = 0.0,
        scale: float | None = None,
        vacuous: bool = False,
        config: Mapping[str, Any] | None = None,
    ) -> Inequality:
        """That ``statistic`` ≤ ``bound``. As in :class:`Inequality`; its scale is its own size if not given."""
        value = _estimate(statistic)
        return Inequality(
            self.claim, self.system, quantity, form, reading, value, bound, numerical,
            abs(value.mean) if scale is None else scale, self._seconds(), dict(config or {}), vacuous,
        )  # fmt: skip

    def curve(
        self, label: str, x: Iterable[float], y: Iterable[float | Estimate], config: Mapping[str, Any] | None = None
    ) -> Curve:
        """``y`` against ``x``; with its standard errors, where ``y`` are estimates."""
        given = list(y)
        values = [_estimate(v) for v in given]
        stderr = [v.stderr for v in values] if any(isinstance(v, Estimate) for v in given) else None
        return Curve(self.claim, self.system, label, list(x), [v.mean for v in values], stderr, dict(config or {}))

    def _seconds(self) -> float:
        before, self.since = self.since, time.perf_counter()
        return self.since - before


def _estimate(value: Estimate | float) -> Estimate:
    return value if isinstance(value, Estimate) else exact(float(value))
