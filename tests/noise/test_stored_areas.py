"""Stored areas coarsen as the path does."""

from __future__ import annotations

import torch
from support import refuses

from sdewm.noise.brownian import BrownianPath
from sdewm.noise.stored_areas import StoredAreas


def test_stored_areas_coarsen_as_the_path_does():
    path = BrownianPath(2, 4, 3)
    steps = list(path.at(4, finest=4).areas())
    stored = StoredAreas(torch.stack([dB for dB, _ in steps]), torch.stack([area for _, area in steps]))
    for level in (0, 1, 3, 4):
        coarse = stored.coarsen(2 ** (4 - level))
        assert (coarse.steps, coarse.paths, coarse.channels, coarse.weights) == (2**level, 4, 3, None)
        for (dB, area), (dB2, area2) in zip(coarse.areas(), path.at(level, finest=4).areas(), strict=True):
            torch.testing.assert_close(dB, dB2, rtol=0, atol=1e-14)
            torch.testing.assert_close(area, area2, rtol=0, atol=1e-14)
    with refuses(ValueError, "factor: expected a divisor of 16 steps, got 3"):
        stored.coarsen(3)
    with refuses(ValueError, "increments, areas: expected shapes (steps, paths, m) and (steps, paths, m, m)"):
        StoredAreas(torch.zeros(2, 3, 2), torch.zeros(2, 3, 2))
