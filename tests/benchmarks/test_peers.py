"""diffrax's schemes on our increments agree with ours, to rounding, wherever they mean the same formula."""

from __future__ import annotations

import pytest
import torch
from support import F64, normal_increments

from benchmarks.peers import WITH_DIFFRAX, Diffrax
from sdewm.noise.grid import TimeGrid
from sdewm.noise.stored_areas import StoredAreas
from sdewm.solvers.solve import solve
from sdewm.systems.sde import FunctionSDE

GRID = TimeGrid(0.2, 1.2, 12)
NOISE = normal_increments(GRID, 5, 2)
X0 = torch.tensor([0.5, -1.0], dtype=F64)
DIAGONAL = FunctionSDE(lambda t, x: torch.cos(t) - x.flip(-1), lambda t, x: 0.6 + 0.3 * torch.cos(x + t))
CROSSED = FunctionSDE(DIAGONAL.f, lambda t, x: torch.diag_embed(0.6 + 0.3 * torch.cos(x.flip(-1) + t)), "general")
needs_diffrax = pytest.mark.skipif(not WITH_DIFFRAX, reason="diffrax is not installed (pip install 'sdewm[bench]')")


def same(found, expected) -> None:
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def in_jax(solver: str, crossed: bool) -> Diffrax:
    import jax.numpy as jnp

    def diffusion(t, x):
        return jnp.diag(0.6 + 0.3 * jnp.cos((x[::-1] if crossed else x) + t))

    return Diffrax(solver, lambda t, x: jnp.cos(t) - x[::-1], diffusion, 1.0)


@needs_diffrax
@pytest.mark.parametrize("crossed", [False, True])
def test_diffrax_euler(crossed):
    found = in_jax("Euler", crossed).solve(DIAGONAL, X0.expand(5, -1), GRID, NOISE)
    same(found, solve(CROSSED if crossed else DIAGONAL, X0, GRID, noise=NOISE))


@needs_diffrax
@pytest.mark.parametrize("crossed", [False, True])
def test_diffrax_milstein(crossed):
    """Ours where the noise commutes, and where it does not, ours with the areas left out."""
    found = in_jax("ItoMilstein", crossed).solve(DIAGONAL, X0.expand(5, -1), GRID, NOISE)
    no_areas = StoredAreas(NOISE, torch.zeros(*NOISE.shape, 2, dtype=F64))
    same(found, solve(CROSSED if crossed else DIAGONAL, X0, GRID, method="milstein", noise=no_areas))
