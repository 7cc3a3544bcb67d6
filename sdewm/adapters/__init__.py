"""World models of other libraries, and of anyone's functions, as what this library works with."""

from sdewm.adapters.dreamerv3_torch import DiscreteLatents, from_dreamerv3_torch
from sdewm.adapters.gaussian_rssm import GaussianRSSM, Recording
from sdewm.adapters.own_agent import as_recording, from_agent
from sdewm.adapters.torchrl import from_torchrl

__all__ = [
    "DiscreteLatents",
    "GaussianRSSM",
    "Recording",
    "as_recording",
    "from_agent",
    "from_dreamerv3_torch",
    "from_torchrl",
]
