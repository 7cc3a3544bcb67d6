"""Numerical SDE simulation and verification toolkit for the theory of world models under representation errors."""

from sdewm.divergence.lipschitz import SlopeNetwork
from sdewm.divergence.path_bounds import PathBounds, certify
from sdewm.divergence.policy import LocalMaximizer
from sdewm.estimate.estimates import Estimate
from sdewm.expansion.expected_loss import expand
from sdewm.expansion.power_series import BeyondRadius, Expansion
from sdewm.expansion.rates import Rate
from sdewm.expansion.taylor import taylor_test
from sdewm.expansion.taylor_result import TaylorTest
from sdewm.expansion.to_tolerance import ToleranceNotReached, WithinTolerance, expand_to
from sdewm.jets import gradient, value_of
from sdewm.noise.brownian import BrownianPath, BrownianSampler
from sdewm.noise.grid import TimeGrid
from sdewm.noise.samplers import AntitheticMonteCarlo, CounterMonteCarlo, MonteCarlo, QuasiMonteCarlo
from sdewm.sensitivity import FundamentalMatrixSDE, SensitivitySDE, fundamental_matrix, initial_value_derivatives
from sdewm.solvers.adaptive import AdaptiveSolution, ShortestStepReached, solve_adaptive
from sdewm.solvers.base import NonFiniteState
from sdewm.solvers.order_report import Convergence
from sdewm.solvers.orders import compare_methods, convergence
from sdewm.solvers.solve import solve
from sdewm.systems.blocks import BlockSizes
from sdewm.systems.calculus import to_ito, to_stratonovich
from sdewm.systems.in_time import InTime
from sdewm.systems.latent import LatentSDE
from sdewm.systems.losses import NonFiniteLoss, SummedLoss
from sdewm.systems.observations import RecordedObservation
from sdewm.systems.perturbed import PerturbedSDE
from sdewm.systems.rollout import LatentRollout
from sdewm.systems.sde import SDE, FunctionSDE
from sdewm.verification.conformity import Conformity, check_sde
from sdewm.verification.system import System
from sdewm.verification.system_report import Report
from sdewm.verification.verify import verify
from sdewm.version import __version__ as __version__

__all__ = [
    "SDE",
    "AdaptiveSolution",
    "AntitheticMonteCarlo",
    "BeyondRadius",
    "BlockSizes",
    "BrownianPath",
    "BrownianSampler",
    "Conformity",
    "Convergence",
    "CounterMonteCarlo",
    "Estimate",
    "Expansion",
    "FunctionSDE",
    "FundamentalMatrixSDE",
    "InTime",
    "LatentRollout",
    "LatentSDE",
    "LocalMaximizer",
    "MonteCarlo",
    "NonFiniteLoss",
    "NonFiniteState",
    "PathBounds",
    "PerturbedSDE",
    "QuasiMonteCarlo",
    "Rate",
    "RecordedObservation",
    "Report",
    "SensitivitySDE",
    "ShortestStepReached",
    "SlopeNetwork",
    "SummedLoss",
    "System",
    "TaylorTest",
    "TimeGrid",
    "ToleranceNotReached",
    "WithinTolerance",
    "certify",
    "check_sde",
    "compare_methods",
    "convergence",
    "expand",
    "expand_to",
    "fundamental_matrix",
    "gradient",
    "initial_value_derivatives",
    "solve",
    "solve_adaptive",
    "taylor_test",
    "to_ito",
    "to_stratonovich",
    "value_of",
    "verify",
]
