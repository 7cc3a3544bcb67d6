"""Pilot paths go further out than a run's, and what coefficients say there is not listened to."""

from __future__ import annotations

import torch
from support import F64, normal_increments
from torch import Tensor

from sdewm import (
    FunctionSDE,
    TimeGrid,
    solve,
)

GRID = TimeGrid(0.2, 1.2, 4)


# -- losses


class OutOfDomain(Exception):
    pass


def test_what_a_coefficient_says_of_states_that_no_path_meets_is_not_listened_to():
    """The pilot's paths go further out than a run's, and a user's own error there ends nothing."""
    asked = []

    def guarded(t: Tensor, x: Tensor) -> Tensor:
        asked.append(float(x.abs().max()))
        if asked[-1] > 1.0:
            raise OutOfDomain
        return -x

    sde = FunctionSDE(guarded, lambda t, x: torch.full_like(x, 0.1))
    found = solve(sde, torch.zeros(2, dtype=F64), GRID, noise=0.1 * normal_increments(GRID, 3, 2))
    assert bool(torch.isfinite(found).all())
    asked.clear()
    wide = FunctionSDE(guarded, lambda t, x: torch.full_like(x, 0.4))
    assert bool(
        torch.isfinite(solve(wide, torch.zeros(2, dtype=F64), GRID, noise=normal_increments(GRID, 3, 2) / 9)).all()
    )
    assert max(asked) > 1.0
