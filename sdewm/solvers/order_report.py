"""The report of a measured order: errors against Δt, and the order that they show or why they show none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float64

from sdewm import arguments
from sdewm.arrays import Array
from sdewm.estimate.estimates import Estimate
from sdewm.solvers.coupled_errors import OrderKind
from sdewm.solvers.order_fit import Regime

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class Convergence:
    """Errors against Δt, and the order that they show.

    Parameters
    ----------
    method, kind : the method's name; "strong" or "weak".
    dt, errors : step lengths, the largest first, and the distance of each from its reference: the root of
        E|X − X_ref|² at the final time (strong), or |E φ(X) − E φ(X_ref)| (weak).
    stderrs : the errors' standard errors.
    order : the order in the limit of short steps, its standard error, and the number of paths, see
        :func:`~sdewm.solvers.order_fit.fit_order`.
    slope : that of the straight line through log errors: an average of local orders over these step lengths.
    own_slope : that of the distances between each step length and the next one: the order of convergence to whatever
        the method converges to. A scheme with a wrong limit has an order there, and none in ``order``.
    declared : the order that the method declares, for a noise of this structure.
    regime : "asymptotic" where the errors show an order. Else there is none to be read off them: "pre-asymptotic",
        "unstable", "at rounding", "below noise", "no convergence", or "levelling off", where the reference is not what
        the method converges to.
    reason : in words why ``regime`` is not "asymptotic", and what to do.

    >>> found = convergence(gbm, x0, (0.0, 1.0), method="milstein", paths=512)
    >>> found.regime, found.declared, found.contains(found.declared)
    ('asymptotic', 1.0, True)
    """

    method: str
    kind: OrderKind
    dt: Array
    errors: Array
    stderrs: Array
    order: Estimate
    slope: Estimate
    own_slope: Estimate
    declared: float
    regime: Regime = "asymptotic"
    reason: str = ""

    @property
    def rates(self) -> Float64[np.ndarray, " lengths"]:
        """The local order between each step length and the next one."""
        return np.diff(np.log(self.errors)) / np.diff(np.log(self.dt))

    def interval(self, confidence: float = 0.99) -> tuple[float, float]:
        """Confidence interval of the order."""
        return self.order.interval(confidence)

    def contains(self, order: float, confidence: float = 0.99) -> bool:
        """Whether an order is in the interval; no order is where ``regime`` is not "asymptotic"."""
        low, high = self.interval(confidence)
        return low <= arguments.real("order", order) <= high and self.regime == "asymptotic"

    def plot(self, axes: Axes | None = None) -> Axes:
        """Draw the errors against the step, on logarithmic axes, beside the order that the method declares.

        ``axes`` are matplotlib's; new ones by default. Returns the axes. Bars are of two standard errors.

        >>> found.plot().figure.savefig("order.svg")
        """
        from sdewm.solvers.order_plot import draw_order  # takes matplotlib

        label = f"{self.method}, no order: {self.regime}"
        if self.regime == "asymptotic":
            low, high = self.interval()
            label = f"{self.method}, order {self.order.mean:.2f} [{low:.2f}, {high:.2f}]"
        return draw_order(self.dt, self.errors, self.stderrs, axes, label=label, declared=self.declared, kind=self.kind)

    def __str__(self) -> str:
        lines = [f"{self.method}, {self.kind} error, {self.slope.n} paths", f"{'Δt':>10} {'error':>20} {'rate':>6}"]
        with np.errstate(divide="ignore", invalid="ignore"):
            rates = ["", *(f"{rate:6.2f}" for rate in self.rates)]
        for dt, error, stderr, rate in zip(self.dt, self.errors, self.stderrs, rates, strict=True):
            lines.append(f"{dt:10.3g} {error:10.3e} ± {stderr:7.1e} {rate}")
        return "\n".join([*lines, self._verdict()])

    def _verdict(self) -> str:
        if self.regime != "asymptotic":
            return f"no order: {self.regime}. {self.reason[0].upper()}{self.reason[1:]}."
        low, high = self.interval()
        line = f"order {self.order.mean:.3f} [{low:.3f}, {high:.3f}] at 99 %, declared {self.declared:g}"
        if low > self.declared:
            return f"{line}: higher, as where noise is simple, or so small that the drift's error leads on these steps"
        own = f"the slope towards the method's own limit, whatever the reference, is {self.own_slope.mean:.2f}"
        return line if high >= self.declared else f"{line}: lower; {own}"
