"""Kolmogorov's distance of a sample from a distribution or from another sample, with a proven bound on its error."""

from __future__ import annotations

import math

import numpy as np
import scipy
from jaxtyping import Float64

from sdewm.estimate.estimates import Estimate

# Massart's bound P(√n D > c) ≤ 2 exp(−2c²) gives the critical value c(α) = √(½ ln 2/α). 0.7 times the normal quantile
# is larger for every significance α up to 5 %. So a test of D = 0 fails by chance at its stated rate at most.
_SPREAD = 0.7
# The smallest size of each of two samples.
FEWEST = 458


def distance(probabilities: Float64[np.ndarray, " points"], seed: int | None = None) -> Estimate:
    """Kolmogorov's distance D between a sample and its supposed distribution F, from F at the sample ``(n,)``.

    D tends to zero where the distribution is right. With the standard error given here, a two-sided test of D = 0 is
    conservative at every significance up to 5 % (Dvoretzky, Kiefer, Wolfowitz; Massart 1990). The values of the sample
    must be independent.
    """
    n = len(probabilities)
    return Estimate(float(scipy.stats.kstest(probabilities, "uniform").statistic), _SPREAD / math.sqrt(n), n, seed=seed)


def distance_between(x: Float64[np.ndarray, " _"], y: Float64[np.ndarray, " _"], seed: int | None = None) -> Estimate:
    """Kolmogorov's distance D between two independent samples ``(n,)`` of equal size, n ≥ 458.

    As in :func:`distance`, with n/2 in place of n: Massart's bound holds so for two samples of at least 458 values each
    (Wei and Dudley 2012). ``ValueError`` if the samples are smaller, or of different sizes.
    """
    if len(x) != len(y) or len(x) < FEWEST:
        raise ValueError(f"y: expected two samples of one size, {FEWEST} or more, got {len(x)} and {len(y)}")
    return Estimate(float(scipy.stats.ks_2samp(x, y).statistic), _SPREAD / math.sqrt(len(x) / 2), len(x), seed=seed)


def paths_for(deviation: float, significance: float, power: float = 0.95) -> int:
    """The sample size at which a test at this ``significance`` finds a distance ``deviation`` with this ``power``."""
    threshold = _SPREAD * float(scipy.stats.norm.isf(significance / 2))
    return math.ceil(((threshold + math.sqrt(0.5 * math.log(2 / (1 - power)))) / deviation) ** 2)
