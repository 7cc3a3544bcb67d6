"""The checks of tables, assumptions, W1, smoothness, proof steps and single errata, and mutations that they catch."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from support import judge_all
from torch import nn

from sdewm.estimate import transport
from sdewm.expansion.variation_of_constants import CORRECTED
from sdewm.paper import consistency
from sdewm.paper import remainder as remainder_module
from sdewm.verification.settings import Settings
from theory_checks import ablation, assumptions, covering_map, lemma_b7_steps, smoothness, tables, w1_kl

SETTINGS = Settings()


def verdicts(check, *systems: str) -> list:
    for cached in (getattr(check, name, None) for name in ("_drawn", "_remainders")):
        if cached is not None:
            cached.cache_clear()
    return judge_all([c for system in systems or check.CLAIM.systems for c in check.CLAIM.rows(system, SETTINGS)])


def statuses(found, form: str) -> dict[tuple[str, str, str], str]:
    return {(v.system, v.quantity, v.reading): v.status for v in found if v.form == form}


def refuted(found, form: str = "corrected") -> set[tuple[str, str, str]]:
    return {key for key, status in statuses(found, form).items() if status == "refuted"}


# -- what holds ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("check", [tables, w1_kl, covering_map, smoothness, lemma_b7_steps], ids=lambda c: c.CLAIM.name)
def test_every_corrected_statement_is_verified_and_something_printed_is_refuted(check):
    found = verdicts(check)
    assert set(statuses(found, "corrected").values()) == {"verified"}
    assert refuted(found, "printed")


def test_activations_with_kinks_are_refuted_and_smooth_ones_are_not():
    found = verdicts(assumptions, "relu", "elu", "gbm", "circle", "latent")
    assert set(statuses(found, "corrected").values()) == {"verified"}
    assert {system for system, _, _ in refuted(found, "printed")} == {"relu", "elu", "gbm"}


@pytest.fixture(scope="module")
def alone_on_the_circle() -> list:
    return verdicts(ablation, "circle")


def test_every_erratum_alone_makes_a_difference_on_the_circle(alone_on_the_circle):
    printed = statuses(alone_on_the_circle, "printed")
    assert set(printed.values()) == {"refuted"}
    assert {q.rsplit(" ", 1)[1] for _, q, _ in printed if "all but" in q} == {f"E{i}" for i in (1, *range(3, 11))}
    assert set(statuses(alone_on_the_circle, "corrected").values()) == {"verified"}


def test_itos_corrections_vanish_exactly_on_the_papers_own_system():
    """On (5)–(8) no diffusion depends on the block that it drives."""
    found = verdicts(ablation, "latent-linear")
    for erratum in ("E4", "E8"):
        (v,) = [v for v in found if v.quantity == f"coefficient of ε², all but {erratum}"]
        assert v.statistic == 0.0 and v.status == "verified"


def test_printed_q_tilde_does_not_see_the_drift_error(monkeypatch):
    """As the check says: (16) as printed is the same with and without a drift error."""
    from sdewm.verification.system_samples import without_drift_error

    name = "circle"
    before = {v.reading: v.statistic for v in verdicts(ablation, name) if v.quantity.startswith("Q̃")}
    system = ablation._system(name)
    blind = dataclasses.replace(system, family=without_drift_error(system.family))
    monkeypatch.setattr(ablation, "_system", lambda s: blind)
    monkeypatch.setattr(ablation, "VARIANTS", {ablation.ALL: CORRECTED, **{e: CORRECTED for e in ablation.VARIANTS}})
    after = {v.reading: v.statistic for v in verdicts(ablation, name) if v.quantity.startswith("Q̃")}
    assert before == pytest.approx(after, rel=1e-12)


# -- mutations -----------------------------------------------------------------------------------------------------


def change_cell(monkeypatch, n: int, old: str, new: str) -> None:
    table = consistency.TABLES[n]
    assert table.text.count(old) == 1
    monkeypatch.setitem(consistency.TABLES, n, dataclasses.replace(table, text=table.text.replace(old, new)))


@pytest.mark.parametrize(
    ("n", "old", "new", "system", "form"),
    [
        (6, "725.812", "725.912", "summary", "printed"),
        (11, "389.406", "398.406", "summary", "printed"),
        (1, "912.12", "512.12", "batch-sizes", "corrected"),
        (9, "321.556", "221.556", "regularized", "corrected"),
        (4, "936.3", "536.3", "extended", "corrected"),
        (10, "269.778", "296.778", "summary", "corrected"),
    ],
)
def test_a_changed_cell_is_caught(monkeypatch, n, old, new, system, form):
    before = statuses(verdicts(tables, system), form)
    change_cell(monkeypatch, n, old, new)
    now = refuted(verdicts(tables, system), form)
    assert any(before[key] == "verified" for key in now if key in before)


def test_a_second_copied_column_is_caught(monkeypatch):
    table = consistency.TABLES[11]
    copied = table.text.replace("787.634", "423.81").replace("610.526", "226.04")
    monkeypatch.setitem(consistency.TABLES, 11, dataclasses.replace(table, text=copied))
    assert refuted(verdicts(tables, "repeated"))


@pytest.mark.parametrize("function", ["kl_gaussians", "kl_discrete"])
def test_half_a_divergence_is_caught(monkeypatch, function):
    true = getattr(transport, function)
    monkeypatch.setattr(w1_kl, function, lambda *args: 0.5 * true(*args))
    assert refuted(verdicts(w1_kl))


def test_a_greedy_assignment_is_caught(monkeypatch):
    """W1 of points in the order in which they come is the encoder's error, not a distance of measures."""
    monkeypatch.setattr(w1_kl, "w1_samples", lambda x, y: 1.01 * float(np.linalg.norm(x - y, axis=1).mean()))
    found = verdicts(w1_kl, "reflection")
    assert refuted(found) and not refuted(found, "printed")


