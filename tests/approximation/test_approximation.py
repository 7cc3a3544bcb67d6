"""Manifolds with a density, the oracle maps of Proposition A.7, and mutations of them that its check catches."""

from __future__ import annotations

import dataclasses
import doctest
import importlib
import math

import numpy as np
import pytest
from manifold_shapes import curved_disk, moving_blob, reach_from_pairs, torus_patch
from scipy import integrate
from support import judge_all, refuses

from sdewm.approximation import quantiles
from sdewm.approximation.circle import CircleMeasure, CircleOracle
from sdewm.approximation.coverings import PlaneMap, annulus, immersed_disk
from sdewm.approximation.densities import DiskMeasure, IntervalMeasure, disk_nodes
from sdewm.approximation.manifolds import Manifold, arc, rotating_bar, sphere_cap
from sdewm.approximation.moser import MoserMap
from sdewm.approximation.smoothness import derivative, jacobians, third_derivatives
from sdewm.estimate.goodness_of_fit import distance, distance_between
from sdewm.verification.settings import Settings
from theory_checks import proposition_a7

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
TILTED = DiskMeasure(lambda x: 1 + 0.4 * x[:, 0] - 0.3 * x[:, 1] ** 2)
EVEN = DiskMeasure(lambda x: np.ones(len(x)))


def ball(dim: int, n: int = 60) -> np.ndarray:
    """Points of the ball, fewer than ``n`` on the disk."""
    x = np.random.default_rng(3).uniform(-1, 1, (n, dim))
    return x[(x**2).sum(1) <= 1]


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


# -- measures ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("measure", [IntervalMeasure((1.0, -0.5, 0.3, 0.4)), IntervalMeasure((1.0,), 1.0, 1.5)])
def test_an_interval_measure_is_a_probability_with_its_quantiles(measure):
    for x in (-0.7, 0.0, 0.4, 1.0):
        mass = integrate.quad(measure.density, -1, x, points=[0.0], epsabs=1e-13)[0]
        assert float(measure.cdf(np.array(x))) == pytest.approx(mass, abs=1e-10)
    u = np.linspace(0, 1, 41)
    assert measure.cdf(measure.quantile(u)) == pytest.approx(u, abs=1e-14)


def test_a_disk_measure_has_the_marginals_of_its_sample():
    direction, n = np.array([0.6, 0.8]), 4000
    along = np.sort(TILTED.sample(n, np.random.default_rng(0)) @ direction)
    found = distance(TILTED.marginal_cdf(direction, along))
    assert found.mean <= found.half_width(0.999)
    assert TILTED.integral(lambda x: np.ones(len(x))) == pytest.approx(1.0, abs=1e-13)
    # ∫ x (1 + 0.4 x − 0.3 y²) over ∫ (1 − 0.3 y²), the odd terms gone.
    assert TILTED.integral(lambda x: x[:, 0]) == pytest.approx(0.4 / 4 / (1 - 0.3 / 4), abs=1e-13)


def test_two_samples_of_one_measure_agree_at_the_stated_rate():
    g, seen = np.random.default_rng(5), 0
    for _ in range(200):
        gap = distance_between(g.normal(size=500), g.normal(size=500))
        seen += gap.mean > gap.half_width(0.95)
    assert seen <= 20  # 5 % of 200 at most; 10 expected at the bound, and 20 has probability 2e-3 there
    other = distance_between(g.normal(size=2000), g.normal(0.5, 1.0, 2000))
    assert other.mean > other.half_width(1 - 1e-6)
    with refuses(ValueError, "y", "458", "100"):
        distance_between(np.zeros(100), np.zeros(100))


def test_what_is_no_measure_is_refused():
    with refuses(ValueError, "coefficients", "≥ 0"):
        IntervalMeasure((0.1, 1.0))
    with refuses(ValueError, "weight", "≥ 0"):
        DiskMeasure(lambda x: x[:, 0])
    with refuses(ValueError, "cosines", "positive"):
        CircleMeasure((1.2,))


# -- oracle maps ---------------------------------------------------------------------------------------------------


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


def test_slope_of_the_quantile_map():
    g = quantiles.QuantileMap(proposition_a7.LATENT, proposition_a7.POSITIVE)
    slope, left = derivative(g, proposition_a7.INSIDE, 1e-2)
    assert np.abs(slope - g.slope(proposition_a7.INSIDE)).max() <= left


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


def test_circle_measures_and_their_quantiles():
    p = CircleMeasure((0.5,), (0.0, 0.3))
    theta = np.linspace(0.1, 12.0, 50)
    assert p.quantile(p.cdf(theta)) == pytest.approx(theta, abs=1e-12)
    assert float(p.cdf(np.array(2 * math.pi))) == pytest.approx(1.0)


