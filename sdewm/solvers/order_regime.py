"""Whether errors at several step lengths show an order of convergence, and if not, why.

Where the reference is not what the method converges to, errors level off at the distance between the two limits. On
longer steps they look like errors of a lower order. Distances between the solutions at successive step lengths need no
reference, and fall as errors do: each is a multiple of the error at the shorter of its two lengths, up to a factor
1 + c h. So errors are fitted by a constant plus such multiples. Where the constant is surely not 0, errors level off.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from jaxtyping import Float64

from sdewm.arrays import Array
from sdewm.estimate.estimates import Estimate

Regime = Literal[
    "asymptotic", "pre-asymptotic", "unstable", "at rounding", "below noise", "levelling off", "no convergence"
]

MISFIT = 1e-3  # the significance of the test of what the fit leaves over
SEEN = 5.0  # how many standard errors a difference of either sign must be away from 0, for its logarithm to be normal
ABOVE_ROUNDING = 30.0  # how far above rounding an error must be, for rounding not to bend the slope
APART = 2.0  # how many times the distance between the last two solutions errors must level off at, to be sure of it
FLAT = 0.1  # errors of a lower order than this do not go to 0 on any grid


def regime_of(
    dt: Float64[np.ndarray, " lengths"],
    means: Float64[np.ndarray, "lengths groups"],
    power: float,
    *,
    slope: Estimate,
    p_value: float,
    size: float,
    rounding: float,
    successive: Float64[np.ndarray, "_ groups"] | None,
) -> tuple[Regime, str]:
    """The regime of the errors ``|E means|^power``, and in words why it is not "asymptotic" and what to do.

    ``slope`` is that of the straight line through the log errors, ``p_value`` that of the fitted law. The other
    arguments are those of :func:`~sdewm.solvers.order_fit.fit_order`.

    >>> h = 2.0 ** -np.arange(3, 8)
    >>> means = np.repeat(h[:, None] ** 2, 64, 1)
    >>> slope = Estimate(1.0, 0.01, 2048, 63, 0)
    >>> regime_of(h, means, 0.5, slope=slope, p_value=0.5, size=0.1, rounding=0.0, successive=None)
    ('unstable', 'at Δt = 0.125 the error is larger than the solution itself; use shorter steps')
    """
    whole, groups = means.mean(1), means.shape[1]
    errors, spread = np.abs(whole) ** power, means.std(1, ddof=1) / math.sqrt(groups)
    if (errors > size).any():
        last = float(dt[errors > size][-1])
        return "unstable", f"at Δt = {last:.3g} the error is larger than the solution itself; use shorter steps"
    if errors.min() < ABOVE_ROUNDING * rounding:
        first = float(dt[errors < ABOVE_ROUNDING * rounding][0])
        return "at rounding", (
            f"at Δt = {first:.3g} the error is within {ABOVE_ROUNDING:g} times rounding; use longer steps"
        )
    if power == 1 and (np.abs(whole) < SEEN * spread).any():
        return "below noise", (
            f"an error is within {SEEN:g} standard errors of 0; draw more paths, or use longer steps"
        )
    if successive is not None and (floor := _floor(dt, means, successive, power, rounding)):
        apart = np.abs(successive.mean(1)) ** power
        return "levelling off", (
            f"the errors level off at {floor:.2g}, while solutions at successive step lengths come together, the last "
            f"two to {apart[-1]:.2g}: the reference is not the method's limit"
        )
    if successive is not None and slope.mean + SEEN * slope.stderr < FLAT:
        return "no convergence", (
            f"the errors stay at {errors[-1]:.2g}, and solutions at successive step lengths do not come together; use "
            "shorter steps, and where that changes nothing the method does not converge"
        )
    if p_value < MISFIT:
        law, cure = (
            ("C h^p (1 + c h + …)", "") if len(dt) > 3 else ("C h^p", ", or a fourth length to see the next term")
        )
        return "pre-asymptotic", f"the errors follow no {law}, p-value {p_value:.1g}; use shorter steps{cure}"
    return "asymptotic", ""


def _floor(dt: Array, means: Array, successive: Array, power: float, rounding: float) -> float:
    """Where errors level off; 0 where they may go to 0."""
    errors, apart, groups = means[1:], successive, means.shape[1]
    last = float(np.abs(errors[-1].mean()))
    if (np.abs(apart.mean(1)) ** power < ABOVE_ROUNDING * rounding).all():
        return last**power  # the method is exact, and the reference is another one

    def constant(errors: Array, apart: Array) -> Array:
        """The constant in each of some fits, over the last error; all errors weigh the same."""
        columns = [1 / errors, apart / errors, dt[1:, None] * apart / errors][: len(errors)]
        return np.linalg.pinv(np.stack(columns, -1).swapaxes(0, 1)).sum(-1)[:, 0] / errors[-1]

    def left_out(values: Array) -> Array:
        return (values.sum(1, keepdims=True) - values) / (groups - 1)

    if not (errors.mean(1).all() and left_out(errors).all()):
        return 0.0
    [found] = constant(errors.mean(1, keepdims=True), apart.mean(1, keepdims=True))
    without = constant(left_out(errors), left_out(apart))
    stderr = math.sqrt((groups - 1) / groups * float(((without - without.mean()) ** 2).sum()))
    floor = float(max(found, 0.0) * last) ** power
    seen = found > SEEN * stderr and floor > APART * float(np.abs(apart[-1].mean())) ** power
    return floor if seen else 0.0
