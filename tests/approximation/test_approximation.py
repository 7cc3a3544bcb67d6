"""Examples in the docstrings of the folder."""

from __future__ import annotations

import doctest
import importlib

import pytest


@pytest.mark.parametrize("name", ["circle", "coverings", "densities", "manifolds", "moser", "quantiles", "smoothness"])
def test_examples(name):
    assert doctest.testmod(importlib.import_module(f"sdewm.approximation.{name}")).failed == 0
