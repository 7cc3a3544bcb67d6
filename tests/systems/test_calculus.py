"""Itô and Stratonovich: conversion, and methods that are for one of them."""

from __future__ import annotations

import torch
from noise_structures import GRID, SYSTEMS, start
from support import F64, refuses

from sdewm.solvers.solve import solve
from sdewm.systems.calculus import to_ito, to_stratonovich
from sdewm.systems.sde import FunctionSDE

# -- Itô and Stratonovich


def test_conversion_of_a_known_system():
    """dx = σ x ∘ dB is dx = ½σ² x dt + σ x dB."""
    sde = FunctionSDE(None, lambda t, x: 0.6 * x, sde_type="stratonovich")
    x, t = torch.linspace(-1, 1, 6, dtype=F64).view(3, 2), torch.tensor(0.0, dtype=F64)
    torch.testing.assert_close(to_ito(sde).f(t, x), 0.18 * x)
    assert torch.equal(to_ito(sde).g(t, x), sde.g(t, x))


# -- errors


def test_the_calculus_is_checked():
    ito, x0 = SYSTEMS["diagonal"], start("diagonal")
    noise = torch.zeros(8, 5, 2, dtype=F64)
    with refuses(ValueError, "method: 'heun' is for Stratonovich SDEs, got one of sde_type 'ito'", "to_stratonovich"):
        solve(ito, x0, GRID, method="heun", noise=noise)
    other = to_stratonovich(ito)
    for method in ("euler", "euler-sequential", "sri2", "platen-weak"):
        with refuses(
            ValueError, "is for Itô SDEs, got one of sde_type 'stratonovich'", "['heun', 'milstein', ", "to_ito"
        ):
            solve(other, x0, GRID, method=method, noise=noise)
    with refuses(ValueError, "sde.sde_type: expected 'stratonovich', got 'ito'"):
        to_ito(ito)
    with refuses(ValueError, "sde_type: expected 'ito' or 'stratonovich', got 'backward'"):
        FunctionSDE(sde_type="backward")
