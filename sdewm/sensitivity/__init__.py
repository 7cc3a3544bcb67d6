"""Sensitivities of solutions: the fundamental matrix Φ and its inverse, derivatives in ε and in the initial value.

Each comes by several routes that must agree: jets through the solver's own steps, and SDEs of their own.
"""

from sdewm.sensitivity.commuting import (
    DoNotCommute,
    commutator_term,
    commutators,
    commuting_flow,
    flow_exponent,
    jacobians_along,
)
from sdewm.sensitivity.initial_value import (
    InitialValueDerivatives,
    ShiftedStart,
    fundamental_matrix,
    initial_value_derivatives,
)
from sdewm.sensitivity.steps import along, first_derivatives, jacobian, second_derivative, step_jacobians
from sdewm.sensitivity.systems import (
    CoefficientOf,
    FundamentalMatrixSDE,
    InverseMatrixSDE,
    Prolongation,
    SecondVariationSDE,
    SensitivitySDE,
)

__all__ = [
    "CoefficientOf",
    "DoNotCommute",
    "FundamentalMatrixSDE",
    "InitialValueDerivatives",
    "InverseMatrixSDE",
    "Prolongation",
    "SecondVariationSDE",
    "SensitivitySDE",
    "ShiftedStart",
    "along",
    "commutator_term",
    "commutators",
    "commuting_flow",
    "first_derivatives",
    "flow_exponent",
    "fundamental_matrix",
    "initial_value_derivatives",
    "jacobian",
    "jacobians_along",
    "second_derivative",
    "step_jacobians",
]
