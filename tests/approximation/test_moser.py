"""The flow of Dacorogna and Moser: against closed forms, finite elements and quadrature."""

from __future__ import annotations

import math

import numpy as np
import pytest
from balls import EVEN, TILTED, ball
from support import refuses

from sdewm.approximation.densities import DiskMeasure, disk_nodes
from sdewm.approximation.moser import MoserMap
from theory_checks import proposition_a7


def test_the_flow_of_a_constant_density_stays():
    x = ball(2)
    assert MoserMap(EVEN, EVEN)(x) == pytest.approx(x, abs=1e-14)


def test_the_potential_solves_the_neumann_problem_in_closed_form():
    """p = (1 + a x)/π: u = a (r² − 3) x/(8π) has Δu = a x/π, and no flux through the circle."""
    a, x = 0.5, ball(2)
    psi = MoserMap(DiskMeasure(lambda x: 1 + a * x[:, 0]), EVEN)
    exact = np.stack([3 * x[:, 0] ** 2 + x[:, 1] ** 2 - 3, 2 * x[:, 0] * x[:, 1]], -1) * a / (8 * math.pi)
    assert psi.potential_gradient(x) == pytest.approx(exact, abs=1e-14)


def test_finite_elements_find_the_same_field():
    """scikit-fem's P2 solution on a curved mesh: its gradient is off by h², and no more."""
    skfem = pytest.importorskip("skfem")
    from skfem.helpers import dot, grad

    psi = proposition_a7._oracle()

    def error(refinements: int) -> float:
        basis = skfem.Basis(skfem.MeshTri2.init_circle(refinements), skfem.ElementTriP2())
        stiffness = skfem.BilinearForm(lambda u, v, _: dot(grad(u), grad(v))).assemble(basis)

        def source(v, w):
            flat = w.x.reshape(2, -1).T
            return (psi.target.density(flat) - psi.source.density(flat)).reshape(w.x.shape[1:]) * v

        load = skfem.LinearForm(source).assemble(basis)
        # The constant is free, and the load's mean is 0 up to the mesh.
        load -= load.mean()
        u = skfem.solve(*skfem.condense(stiffness, load, D=np.array([0])))
        field = basis.interpolate(u).grad
        at = basis.global_coordinates().value.reshape(2, -1).T
        inner = np.linalg.norm(at, axis=1) < 0.8
        return float(np.abs(field.reshape(2, -1).T[inner] - psi.potential_gradient(at[inner])).max())

    coarse, fine = error(3), error(4)
    assert fine < 1e-3
    assert math.log2(coarse / fine) > 1.5


@pytest.mark.parametrize(("source", "target"), [(TILTED, EVEN), (EVEN, TILTED)], ids=["from tilted", "to tilted"])
def test_the_flow_carries_moments(source, target):
    """∫ f∘ψ dP = ∫ f dQ by quadrature, which knows nothing of the Jacobian."""
    psi = MoserMap(source, target)
    nodes, weights = disk_nodes()
    image, mass = psi(nodes), weights * source.density(nodes)
    for f in (lambda x: x[:, 0], lambda x: x[:, 1] ** 2, lambda x: x[:, 0] ** 3 * x[:, 1] ** 2):
        assert mass @ f(image) == pytest.approx(target.integral(f), abs=1e-9)


def test_a_density_that_vanishes_is_refused_by_the_flow():
    with refuses(ValueError, "target", "positive"):
        MoserMap(EVEN, DiskMeasure(lambda x: np.maximum(x[:, 0], 0)))
