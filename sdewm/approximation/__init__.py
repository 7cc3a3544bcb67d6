"""Section 3.1 and Appendix A: manifolds with a density, and the oracle maps between them and a ball."""

from sdewm.approximation.densities import DiskMeasure, IntervalMeasure
from sdewm.approximation.manifolds import Manifold
from sdewm.approximation.moser import MoserMap
from sdewm.approximation.quantiles import QuantileMap

__all__ = [
    "DiskMeasure",
    "IntervalMeasure",
    "Manifold",
    "MoserMap",
    "QuantileMap",
]
