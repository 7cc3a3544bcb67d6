"""Manifolds: charts with their inverses and derivatives, volumes, and the reach."""

from __future__ import annotations

import math

import numpy as np
import pytest
from balls import ball
from manifold_shapes import curved_disk, moving_blob, reach_from_pairs, torus_patch
from scipy import integrate

from sdewm.approximation.densities import disk_nodes
from sdewm.approximation.manifolds import Manifold, arc, rotating_bar, sphere_cap
from sdewm.approximation.smoothness import jacobians

MANIFOLDS = [
    arc(),
    curved_disk(),
    sphere_cap(),
    sphere_cap(ambient=256),
    torus_patch(),
    moving_blob(),
    moving_blob(dim=1),
    rotating_bar(),
]


def volume(manifold: Manifold) -> float:
    if manifold.dim == 1:
        nodes, weights = np.polynomial.legendre.leggauss(40)
        return float(weights @ manifold.volume(nodes[:, None]))
    nodes, weights = disk_nodes()
    return float(weights @ manifold.volume(nodes))


# -- manifolds -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("manifold", MANIFOLDS, ids=lambda m: f"{m.name} {m.dim} in {m.ambient}")
def test_a_chart_has_its_inverse_and_its_derivative(manifold):
    u = ball(manifold.dim)
    x = manifold.chart(u)
    assert x.shape == (len(u), manifold.ambient)
    assert manifold.coordinates(x) == pytest.approx(u, abs=1e-12)
    by_differences, left = jacobians(manifold.chart, 0.9 * u, 1e-2)
    assert np.abs(manifold.tangents(0.9 * u) - by_differences).max() <= left


def test_volumes_in_closed_form():
    assert volume(arc(1.2)) == pytest.approx(2.4, rel=1e-12)
    # Stereographic: a disk of radius s covers the cap of height 2s²/(1 + s²), of area 2π times that.
    assert volume(sphere_cap(0.7)) == pytest.approx(2 * math.pi * 2 * 0.49 / 1.49, rel=1e-12)
    chord = integrate.quad(lambda b: math.sqrt(1 - b**2) * 2 * 1.44 * 0.5 * (1 + 0.5 * math.cos(1.2 * b)), -1, 1)[0]
    assert volume(torus_patch(1.2, 0.5)) == pytest.approx(chord, rel=1e-9)


def test_a_frame_changes_no_distance():
    u = ball(2)
    small, large = (sphere_cap(ambient=d).chart(u) for d in (3, 256))
    apart = [np.linalg.norm(x[:, None] - x[None], axis=-1) for x in (small, large)]
    assert apart[0] == pytest.approx(apart[1], abs=1e-12)


@pytest.mark.parametrize("manifold", [m for m in MANIFOLDS if m.reach], ids=lambda m: f"{m.name} in {m.ambient}")
def test_the_estimate_of_the_reach_is_not_below_a_known_one(manifold):
    assert reach_from_pairs(manifold, ball(manifold.dim, 200)) >= manifold.reach * (1 - 1e-6)


def test_reach_of_a_sphere_is_its_radius():
    assert reach_from_pairs(sphere_cap(), ball(2)) == pytest.approx(1.0, rel=1e-6)
