"""The result of a Taylor test: the rate of each remainder, and the verdict on them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple

import torch

from sdewm import arguments
from sdewm.arrays import Array
from sdewm.estimate.estimates import Estimate
from sdewm.estimate.samples import Sample
from sdewm.expansion.forms import Form
from sdewm.expansion.rates import ADVICE, FAILURES, KINDS, Outcome, Rate

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class Units(NamedTuple):
    """Powers of two about as large as the state and its derivatives, and as the loss and its own."""

    state: float
    loss: float


@dataclass(frozen=True)
class TaylorTest:
    """The result of :func:`taylor_test`. Printed, its first line is the verdict.

    The outcome of each rate is one of

    - "as expected": the interval holds the expected rate, and is no wider than ±0.25.
    - "exact": the series ends here. All later coefficients that are known are zero, and so are the remainders, up to
      rounding.
    - "derivative wrong", "order higher than expected": the interval lies below, or above, the expected rate.
    - "ε too large": the rates change so much along the ladder that their limit is not known.
    - "too wide to tell": the interval holds the expected rate, but is wider than ±0.25.
    - "below noise": a mean over paths is hidden by the sampling error.
    - "below roundoff": rounding in x0's dtype hides the remainders at too many ε of the ladder. In float32 this is
      common past ε², and does not mean that anything is wrong.

    Attributes
    ----------
    eps : the ladder, each rung half the one before.
    remainders : {(kind, order): remainder at each ε}.
    rates : {(kind, order): Rate}.
    third : {"predicted", "measured", "difference"}: the mean third-order term from jets, the limit of the weak
        remainder over ε³, and their paired difference; for order 2 in the corrected form.
    third_numerical, third_rounding : the error of that limit from extrapolation, and what rounding may contribute.
    dtype : of x0, in which the solutions were computed.
    confidence : of each rate's interval, by which it is judged.
    units : powers of two about as large as the state and the loss. The numbers of ``sample`` are in these units, so
        that their squares neither overflow nor underflow.

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

        A test that cannot determine a rate does not pass. :attr:`verdict` says whether anything failed.
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
        # ADVICE lists failures first.
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
        """Draw the remainder of each order against ε, on logarithmic axes, with the expected rates.

        ``axes`` are matplotlib's; new ones by default. ``kind`` is the kind of remainder. Returns the axes. Hollow
        markers are values that rounding hides; they are left out of the fitted rates.

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
