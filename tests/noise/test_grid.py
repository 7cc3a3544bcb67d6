"""The time grid: its times, whatever their scale, and what is no grid."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sampled_increments import GRID
from support import refuses

from sdewm.noise.grid import TimeGrid


def test_grid_times_and_indices():
    grid = TimeGrid(-1.0, 2.0, 30)
    assert grid.dt == pytest.approx(0.1)
    assert grid.time(0) == -1.0 and grid.time(30) == 2.0
    assert [grid.index(grid.time(i)) for i in range(31)] == list(range(31))
    assert grid.coarsen(3) == TimeGrid(-1.0, 2.0, 10)


@pytest.mark.parametrize(
    ("arguments", "fragments"),
    [
        ((1.0, 1.0, 4), ("t0, t1", "t0 < t1", "t0=1.0, t1=1.0")),
        ((0.0, math.inf, 4), ("t1", "finite", "inf")),
        ((math.nan, 1.0, 4), ("t0", "finite", "nan")),
        ((0.0, 1.0, 0), ("steps", "integer of at least 1", "0")),
        ((0.0, 1.0, -3), ("steps", "integer of at least 1", "-3")),
        ((0.0, 1.0, 2.5), ("steps", "integer of at least 1", "2.5")),
        ((1.7e9, 1.7e9 + 1, 2**20), ("steps", "2.4e-07 apart", "1048576 steps of 9.5e-07", "count time from 0")),
    ],
)
def test_grid_errors(arguments, fragments):
    with refuses(ValueError, *fragments):
        TimeGrid(*arguments)


@pytest.mark.parametrize("t", [0.1, -0.25, 2.25])
def test_times_off_the_grid_are_refused(t):
    with refuses(ValueError, "t:", "on the grid from 0 to 2 in steps of 0.25", f"{t:g}"):
        GRID.index(t)


@given(
    t0=st.one_of(st.just(0.0), st.floats(-1e10, 1e10), st.floats(-1e-10, 1e-10)),
    span=st.floats(-12, 12),
    steps=st.integers(1, 4096),
    part=st.floats(0.0, 1.0),
    off=st.floats(1e-4, 0.5),
)
def test_whatever_the_scale_times_on_a_grid_are_found_and_times_beside_them_refused(t0, span, steps, part, off):
    try:
        grid = TimeGrid(t0, t0 + 10.0**span, steps)
    except ValueError:  # no such grid in double precision
        return
    i = round(part * steps)
    assert grid.index(grid.time(i)) == i
    assert grid.index(math.nextafter(grid.time(i), math.inf)) == i
    digit = math.ulp(max(abs(grid.t0), abs(grid.t1)))
    for t in (grid.time(i) + off * grid.dt, grid.time(i) - off * grid.dt):
        if abs(t - grid.time(i)) > 1e-5 * grid.dt + 6 * digit:
            with pytest.raises(ValueError, match="t: expected a time on the grid"):
                grid.index(t)


@pytest.mark.parametrize("factor", [0, 3, -2])
def test_grids_that_do_not_divide_are_refused(factor):
    with refuses(ValueError, "factor", "8 steps", str(factor)):
        GRID.coarsen(factor)
