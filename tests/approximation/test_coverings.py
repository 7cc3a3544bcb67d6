"""Local diffeomorphisms that are no coverings: preimages, and the density of what they carry."""

from __future__ import annotations

import math

import numpy as np
from balls import EVEN, ball

from sdewm.approximation.coverings import annulus, immersed_disk


def test_preimages_are_preimages():
    f = immersed_disk(4.0)
    at = f(ball(2))
    found = f.preimages(at)
    assert all(len(x) >= 1 and np.allclose(f(x), y) for x, y in zip(found, at, strict=True))
    assert f.sheets(np.zeros((1, 2))).tolist() == [0]
    assert annulus(0.5).sheets(np.array([[0.2, 0.0], [0.7, 0.0]])).tolist() == [0, 1]


def test_the_sum_over_sheets_is_the_density_of_what_is_carried():
    """The mass of F_# P in a box, by counting and by the sum (22)."""
    f, n = immersed_disk(4.0), 200_000
    low, high = np.array([-0.02, -0.01]), np.array([-0.01, 0.01])
    image = f(EVEN.sample(n, np.random.default_rng(1)))
    counted = float(np.mean(np.all((image >= low) & (image <= high), axis=1)))
    side = (np.arange(40) + 0.5) / 40
    at = low + (high - low) * np.stack(np.meshgrid(side, side), -1).reshape(-1, 2)
    assert set(f.sheets(at)) == {2}
    summed = float(f.pushforward_density(EVEN.density, at).mean() * np.prod(high - low))
    assert abs(counted - summed) <= 4 * math.sqrt(summed / n) + 1e-3 * summed
