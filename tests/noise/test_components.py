"""Components into increments: the fast transforms are the dense ones, whole or in stretches."""

from __future__ import annotations

import math

import pytest
import torch
from sampled_increments import dense_transform
from support import F64
from torch import Tensor

from sdewm.noise.components import ORDERINGS, Stretch, unit_increments


@pytest.mark.parametrize("steps", [1, 2, 3, 5, 7, 16, 33, 100, 128, 511])
@pytest.mark.parametrize("ordering", ORDERINGS)
def test_the_fast_transforms_are_the_dense_ones(steps, ordering):
    fast = unit_increments(torch.eye(steps, dtype=F64), ordering)
    if ordering == "bridge" or steps <= 16:  # an eigenvector is as wrong as its eigenvalue's neighbours are close
        torch.testing.assert_close(fast, dense_transform(steps, ordering), rtol=0, atol=1e-12)
    torch.testing.assert_close(fast.T @ fast, torch.eye(steps, dtype=F64), rtol=0, atol=1e-13)
    # Whatever axes follow the first.
    z = torch.randn(steps, 3, 2, generator=torch.Generator().manual_seed(steps), dtype=F64)
    expected = torch.einsum("sc,ckp->skp", fast, z)
    torch.testing.assert_close(unit_increments(z, ordering), expected, rtol=0, atol=1e-13 * steps**0.5)


@pytest.mark.parametrize("steps", [7, 16])
def test_bridge_starts_with_the_end_point(steps):
    """The end of the path is the first component, and no other component moves it."""
    ends = unit_increments(torch.eye(steps, dtype=F64), "bridge").sum(0)
    expected = torch.zeros(steps, dtype=F64)
    expected[0] = math.sqrt(steps)
    torch.testing.assert_close(ends, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("steps", [1, 12, 100, 511])
def test_principal_components_diagonalize_the_paths_covariance_in_descending_order(steps):
    """With orthogonality and distinct eigenvalues this leaves nothing but signs open."""
    paths = unit_increments(torch.eye(steps, dtype=F64), "pca").cumsum(0)
    covariance = paths.T @ paths
    torch.testing.assert_close(covariance, covariance.diagonal().diag(), rtol=0, atol=1e-14 * steps**2)
    assert bool((covariance.diagonal().diff() < 0).all())


@pytest.mark.parametrize("ordering", ORDERINGS)
def test_a_million_steps_are_transformed_in_seconds(ordering):
    """A dense transform would need 8 terabytes. Orthogonal, so the sum of squares stays: to rounding."""
    z = torch.randn(10**6, 1, generator=torch.Generator().manual_seed(0), dtype=F64)
    unit = unit_increments(z, ordering)
    assert float((unit**2).sum()) == pytest.approx(float((z**2).sum()), rel=1e-12)


@pytest.mark.parametrize("steps", [1, 2, 3, 5, 16, 17, 100, 511, 513])
@pytest.mark.parametrize("at_once", [2, 3, 8, 64, 1000])
def test_a_bridge_made_in_stretches_is_the_whole_one(steps, at_once):
    """To the last bit; each component is asked for once, and no more is held than was asked for."""
    z = torch.randn(steps, 3, 5, generator=torch.Generator().manual_seed(steps), dtype=F64)
    asked: list[Tensor] = []

    def components(numbers: Tensor) -> Tensor:
        assert len(numbers) <= at_once and bool((numbers.diff() > 0).all())
        asked.append(numbers)
        return z[numbers]

    parts = list(Stretch(steps, steps).increments(components, at_once))
    assert torch.equal(torch.cat(parts), unit_increments(z, "bridge"))
    assert max(map(len, parts)) <= at_once
    assert torch.cat(asked).sort().values.tolist() == list(range(steps))


def test_a_bridge_asks_for_components_when_their_time_comes():
    """Of 10^6 steps the first hundred need five goes: the end, and four divisions into 100 stretches or fewer."""
    asked: list[int] = []

    def components(numbers: Tensor) -> Tensor:
        asked.append(len(numbers))
        return torch.ones(len(numbers), 1, dtype=F64)

    steps = Stretch(10**6, 10**6).increments(components, 100)
    assert 50 <= len(next(steps)) <= 100
    assert asked[0] == 1 and len(asked) == 5 and sum(asked) < 300
