"""Iterated integrals against sums over a fine grid, and Chen's relation."""

from __future__ import annotations

import math

import torch
from areas import WRONG_VARIANCES, areas, critical, paths_to_see
from support import F64, refuses, z_value
from torch import Tensor

from sdewm.noise.integrals import chen, iterated_integrals, stratonovich_integrals


def test_iterated_integrals():
    """Against sums over a fine grid: the inner index is the first. Left sums are Itô's, midpoints Stratonovich's."""
    dB = torch.randn(500, 10, 3, generator=torch.Generator().manual_seed(6), dtype=F64)
    area, increment = torch.zeros(10, 3, 3, dtype=F64), torch.zeros(10, 3, dtype=F64)
    left = torch.zeros(10, 3, 3, dtype=F64)
    for step in dB:  # each fine step has no area of its own
        left += increment[:, :, None] * step[:, None, :]
        area = chen(increment, area, step, torch.zeros(10, 3, 3, dtype=F64))
        increment = increment + step
    squares = torch.einsum("spk,spl->pkl", dB, dB)
    assert torch.allclose(stratonovich_integrals(increment, area), left + 0.5 * squares)
    ito = iterated_integrals(increment, 500.0, area)
    assert torch.allclose(
        ito - stratonovich_integrals(increment, area), -250 * torch.eye(3, dtype=F64).expand(10, 3, 3)
    )
    assert not torch.allclose(stratonovich_integrals(increment, area.mT), left + 0.5 * squares)


def test_chen_is_associative_and_antisymmetric():
    generator = torch.Generator().manual_seed(8)
    steps = [torch.randn(6, 4, generator=generator, dtype=F64) for _ in range(3)]
    A = [areas(dB, 1.0, generator=generator) for dB in steps]
    left = chen(steps[0] + steps[1], chen(steps[0], A[0], steps[1], A[1]), steps[2], A[2])
    right = chen(steps[0], A[0], steps[1] + steps[2], chen(steps[1], A[1], steps[2], A[2]))
    assert torch.allclose(left, right, rtol=1e-13, atol=1e-13)
    assert torch.equal(left, -left.mT)


def test_two_areas_make_one_of_the_right_variance():
    """Chen's relation on two halves gives ¼h², and 0.332 or 0.2185 for ¼ in the halves does not."""
    generator = torch.Generator().manual_seed(9)
    paths = paths_to_see(0.0315 / 2, 0.5, comparisons=1)
    dB = [torch.randn(paths, 2, generator=generator, dtype=F64) * 0.5**0.5 for _ in range(2)]
    A = [areas(d, 0.5, generator=generator, tolerance=0.01) for d in dB]

    def whole(factor: float) -> Tensor:
        return chen(dB[0], factor * A[0], dB[1], factor * A[1])[:, 0, 1]

    assert abs(z_value(whole(1.0) ** 2, 0.25)) < critical()
    for variance in WRONG_VARIANCES:
        assert abs(z_value(whole(math.sqrt(variance / 0.25)) ** 2, 0.25)) > critical()


ONES = torch.ones(3, 2)


def test_errors_of_integrals():
    with refuses(ValueError, "area: expected shape (3, 2, 2), got (3, 2)"):
        stratonovich_integrals(ONES, ONES)
