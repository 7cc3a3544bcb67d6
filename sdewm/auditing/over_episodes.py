"""Numbers over episodes. The episode is the unit, since what belongs to one is alike; error bars are their spread."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float64

from sdewm.estimate.estimates import Estimate

ONE = "one episode alone: what another one would give is not known"


def bounded(e: Estimate, confidence: float, least: float = -math.inf, most: float = math.inf) -> tuple[float, float]:
    """The interval of a number that cannot be below ``least`` or above ``most``."""
    low, high = e.interval(confidence)
    return max(low, least), min(high, most)


def mean_over(values: Float64[np.ndarray, " replicates"], n: int, seed: int | None = None) -> Estimate:
    """The mean of one value per episode ``(episodes,)``, with n samples in all."""
    return ratio_over(values, np.ones_like(values), n, seed)


def ratio_over(
    above: Float64[np.ndarray, " replicates"],
    below: Float64[np.ndarray, " replicates"],
    n: int,
    seed: int | None = None,
    *,
    power: float = 1.0,
    flags: tuple[str, ...] = (),
) -> Estimate:
    """(Σ above / Σ below)^power of values per episode ``(episodes,)``, with the standard error of a jackknife.

    One episode has no error bar: it is infinite, and flagged. ``flags`` are those of the estimate.
    """
    whole = float((above.sum() / below.sum()) ** power)
    episodes = len(above)
    if episodes < 2:
        return Estimate(whole, math.inf, n, 1, seed, (*flags, ONE))
    left = ((above.sum() - above) / (below.sum() - below)) ** power
    stderr = math.sqrt((episodes - 1) / episodes * float(np.square(left - left.mean()).sum()))
    return Estimate(whole, stderr, n, episodes - 1, seed, flags)