def test_third_derivatives_of_a_cubic():
    x = ball(2)
    cubic = third_derivatives(lambda x: x**3, x, 0.05)
    assert cubic[0, :, 0] == pytest.approx(6.0, abs=1e-9) and cubic[0, :, 1] == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("name", ["circle", "coverings", "densities", "manifolds", "moser", "quantiles", "smoothness"])
def test_examples(name):
    assert doctest.testmod(importlib.import_module(f"sdewm.approximation.{name}")).failed == 0


# -- the check, and mutations that it catches ----------------------------------------------------------------------


def found(*systems: str) -> list:
    proposition_a7._oracle.cache_clear()
    return judge_all(
        [c for s in systems or proposition_a7.CLAIM.systems for c in proposition_a7.CLAIM.rows(s, Settings())]
    )


def refuted(*systems: str) -> set[str]:
    return {v.quantity for v in found(*systems) if v.form == "corrected" and v.status == "refuted"}


def test_every_corrected_statement_is_verified_and_the_printed_one_where_its_hypotheses_are_enough():
    verdicts = found()
    assert {v.status for v in verdicts if v.form == "corrected"} == {"verified"}
    printed = {v.system: v.status for v in verdicts if v.form == "printed"}
    assert {s for s, status in printed.items() if status == "verified"} == {"kinks"}
    assert set(printed.values()) == {"verified", "refuted"}


def test_a_density_that_vanishes_is_caught(monkeypatch):
    """Taken for a positive one: the derivative at 0 is not there, and the densities cannot be compared."""
    monkeypatch.setattr(proposition_a7, "POSITIVE", proposition_a7.VANISHING)
    assert "inconclusive" in {v.status for v in found("interval")} or refuted("interval")


def test_a_map_of_degree_two_taken_for_a_diffeomorphism_is_caught(monkeypatch):
    """Without the sum over the sheets: the increasing map is built from p itself, as if F had one."""
    monkeypatch.setattr(CircleMeasure, "covered", lambda self, sheets: self)
    assert refuted("two sheets") == {"largest |∫f∘g dP − ∫f dQ|"}
    monkeypatch.undo()
    one = CircleOracle(CircleMeasure((0.5,)), CircleMeasure(), 1)
    assert np.all(np.diff(one(np.linspace(0, 6, 50))) > 0)


def test_a_sheet_left_out_is_caught(monkeypatch):
    """The first preimage taken for the only one."""
    true = PlaneMap.pushforward_density

    def first(self, density, at):
        alone = dataclasses.replace(self, preimages=lambda x: [found[:1] for found in self.preimages(x)])
        return true(alone, density, at)

    monkeypatch.setattr(PlaneMap, "pushforward_density", first)
    assert refuted("immersed disk") == {"∫η̄ − 1"}


def test_a_wrong_determinant_is_caught(monkeypatch):
    monkeypatch.setattr(proposition_a7, "determinant", lambda J: J[:, 0, 0] * J[:, 1, 1] + J[:, 0, 1] * J[:, 1, 0])
    assert refuted(proposition_a7.DISK) == {"largest |p − q(g) det dg|"}


def test_a_volume_form_left_out_is_caught(monkeypatch):
    """The density on the cap taken for that of its coordinates: the flow carries P there, and Q is elsewhere."""
    monkeypatch.setattr(proposition_a7, "state_weight", proposition_a7.state_density)
    assert any("from a sample of Q" in quantity for quantity in refuted(proposition_a7.DISK))


def test_a_slope_a_thousandth_too_large_is_caught(monkeypatch):
    true = proposition_a7.density_gap
    monkeypatch.setattr(proposition_a7, "density_gap", lambda g, p, q, x, J: true(g, p, q, x, 1.001 * J))
    assert refuted("interval") == {"largest |p − q(g) det dg|"}


def test_half_the_flow_is_caught(monkeypatch):
    true = MoserMap._flow
    monkeypatch.setattr(MoserMap, "_flow", lambda self, x, a, b: true(self, x, 0.5 * a, 0.5 * b))
    assert "largest |p − q(g) det dg|" in refuted(proposition_a7.DISK)


def test_flux_through_the_boundary_is_caught(monkeypatch):
    true = MoserMap.potential_gradient
    monkeypatch.setattr(MoserMap, "potential_gradient", lambda self, x: true(self, x) + 1e-3 * x)
    assert "farthest that g moves the boundary off itself" in refuted(proposition_a7.DISK)


def test_a_degree_that_is_too_low_verifies_nothing(monkeypatch):
    p, q = DiskMeasure(proposition_a7.latent_weight), DiskMeasure(proposition_a7.state_weight)
    monkeypatch.setattr(proposition_a7, "SAMPLE", {2: 2**9})
    true = proposition_a7.MoserMap
    monkeypatch.setattr(proposition_a7, "MoserMap", lambda *measures, degree: true(p, q, degree=6))
    status = {v.quantity: v.status for v in found(proposition_a7.DISK)}
    assert status["largest |p − q(g) det dg|"] == "inconclusive"
