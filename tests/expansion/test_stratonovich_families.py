"""Families of Stratonovich SDEs: their expansion, and what refuses them."""

from __future__ import annotations

import math

import pytest
from support import agrees, refuses

from sdewm import FunctionSDE, PerturbedSDE, System, TimeGrid, expand, taylor_test, to_ito

GRID = TimeGrid(0.0, 1.0, 8)


def stratonovich(f, g):
    return FunctionSDE(f, g, sde_type="stratonovich")


STRATONOVICH = PerturbedSDE(
    stratonovich(lambda t, x: -x, lambda t, x: 0.5 * x), stratonovich(lambda t, x: x, lambda t, x: 0.3 * x)
)


@pytest.mark.parametrize("method", ["heun", "milstein"])
def test_a_stratonovich_family_has_the_cross_term_of_its_correction(method):
    """x_T = x0 exp((ε − 1) T + (½ + 0.3 ε) B_T), so that E x_T² = x0² exp(2 (ε − 1) + 2 (½ + 0.3 ε)²) at T = 1."""
    found = expand(
        STRATONOVICH, lambda x: x.square().sum(-1), [0.8], TimeGrid(0.0, 1.0, 64), method=method, grids=3, paths=2**12
    )
    slope, curvature = 2 + 4 * 0.5 * 0.3, 2 * 0.3**2
    loss0 = 0.8**2 * math.exp(-2 + 2 * 0.5**2)
    truths = (loss0, loss0 * slope, loss0 * (slope**2 / 2 + curvature))
    for estimate, name, truth in zip(
        (found.loss0, found.first, found.second), ("loss0", "first", "second"), truths, strict=True
    ):
        assert agrees(estimate, truth, comparisons=6, bias=10 * found.bias_left[name])
    # Without the term ½ ε (∂g[η] + ∂η[g]) the first coefficient would be a tenth smaller.
    assert not agrees(found.first, 0.3339, bias=10 * found.bias_left["first"])
    assert taylor_test(STRATONOVICH, lambda x: x.sum(-1), [0.8], TimeGrid(0.0, 1.0, 8), method=method, paths=512).passed


def test_an_error_without_diffusion_goes_with_either_calculus():
    drift = FunctionSDE(lambda t, x: x)
    one, two = (
        expand(PerturbedSDE(STRATONOVICH.base, error), lambda x: x.sum(-1), [0.8], GRID, method="heun", paths=64)
        for error in (drift, stratonovich(lambda t, x: x, None))
    )
    assert one.first == two.first


def test_an_error_that_was_converted_by_itself_is_refused():
    base, error = STRATONOVICH.base, STRATONOVICH.error
    with refuses(ValueError, "error: expected one that is written in the family's calculus"):
        PerturbedSDE(to_ito(base), to_ito(error))
    with refuses(ValueError, "error.sde_type: expected 'stratonovich', as the base has, got 'ito'"):
        PerturbedSDE(base, FunctionSDE(lambda t, x: x, lambda t, x: x))


def test_what_the_paper_says_of_ito_equations_refuses_stratonovich_families():
    problem = STRATONOVICH, lambda x: x.sum(-1), [0.8], GRID
    with refuses(ValueError, "family: expected an Itô family"):
        System(*problem, method="heun")
    with refuses(ValueError, "method: 'euler' is for Itô SDEs"):
        expand(*problem, form="printed")
