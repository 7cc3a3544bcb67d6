"""Proposition A.7: its check, and mutations of the oracle maps that the check catches."""

from __future__ import annotations

import dataclasses

import numpy as np
from support import judge_all

from sdewm.approximation.circle import CircleMeasure, CircleOracle
from sdewm.approximation.coverings import PlaneMap
from sdewm.approximation.densities import DiskMeasure
from sdewm.approximation.moser import MoserMap
from sdewm.verification.settings import Settings
from theory_checks import proposition_a7


def judged(*systems: str) -> list:
    proposition_a7._oracle.cache_clear()
    return judge_all(
        [c for s in systems or proposition_a7.CLAIM.systems for c in proposition_a7.CLAIM.rows(s, Settings())]
    )


def refuted(*systems: str) -> set[str]:
    return {v.quantity for v in judged(*systems) if v.form == "corrected" and v.status == "refuted"}


def test_every_corrected_statement_is_verified_and_the_printed_one_where_its_hypotheses_are_enough():
    verdicts = judged()
    assert {v.status for v in verdicts if v.form == "corrected"} == {"verified"}
    printed = {v.system: v.status for v in verdicts if v.form == "printed"}
    assert {s for s, status in printed.items() if status == "verified"} == {"kinks"}
    assert set(printed.values()) == {"verified", "refuted"}


def test_a_density_that_vanishes_is_caught(monkeypatch):
    """Taken for a positive one: the derivative at 0 is not there, and the densities cannot be compared."""
    monkeypatch.setattr(proposition_a7, "POSITIVE", proposition_a7.VANISHING)
    assert "inconclusive" in {v.status for v in judged("interval")} or refuted("interval")


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
    status = {v.quantity: v.status for v in judged(proposition_a7.DISK)}
    assert status["largest |p − q(g) det dg|"] == "inconclusive"
