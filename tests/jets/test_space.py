"""Spaces of jets, and the parameters in them."""

from __future__ import annotations

import pickle

import pytest
import torch
from hypothesis import given
from jet_oracle import F64, SPACE, examples, random_jet, seeds, spaces

from sdewm.jets import JetSpace, Parameter, constant
from sdewm.jets.jet import RULES


def test_space() -> None:
    assert SPACE.indices == ((0, 0), (1, 0), (0, 1), (2, 0), (1, 1), (0, 2))
    assert len(SPACE) == 6 and SPACE is JetSpace(parameters=2, order=2) and SPACE.lower(1) is JetSpace(2, 1)
    assert pickle.loads(pickle.dumps(SPACE)) is SPACE
    for arguments in ((0, 2), (2, -1)):
        with pytest.raises(ValueError, match="parameters >= 1"):
            JetSpace(*arguments)


@given(space=spaces, seed=seeds)
@examples
def test_parameter_shifts(space: JetSpace, seed: int) -> None:
    torch.manual_seed(seed)
    x = random_jet(space, (3,))
    for i in range(space.parameters):
        unit = constant(torch.zeros((), dtype=F64), space)
        unit.coefficients[1 + i] = 1.0
        parameter = Parameter(space, i)
        expected = (unit * x).coefficients
        torch.testing.assert_close((parameter * x).coefficients, expected)
        torch.testing.assert_close((x * parameter).coefficients, expected)
        torch.testing.assert_close((parameter * parameter.lower(x)).coefficients, expected)
        torch.testing.assert_close((x.value * parameter).coefficients, (unit * x.value).coefficients)
        assert parameter.lower(x.value) is not None and parameter.lower(x).space is space.lower(space.order - 1)


def test_parameter_is_public() -> None:
    assert isinstance(Parameter(SPACE, 1), Parameter) and "Parameter(1" in repr(Parameter(SPACE, 1))
    assert RULES[torch.tanh] is not None
