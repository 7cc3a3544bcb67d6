"""Brownian increments: the time grid, how paths are drawn, their areas."""

from sdewm.noise.brownian import BrownianNode, BrownianPath, BrownianSampler
from sdewm.noise.grid import TimeGrid
from sdewm.noise.increments import (
    BridgeIncrements,
    CountedIncrements,
    Increments,
    StoredIncrements,
    StreamedIncrements,
)
from sdewm.noise.integrals import iterated_integrals, stratonovich_integrals
from sdewm.noise.samplers import AntitheticMonteCarlo, CounterMonteCarlo, MonteCarlo, QuasiMonteCarlo, Sampler

__all__ = [
    "AntitheticMonteCarlo",
    "BridgeIncrements",
    "BrownianNode",
    "BrownianPath",
    "BrownianSampler",
    "CountedIncrements",
    "CounterMonteCarlo",
    "Increments",
    "MonteCarlo",
    "QuasiMonteCarlo",
    "Sampler",
    "StoredIncrements",
    "StreamedIncrements",
    "TimeGrid",
    "iterated_integrals",
    "stratonovich_integrals",
]
