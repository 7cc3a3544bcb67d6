"""Losses at several times, summed."""

from __future__ import annotations

import pytest
from support import refuses

from sdewm.noise.grid import TimeGrid
from sdewm.systems.losses import SummedLoss


def test_times_that_repeat_count_as_often_as_they_are_given():
    grid = TimeGrid(0.0, 1.0, 4)
    assert SummedLoss(lambda t, x: x, [0.5, 1.0, 0.5], [1.0, 2.0, 3.0]).on(grid) == {2: 4.0, 4: 2.0}


@pytest.mark.parametrize(
    ("arguments", "fragments"),
    [(([],), ("times", "at least one", "none")), (([0.5, 1.0], [1.0]), ("weights", "expected 2", "got 1"))],
)
def test_bad_sums_are_refused(arguments, fragments):
    with refuses(ValueError, *fragments):
        SummedLoss(lambda t, x: x[:, 0], *arguments)
