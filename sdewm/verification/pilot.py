"""Sample sizes from a pilot run, which measures the spread of the quantities."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from sdewm.arrays import Array
from sdewm.estimate.estimates import Estimate
from sdewm.estimate.samples import Sample, richardson
from sdewm.expansion.power_series import second_coefficient
from sdewm.expansion.variation_of_constants import TERMS
from sdewm.verdicts.judge import DOUBT
from sdewm.verification.once import once_for_system
from sdewm.verification.samples import VARIATION, sample_routes, sampler
from sdewm.verification.settings import Settings
from sdewm.verification.system import Sizes, System

PILOT = 2**8
# The largest size of one round. If that does not decide a row, later looks take several rounds.
MOST = 2**15
# The largest size for telling a coefficient from 0, since the coefficient may be 0.
ENOUGH = 2**12
BY_DEFAULT = Sizes(PILOT, PILOT)
# Errors fall like paths to minus this power; for quasi-Monte Carlo and smooth losses even faster.
POWER = {"rqmc": 0.75, "mc": 0.5, "antithetic": 0.5}


@once_for_system
def round_sizes(system: System, settings: Settings, h: float) -> Sizes:
    """The sample sizes of one round at the required precision: those that the system states, or those from a pilot run.

    ``h`` is the distance between two ε of :func:`~sdewm.verification.samples.sample_routes`.
    """
    if system.sizes is not None:
        stated = system.sizes
        # Never fewer than stated: paired differences vary little, and the stated sample is small already.
        paired = max(stated.paired, settings.paths(stated.paired))
        return replace(stated, paths=settings.paths(stated.paths), paired=paired)
    pilot = sample_routes(system, sampler(system, settings, PILOT, 0, purpose=3), h)
    terms = paired = PILOT
    # Terms decide verdicts only if exact values are known; otherwise they are for the reader.
    most = ENOUGH if system.truth is None else MOST
    for loss in system.losses:
        for on_grids in zip(*(_coefficients(pilot, f"{loss}|jets", i) for i in range(system.grids)), strict=True):
            # A coefficient can be verified only if its interval excludes 0.
            found = pilot.estimate(richardson(list(on_grids))[0])
            paired = max(paired, min(ENOUGH, _paths(found, abs(found.mean), settings)))
        for values in _coefficients(pilot, f"{loss}|jets"):
            found = pilot.estimate(values)
            size = math.hypot(found.mean, found.stderr * math.sqrt(PILOT))
            terms = max(terms, min(most, _paths(found, settings.precision * size, settings)))
        if system.has_limit:
            by_jets = _coefficients(pilot, f"{loss}|jets")
            for jets, formula in zip(by_jets, _coefficients(pilot, f"{loss}|{VARIATION}"), strict=True):
                size = math.hypot(float(jets.mean()), float(jets.std(ddof=1)) * math.sqrt(PILOT / len(jets)))
                margin = system.formula_factor * settings.precision * size
                paired = max(paired, _paths(pilot.estimate(formula - jets), margin, settings))
    return replace(BY_DEFAULT, paths=terms, paired=paired)


def _coefficients(pilot: Sample, prefix: str, halvings: int = 0) -> tuple[Array, Array]:
    terms = {name: np.asarray(pilot[f"{prefix}|{name}/{halvings}"]) for name in TERMS}
    return terms["P"] + terms["P~"], second_coefficient(terms, "corrected")


def _paths(found: Estimate, margin: float, settings: Settings) -> int:
    """The number of paths, a power of two, for which the interval at the first look fits into half of the margin."""
    if not (margin > 0 and math.isfinite(found.stderr)):
        return PILOT
    ratio = found.half_width(1 - DOUBT / 2) / (margin / 2)
    return 2 ** math.ceil(math.log2(min(MOST, PILOT * max(1.0, ratio) ** (1 / POWER[settings.sampler]))))
