"""Stochastic differential equations, the latent model and its rollouts, losses, and the checks on them."""

from sdewm.systems.blocks import BlockSizes
from sdewm.systems.calculus import to_ito, to_stratonovich
from sdewm.systems.checks import check_coefficients, check_loss
from sdewm.systems.latent import LatentSDE
from sdewm.systems.losses import NonFiniteLoss, SummedLoss
from sdewm.systems.observations import RecordedObservation
from sdewm.systems.perturbed import PerturbedSDE
from sdewm.systems.rollout import LatentRollout
from sdewm.systems.sde import SDE, FunctionSDE

__all__ = [
    "SDE",
    "BlockSizes",
    "FunctionSDE",
    "LatentRollout",
    "LatentSDE",
    "NonFiniteLoss",
    "PerturbedSDE",
    "RecordedObservation",
    "SummedLoss",
    "check_coefficients",
    "check_loss",
    "to_ito",
    "to_stratonovich",
]
