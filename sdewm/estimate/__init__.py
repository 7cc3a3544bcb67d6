"""From paths to numbers with error bars."""

from sdewm.estimate.estimates import Estimate
from sdewm.estimate.samples import Sample, sample

__all__ = [
    "Estimate",
    "Sample",
    "sample",
]
