"""Numerical SDE simulation and verification toolkit for the theory of world models under representation errors."""

from sdewm.brownian import BrownianPath, BrownianSampler
from sdewm.calculus import to_ito, to_stratonovich
from sdewm.convergence import Convergence, convergence, convergences
from sdewm.expansion import BeyondRadius, Expansion, expand
from sdewm.jets import gradient, value_of
from sdewm.latent import BlockSizes, LatentSDE, RecordedObservation
from sdewm.lipschitz import SlopeNetwork
from sdewm.losses import NonFiniteLoss, SummedLoss
from sdewm.montecarlo import Estimate
from sdewm.noise import AntitheticMonteCarlo, MonteCarlo, QuasiMonteCarlo, TimeGrid
from sdewm.policy import LocalMaximizer
from sdewm.rollout import LatentRollout
from sdewm.sde import SDE, FunctionSDE, PerturbedSDE
from sdewm.sensitivity import (
    FundamentalMatrixSDE,
    SensitivitySDE,
    fundamental_matrix,
    initial_value_derivatives,
)
from sdewm.solvers import NonFiniteState, solve
from sdewm.taylor import Rate, TaylorTest, taylor_test

__version__ = "0.1.0"

__all__ = [
    "SDE",
    "AntitheticMonteCarlo",
    "BeyondRadius",
    "BlockSizes",
    "BrownianPath",
    "BrownianSampler",
    "Convergence",
    "Estimate",
    "Expansion",
    "FunctionSDE",
    "FundamentalMatrixSDE",
    "LatentRollout",
    "LatentSDE",
    "LocalMaximizer",
    "MonteCarlo",
    "NonFiniteLoss",
    "NonFiniteState",
    "PerturbedSDE",
    "QuasiMonteCarlo",
    "Rate",
    "RecordedObservation",
    "SensitivitySDE",
    "SlopeNetwork",
    "SummedLoss",
    "TaylorTest",
    "TimeGrid",
    "convergence",
    "convergences",
    "expand",
    "fundamental_matrix",
    "gradient",
    "initial_value_derivatives",
    "solve",
    "taylor_test",
    "to_ito",
    "to_stratonovich",
    "value_of",
]
