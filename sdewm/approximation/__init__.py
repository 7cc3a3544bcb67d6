"""Section 3.1 and Appendix A: manifolds with a density, the oracle maps to a ball and back, and CNNs that come near."""

from sdewm.approximation.cnn import CNN, Convolution, Downsampling, ridge_network
from sdewm.approximation.densities import DiskMeasure, IntervalMeasure
from sdewm.approximation.manifolds import Manifold
from sdewm.approximation.moser import MoserMap
from sdewm.approximation.quantiles import QuantileMap

__all__ = [
    "CNN",
    "Convolution",
    "DiskMeasure",
    "Downsampling",
    "IntervalMeasure",
    "Manifold",
    "MoserMap",
    "QuantileMap",
    "ridge_network",
]
