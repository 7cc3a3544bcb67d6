"""The order of convergence from errors at several step lengths, and whether they show one.

An error C h^p (1 + c h + …) has local orders that differ from p by a multiple of h, and a straight line through log
error against log h misses p as soon as there are enough paths to see that. So log C + p log h + c h is fitted, what the
fit leaves over is tested, and a term in h² is added where that is more than noise. Three step lengths leave nothing
over: there the straight line is tested, and where it fails nobody can tell whether c h is all that it lacks.

Where the reference is not what the method converges to, errors level off at the distance between the two, and until
then look like those of a lower order. Distances between the solutions at successive step lengths need no reference, and
fall as errors do: each is a multiple of the error at the shorter of its two lengths, up to a factor 1 + c h. What a fit
of errors by such multiples lacks is a constant, and a constant that is there for sure is where errors level off.

Errors at different h are strongly correlated, and a regression's own standard error would be wrong: all intervals come
from a jackknife over groups of paths.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy
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


@dataclass(frozen=True)
class OrderFit:
    """What errors at several step lengths say about the order.

    ``order`` is the limit of the local order as h → 0, with the error's next term fitted. ``slope`` is that of the
    straight line, an average of local orders over these step lengths. In a ``regime`` other than "asymptotic" neither
    is the method's order; ``reason`` says why, and what to do.
    """

    slope: Estimate
    order: Estimate
    regime: Regime
    reason: str


def fit_order(
    dt: Float64[np.ndarray, " lengths"],
    means: Float64[np.ndarray, "lengths groups"],
    power: float,
    *,
    paths: int,
    seed: int,
    size: float = math.inf,
    rounding: float = 0.0,
    successive: Float64[np.ndarray, "_ groups"] | None = None,
) -> OrderFit:
    """Fit the order to the errors ``|E means|^power``.

    Parameters
    ----------
    dt : step lengths ``(lengths,)``, at least three, the longest first.
    means : of each group of paths at each step length, ``(lengths, groups)``: of the squared error with power ½, or of
        a signed difference with power 1.
    size : that of the solution itself: a larger error says nothing about an order.
    rounding : the error that rounding alone may be expected to make.
    successive : the same as ``means``, between the solutions at each step length and the next one, ``(lengths - 1,
        groups)``; with it, errors that level off are told.

    Example
    -------
    >>> h = 2.0 ** -np.arange(3, 8)
    >>> noise = np.random.default_rng(0).normal(size=(1, 64))  # the same at each step length
    >>> fit_order(h, (h**2 * (1 + h))[:, None] * (1 + 0.1 * noise), 0.5, paths=2048, seed=0).order.mean
    0.999
    """
    groups = means.shape[1]
    whole = means.mean(1)
    if not whole.all():
        none = Estimate(math.nan, math.inf, paths, groups - 1, seed)
        return OrderFit(none, none, "at rounding", "an error is exactly 0: the method is exact here")
    total = means.sum(1, keepdims=True)
    left_out = power * np.log(np.abs((total - means) / (groups - 1)))
    logs = power * np.log(np.abs(whole))
    line = np.stack([np.ones_like(dt), np.log(dt)], 1)
    curve = np.column_stack([line, dt])
    p_value = _misfit(curve if len(dt) > 3 else line, logs, left_out)
    if p_value < MISFIT and len(dt) > 4:
        curve = np.column_stack([curve, dt**2])
        p_value = _misfit(curve, logs, left_out)
    slope, order = (_jackknife(np.linalg.pinv(design)[1], logs, left_out, paths, seed) for design in (line, curve))
    regime: Regime = "asymptotic"
    reason = ""
    errors, spread = np.abs(whole) ** power, means.std(1, ddof=1) / math.sqrt(groups)
    if (errors > size).any():
        regime, last = "unstable", float(dt[errors > size][-1])
        reason = f"at Δt = {last:.3g} the error is larger than the solution itself; use shorter steps"
    elif errors.min() < ABOVE_ROUNDING * rounding:
        regime, first = "at rounding", float(dt[errors < ABOVE_ROUNDING * rounding][0])
        reason = f"at Δt = {first:.3g} the error is within {ABOVE_ROUNDING:g} times rounding; use longer steps"
    elif power == 1 and (np.abs(whole) < SEEN * spread).any():
        regime = "below noise"
        reason = f"an error is within {SEEN:g} standard errors of 0; draw more paths, or use longer steps"
    elif successive is not None and (floor := _floor(dt, means, successive, power, rounding)):
        regime = "levelling off"
        apart = np.abs(successive.mean(1)) ** power
        reason = (
            f"the errors level off at {floor:.2g}, while solutions at successive step lengths come together, the last "
            f"two to {apart[-1]:.2g}: the reference is not the method's limit"
        )
    elif successive is not None and slope.mean + SEEN * slope.stderr < FLAT:
        regime = "no convergence"
        reason = (
            f"the errors stay at {errors[-1]:.2g}, and solutions at successive step lengths do not come together; use "
            "shorter steps, and where that changes nothing the method does not converge"
        )
    elif p_value < MISFIT:
        regime = "pre-asymptotic"
        law, cure = (
            ("C h^p (1 + c h + …)", "") if len(dt) > 3 else ("C h^p", ", or a fourth length to see the next term")
        )
        reason = f"the errors follow no {law}, p-value {p_value:.1g}; use shorter steps{cure}"
    return OrderFit(slope, order, regime, reason)


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


def _jackknife(weights: Array, logs: Array, left_out: Array, paths: int, seed: int) -> Estimate:
    """A linear function of log errors, with its delete-one-group standard error."""
    values, groups = weights @ left_out, left_out.shape[1]
    stderr = math.sqrt((groups - 1) / groups * float(((values - values.mean()) ** 2).sum()))
    return Estimate(float(weights @ logs), stderr, paths, groups - 1, seed)


def _misfit(design: Array, logs: Array, left_out: Array) -> float:
    """The p-value of Hotelling's T² for what a fit leaves of the log errors; 1 where it can describe them all."""
    contrasts = scipy.linalg.null_space(design.T).T
    (k, _), groups = contrasts.shape, left_out.shape[1]
    if k == 0:
        return 1.0
    deviation = contrasts @ (left_out - left_out.mean(1, keepdims=True))
    covariance = (groups - 1) / groups * deviation @ deviation.T
    found = contrasts @ logs
    t_squared = float(found @ np.linalg.lstsq(covariance, found, rcond=None)[0])
    return float(scipy.stats.f.sf(t_squared * (groups - k) / (k * (groups - 1)), k, groups - k))
