"""The checks of the flow and of Proposition B.1: what holds is verified, and each mutation of it is refuted."""

from __future__ import annotations

import functools

import pytest
import torch
from support import judge_all

from sdewm.exact.known_inputs import KnownInputs
from sdewm.jets.directional import directional
from sdewm.paper.flow import printed_flow_exponents
from sdewm.sensitivity import (
    FundamentalMatrixSDE,
    InverseMatrixSDE,
    SecondVariationSDE,
    SensitivitySDE,
    commutator_term,
    flow_exponent,
    jacobians_along,
    second_derivative,
    systems,
)
from sdewm.verdicts.words import overall
from sdewm.verification.settings import Settings
from theory_checks import fundamental_matrix, initial_value, proposition_b1, sensitivity_sdes

QUICK, DEFAULT = Settings(precision=1e-2), Settings()


def verdicts(check, system: str, settings: Settings = DEFAULT):
    for cached in (
        fundamental_matrix._inverse_sample,
        fundamental_matrix._exponent_sample,
        proposition_b1._frozen_sample,
        proposition_b1._inputs,
    ):
        cached.cache_clear()
    return judge_all(check.CLAIM.rows(system, settings), 1e-5)


def statuses(found, form: str) -> dict[str, str | None]:
    """By quantity, readings together."""
    quantities = dict.fromkeys(v.quantity for v in found if v.form == form)
    return {q: overall([v for v in found if v.form == form and v.quantity == q], form) for q in quantities}


# -- what holds, and what is printed


@pytest.mark.parametrize("system", ["nilpotent", "commuting", "rotating", "two-noises", "linear"])
def test_the_fundamental_matrix(system):
    found = verdicts(fundamental_matrix, system, QUICK)
    assert set(statuses(found, "corrected").values()) == {"verified"}
    exponential = statuses(found, "printed").get("(45) less Φ, Δt → 0")
    assert exponential == ("refuted" if system in ("nilpotent", "commuting", "rotating") else None)


def test_the_printed_exponential_holds_for_numbers():
    """A number is its own transpose, and the reading with the Itô correction from k = 1 is right."""
    found = verdicts(fundamental_matrix, "gbm")
    assert set(statuses(found, "corrected").values()) == {"verified"}
    readings = {v.reading: v.status for v in found if v.quantity.startswith("(45)") and v.form == "printed"}
    assert readings == {"sums from k = 0": "refuted", "½∫ from k = 1": "verified", "sums from k = 1": "refuted"}


@pytest.mark.parametrize("system", ["gbm", "linear", "circle", "latent"])
def test_the_sensitivities(system):
    found = verdicts(sensitivity_sdes, system, QUICK)
    assert set(statuses(found, "corrected").values()) == {"verified"}
    assert set(statuses(found, "printed").values()) <= {"verified", "vacuous", "inconclusive"}
    assert all("Lemma" in v.quantity for v in found if v.status == "vacuous")


@pytest.mark.parametrize("system", ["sine", "circle", "time-dependent"])
def test_initial_values(system):
    found = verdicts(initial_value, system, QUICK)
    assert set(statuses(found, "corrected").values()) == {"verified"}
    printed = statuses(found, "printed")
    assert printed.pop("second derivative of the flow" if system == "sine" else "∂²x[u, v]") == "refuted"
    assert set(printed.values()) <= {"verified"}


def test_the_witness_of_the_second_derivative():
    """dx = sin x dt, x0 = 0.8, t = 1; the numbers by hand from the flow's closed form."""
    found = {v.reading: v for v in verdicts(initial_value, "sine")}
    assert found["literal"].statistic == pytest.approx(0.31226, abs=1e-4)
    assert found["(53) corrected"].statistic == pytest.approx(-1.60693, abs=1e-3)
    assert found["(53) corrected"].expected == pytest.approx(-1.60693, abs=1e-5)


@pytest.mark.parametrize("system", proposition_b1.SYSTEMS)
def test_proposition_b1(system):
    found = verdicts(proposition_b1, system, QUICK)
    assert set(statuses(found, "corrected").values()) <= {"verified"}
    depends = "depends-on-z" in system and "independent" not in system
    assert set(statuses(found, "printed").values()) == ({"refuted"} if depends else {"verified"})


@pytest.mark.parametrize(
    ("check", "system", "labels"),
    [
        (fundamental_matrix, "gbm", ["ΦΦ⁻¹ − I, euler", "(45), sums from k = 0", "(45), (∂g)²"]),
        (initial_value, "sine", ["true", "literal", "(53) corrected"]),
    ],
)
def test_curves(check, system, labels):
    curves = {c.label: c for c in check.CLAIM.drawn(system, QUICK)}
    assert set(labels) <= set(curves)
    assert all(len(c.x) == len(c.y) for c in curves.values())


# -- mutations


def wrong_sign_in_the_inverse(monkeypatch):
    right, plain = InverseMatrixSDE.f, systems.Prolongation.f
    monkeypatch.setattr(InverseMatrixSDE, "f", lambda self, t, x: 2 * plain(self, t, x) - right(self, t, x))


