"""The order of convergence, fitted to errors at several step lengths.

An error C h^p (1 + c h + …) has local orders that differ from p by a multiple of h, and a straight line through log
error against log h misses p as soon as there are enough paths to see that. So log C + p log h + c h is fitted, what the
fit leaves over is tested, and a term in h² is added where that is more than noise. Three step lengths leave nothing
over: there the straight line is tested, and where it fails nobody can tell whether c h is all that it lacks.

Errors at different h are strongly correlated, and a regression's own standard error would be wrong: all intervals come
from a jackknife over groups of paths.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import scipy
from jaxtyping import Float64

from sdewm.arrays import Array
from sdewm.estimate.estimates import Estimate
from sdewm.solvers.order_regime import MISFIT, Regime, regime_of


@dataclass(frozen=True)
class OrderFit:
    """What errors at several step lengths say about the order.

    ``order`` is the limit of the local order as h → 0, with the error's next term fitted. ``slope`` is that of the
    straight line, an average of local orders over these step lengths. In a ``regime`` other than "asymptotic" neither
    is the method's order; ``reason`` says why, and what to do. ``change`` is what the law's last fitted
    term changed ``order`` by, of either sign: terms that are left out have it off by as much at most, where each of
    them changes it by at most half of what the one before did.
    """

    slope: Estimate
    order: Estimate
    change: float
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
        return OrderFit(none, none, math.nan, "at rounding", "an error is exactly 0: the method is exact here")
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
    change = order.mean - float(np.linalg.pinv(curve[:, :-1])[1] @ logs)
    regime, reason = regime_of(
        dt, means, power, slope=slope, p_value=p_value, size=size, rounding=rounding, successive=successive
    )
    return OrderFit(slope, order, change, regime, reason)


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