def test_the_average_over_sheets_is_caught(monkeypatch):
    true = transport.pushforward_density_on_circle
    monkeypatch.setattr(covering_map, "pushforward_density_on_circle", lambda p, n, at: true(p, n, at) / n)
    assert {q for _, q, _ in refuted(verdicts(covering_map))} == {"∫η̄ − 1", "∫f dF_#P − ∫f∘F dP"}


def test_a_rougher_loss_is_caught(monkeypatch):
    monkeypatch.setitem(smoothness.POWERS, "power-3.5", 2.5)
    assert {q for _, q, _ in refuted(verdicts(smoothness, "power-3.5"), "printed")}
    true = smoothness._truncated
    monkeypatch.setattr(smoothness, "_truncated", lambda loss, eps, r: true("exponential", eps, r))
    assert refuted(verdicts(smoothness, "growth"))


def test_a_first_order_term_left_in_the_remainder_is_caught(monkeypatch):
    true = smoothness.solve
    monkeypatch.setattr(
        smoothness,
        "solve",
        lambda sde, x0, grid, noise: true(sde, x0, grid, noise=noise) + getattr(sde, "eps", 0) ** 0.5,
    )
    assert refuted(verdicts(smoothness, "power-3.5"))


def test_a_kink_in_the_smooth_network_is_caught(monkeypatch):
    monkeypatch.setitem(assumptions.ACTIVATIONS, "relu", (nn.ReLU, nn.ELU))
    assert refuted(verdicts(assumptions, "relu"))


@pytest.mark.parametrize("name", ["φ", "σ"])
def test_a_proof_step_as_printed_is_caught(monkeypatch, name):
    true = remainder_module.remainder_terms

    def printed(*args, **options):
        terms = true(*args, **options)
        return {**terms, name: terms[f"{name} as printed"]}

    monkeypatch.setattr(lemma_b7_steps, "remainder_terms", printed)
    assert ("circle", f"rate of {name}_k", "") in refuted(verdicts(lemma_b7_steps, "circle"))


def test_a_remainder_without_the_half_is_caught(monkeypatch):
    true = remainder_module._parts
    monkeypatch.setattr(
        remainder_module, "_parts", lambda jet, space: (lambda x, y, half_w: (x, y, 2 * half_w))(*true(jet, space))
    )
    assert refuted(verdicts(lemma_b7_steps, "circle"))


@pytest.mark.parametrize("missing", ["E3", "E6", "E8", "E10"])
def test_a_correction_left_out_is_caught(monkeypatch, missing):
    monkeypatch.setitem(ablation.VARIANTS, ablation.ALL, CORRECTED - {missing})
    assert refuted(verdicts(ablation, "circle"))
