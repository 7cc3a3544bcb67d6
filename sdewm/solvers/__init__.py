"""Steppers, the loop that applies them, and what their orders are."""

from sdewm.solvers.base import NonFiniteState, Stepper
from sdewm.solvers.held_structure import OtherStructure
from sdewm.solvers.loop import trajectory, walk
from sdewm.solvers.methods import Method
from sdewm.solvers.order_report import Convergence
from sdewm.solvers.orders import compare_methods, convergence
from sdewm.solvers.registry import METHODS, register
from sdewm.solvers.solve import solve
from sdewm.solvers.structure import NoiseStructure, noise_structure

__all__ = [
    "METHODS",
    "Convergence",
    "Method",
    "NoiseStructure",
    "NonFiniteState",
    "OtherStructure",
    "Stepper",
    "compare_methods",
    "convergence",
    "noise_structure",
    "register",
    "solve",
    "trajectory",
    "walk",
]