def no_correction_in_the_inverse(monkeypatch):
    monkeypatch.setattr(InverseMatrixSDE, "f", systems.Prolongation.f)


def transposed_jacobian(monkeypatch):
    jacobian = systems.jacobian
    monkeypatch.setattr(systems, "jacobian", lambda function, x: jacobian(function, x).transpose(1, -1))


def no_drift_in_the_fundamental_matrix(monkeypatch):
    def f(self, t, x):
        drift = systems.Prolongation.f(self, t, x)
        return torch.cat([drift[:, : self.split(x)[0].shape[-1]], 0 * drift[:, self.split(x)[0].shape[-1] :]], -1)

    monkeypatch.setattr(FundamentalMatrixSDE, "f", f)


def transpose_in_the_exponent(monkeypatch):
    monkeypatch.setattr(
        fundamental_matrix,
        "flow_exponent",
        lambda *args, **noise: printed_flow_exponents(*args, **noise)["½∫ from k = 1"],
    )


def no_half_in_the_exponent(monkeypatch):
    def exponent(sde, x0, grid, *, noise):
        linear = sum(
            torch.einsum("pk,pkij->pij", dB, slopes) for dB, slopes in jacobians_along(sde, x0, grid, noise=noise)
        )
        return 2 * flow_exponent(sde, x0, grid, noise=noise) - linear

    monkeypatch.setattr(fundamental_matrix, "flow_exponent", exponent)


def wrong_sign_of_the_commutator(monkeypatch):
    monkeypatch.setattr(fundamental_matrix, "commutator_term", lambda *args, **noise: -commutator_term(*args, **noise))


def drop_linear_term(monkeypatch):
    rows = SecondVariationSDE.rows

    def mutated(self, coefficient, state):
        x, u, v, _ = self.split(state)
        return [*rows(self, coefficient, state)[:3], second_derivative(lambda p: coefficient(self.sde, p), x, u, v)]

    monkeypatch.setattr(SecondVariationSDE, "rows", mutated)


def start_from_e_j(monkeypatch):
    initial = SecondVariationSDE.initial

    def mutated(self, x0, u, v):
        return torch.cat([initial(self, x0, u, v)[..., : -len(v)], v.expand(x0.shape)], -1)

    monkeypatch.setattr(SecondVariationSDE, "initial", mutated)


def _without(monkeypatch, term):
    rows = SensitivitySDE.rows

    def mutated(self, coefficient, state):
        x, y, _ = self.split(state)
        found = rows(self, coefficient, state)
        found[2] = found[2] - term(self, coefficient, x, y)
        return found

    monkeypatch.setattr(SensitivitySDE, "rows", mutated)


def one_error_jacobian(monkeypatch):
    _without(monkeypatch, lambda self, c, x, y: directional(lambda p: c(self.error, p), x, y))


def half_the_hessian(monkeypatch):
    _without(monkeypatch, lambda self, c, x, y: 0.5 * second_derivative(lambda p: c(self.sde, p), x, y, y))


def variance_from_q_bar(monkeypatch):
    def mutated(self, i, j):
        return torch.diag(self.diffusion[: min(i, j)].sum((0, 2))) * self.grid.dt

    monkeypatch.setattr(KnownInputs, "covariance", mutated)


def mean_without_drift(monkeypatch):
    monkeypatch.setattr(KnownInputs, "mean", lambda self, i: 0 * self.drift[0])


MUTATIONS = {
    wrong_sign_in_the_inverse: (fundamental_matrix, "gbm"),
    no_correction_in_the_inverse: (fundamental_matrix, "gbm"),
    transposed_jacobian: (fundamental_matrix, "linear"),
    no_drift_in_the_fundamental_matrix: (fundamental_matrix, "linear"),
    transpose_in_the_exponent: (fundamental_matrix, "nilpotent"),
    no_half_in_the_exponent: (fundamental_matrix, "commuting"),
    wrong_sign_of_the_commutator: (fundamental_matrix, "two-noises"),
    drop_linear_term: (initial_value, "circle"),
    start_from_e_j: (initial_value, "circle"),
    one_error_jacobian: (sensitivity_sdes, "linear"),
    half_the_hessian: (sensitivity_sdes, "circle"),
    variance_from_q_bar: (proposition_b1, proposition_b1.SYSTEMS[0]),
    mean_without_drift: (proposition_b1, proposition_b1.SYSTEMS[0]),
}


@pytest.mark.parametrize("mutate", MUTATIONS, ids=lambda m: m.__name__)
def test_mutation_turns_a_verified_row_into_a_refuted_one(monkeypatch, mutate):
    """At the default settings."""
    check, system = MUTATIONS[mutate]
    verified = rows(check, system, "verified")
    mutate(monkeypatch)
    assert rows.__wrapped__(check, system, "refuted") & verified


@functools.cache
def rows(check, system: str, status: str) -> set[tuple[str, str, str]]:
    return {(v.quantity, v.form, v.reading) for v in verdicts(check, system) if v.status == status}
