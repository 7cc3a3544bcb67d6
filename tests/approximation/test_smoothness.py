"""Derivatives by differences."""

from __future__ import annotations

import pytest
from balls import ball

from sdewm.approximation.smoothness import third_derivatives


def test_third_derivatives_of_a_cubic():
    x = ball(2)
    cubic = third_derivatives(lambda x: x**3, x, 0.05)
    assert cubic[0, :, 0] == pytest.approx(6.0, abs=1e-9) and cubic[0, :, 1] == pytest.approx(0.0, abs=1e-9)
