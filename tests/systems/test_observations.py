"""Recorded observations: interpolated in time, and refused where they cannot be."""

from __future__ import annotations

import math

import pytest
import torch
from support import F64, refuses

from sdewm.systems.observations import RecordedObservation


def test_recorded_observations_are_interpolated():
    times = torch.tensor([0.0, 0.5, 2.0], dtype=F64)
    values = torch.tensor([[1.0, -1.0], [3.0, 0.0], [0.0, 6.0]], dtype=F64)
    recorded = RecordedObservation(times, values)
    for t, value in zip(times, values, strict=True):
        torch.testing.assert_close(recorded(t), value)
    torch.testing.assert_close(recorded(torch.tensor(0.25)), torch.tensor([2.0, -0.5], dtype=F64))
    torch.testing.assert_close(recorded(1.0), torch.tensor([2.0, 2.0], dtype=F64))
    torch.testing.assert_close(recorded(2.0 + 1e-10), values[-1])


def test_recorded_observations_of_any_shape():
    times = torch.tensor([0.0, 1.0])
    assert float(RecordedObservation(times, torch.tensor([1.0, 3.0]))(0.5)) == 2.0
    frames = torch.stack([torch.zeros(3, 4, 4), torch.ones(3, 4, 4)])
    assert torch.equal(RecordedObservation(times, frames)(0.25), torch.full((3, 4, 4), 0.25))


@pytest.mark.parametrize("t", [-0.1, 2.1])
def test_times_outside_the_recording_are_refused(t):
    recorded = RecordedObservation(torch.tensor([0.0, 2.0]), torch.zeros(2, 1))
    with refuses(ValueError, "t:", "[0, 2]", f"{t:g}"):
        recorded(t)
    with refuses(ValueError, "t: expected a finite number", "nan"):
        recorded(math.nan)


@pytest.mark.parametrize(
    ("times", "values", "fragments"),
    [
        ([0.0], [[1.0]], ("times", "at least two", "(1,)")),
        ([[0.0, 1.0]], [[1.0], [2.0]], ("times", "at least two increasing", "(1, 2)")),
        ([0.0, 1.0, 1.0], [[1.0], [2.0], [3.0]], ("times", "increasing", "1.0, 1.0")),
        ([0.0, math.nan, 1.0], [[1.0], [2.0], [3.0]], ("times", "increasing", "nan")),
        ([0.0, 1.0, math.inf], [[1.0], [2.0], [3.0]], ("times", "finite", "inf")),
        ([0.0, 1.0], [[1.0]], ("values", "2 entries, one per time", "got 1")),
        ([0.0, 0.5, 1.0], [[1.0], [math.nan], [2.0]], ("values", "finite", "time 0.5")),
        ([0.0, 0.5, 1.0], [1.0, 2.0, math.inf], ("values", "finite", "time 1")),
    ],
)
def test_bad_recordings_are_refused(times, values, fragments):
    with refuses(ValueError, *fragments):
        RecordedObservation(torch.tensor(times), torch.tensor(values))
