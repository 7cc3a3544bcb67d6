"""Truncated multivariate Taylor arithmetic on torch tensors.

A `Jet` is a tensor that carries its Taylor coefficients in a few parameters, so that an ordinary function or
`nn.Module` maps jets to jets: values and all sensitivities come out of one evaluation.
"""

import importlib
import pkgutil

from sdewm.jets.gradients import gradient
from sdewm.jets.jet import (
    EdgeWarning,
    Jet,
    NonSmoothWarning,
    NotDifferentiable,
    Parameter,
    SlopeWarning,
    constant,
    shape_of,
    value_of,
)
from sdewm.jets.registry import nonsmooth_met
from sdewm.jets.space import JetSpace

__all__ = [
    "EdgeWarning",
    "Jet",
    "JetSpace",
    "NonSmoothWarning",
    "NotDifferentiable",
    "Parameter",
    "SlopeWarning",
    "constant",
    "gradient",
    "nonsmooth_met",
    "shape_of",
    "value_of",
]

for _module in pkgutil.iter_modules(__path__):  # importing a file adds its rules; new files are found
    importlib.import_module(f"{__name__}.{_module.name}")
