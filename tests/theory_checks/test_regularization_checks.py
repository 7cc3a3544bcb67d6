"""The checks over the ladder of λ: what they find, and that they would notice if it were otherwise."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch
from support import judge_all

import theory_checks.leak as leak
import theory_checks.regularized as regularized
from sdewm.verdicts.judge import Verdict
from sdewm.verification.settings import Settings
from sdewm.worldmodel import error_growth, load_trained, robustness
from sdewm.worldmodel.ladder import SHIPPED_SEEDS, SHIPPED_WEIGHTS, Rung, model_name, read_record
from sdewm.worldmodel.shipped import LEAN, LEAN_REGULARIZED
from theory_checks import jacobian_regularization, lean_pair

QUICK = Settings(precision=1e-2)
SYSTEM = regularized.SYSTEM


def verdicts(check, settings: Settings = QUICK) -> dict[tuple[str, str, str], Verdict]:
    return {(v.quantity, v.form, v.reading): v for v in judge_all(check.CLAIM.rows(SYSTEM, settings))}


def without_measuring(monkeypatch) -> None:
    """Rows from the record alone."""
    monkeypatch.setattr(
        jacobian_regularization,
        "record_rows",
        lambda rows, settings: [
            regularized.seeds_row(rows, "the record, measured anew", "corrected", "", {0: -1.0, 1: -1.0}, 1.0, {})
        ],
    )
    monkeypatch.setattr(leak, "_bounds", lambda rows, settings: iter(()))


def relabel(monkeypatch, change) -> None:
    """A record in which every rung is changed."""
    record = [change(rung) for rung in read_record()]
    monkeypatch.setattr(regularized, "read_record", lambda: record)
    monkeypatch.setattr(leak, "read_record", lambda: record)


@pytest.mark.parametrize("check", [jacobian_regularization, leak])
def test_every_corrected_statement_is_verified(check):
    found = {key: v.status for key, v in verdicts(check).items() if v.form == "corrected"}
    assert set(found.values()) == {"verified"}, found


def test_every_row_says_what_one_seed_would_have_said(monkeypatch):
    without_measuring(monkeypatch)
    for check in (jacobian_regularization, leak):
        for v in verdicts(check).values():
            assert v.paths == len(v.config["by seed"]) and "seeds alone" in v.config["one seed"]
    json.dumps([v.as_dict() for v in verdicts(leak).values()])


def test_curves_run_over_the_whole_ladder():
    for check in (jacobian_regularization, leak):
        for curve in check.CLAIM.drawn(SYSTEM, QUICK):
            assert curve.x == sorted({r.weight for r in read_record()})
            assert len(curve.x) == len(curve.y) == len(curve.stderr)


def test_the_ends_of_the_ladder_ship():
    weights = {(r.weight, r.seed) for r in read_record()}
    for weight in SHIPPED_WEIGHTS:
        for seed in SHIPPED_SEEDS:
            assert (weight, seed) in weights
            agent, episodes = load_trained(model_name(weight, seed))
            assert agent.world_model.observation_mean.dtype == torch.float64 and len(episodes) == 3


# The pair of agents.


def cheaply(monkeypatch) -> None:
    """Few replicates, and the loss's increase (which has systems of its own, "lean") left out."""
    monkeypatch.setattr(robustness, "REPLICATES", 3)
    ones = {name: np.ones(2) for name in ("bias", "increase")}
    monkeypatch.setattr(robustness, "loss_increase", lambda agent, records, error: ones)


def pair_verdicts() -> dict[tuple[str, str], Verdict]:
    found = judge_all(jacobian_regularization.CLAIM.rows(lean_pair.SYSTEM, QUICK))
    return {(v.quantity, v.form): v for v in found}


PENALIZED = ("what is penalized falls, ‖(∂_h f, ∂_z f)‖_F", "corrected")


def test_the_pair_says_that_it_is_one_seed_and_what_its_intervals_are_over(monkeypatch):
    cheaply(monkeypatch)
    found = pair_verdicts()
    assert found[PENALIZED].status == "verified"
    for v in found.values():
        assert v.reading.endswith("one training seed") and v.config["training seeds"] == 1
        assert v.config["interval"].startswith("over ")


def test_a_pair_with_its_agents_exchanged_is_seen(monkeypatch):
    cheaply(monkeypatch)
    monkeypatch.setattr(lean_pair, "LEAN", LEAN_REGULARIZED)
    monkeypatch.setattr(lean_pair, "LEAN_REGULARIZED", LEAN)
    assert pair_verdicts()[PENALIZED].status == "refuted"


# Mutations.


def test_swapped_labels_are_seen(monkeypatch):
    """λ = 0 and λ = 10 exchanged in the record: the models measured anew disagree, and the corrected rows fail."""
    other = {0.0: 10.0, 10.0: 0.0}
    relabel(monkeypatch, lambda r: dataclasses.replace(r, weight=other.get(r.weight, r.weight)))
    found = verdicts(jacobian_regularization)
    assert found["the record, measured anew", "corrected", ""].status == "refuted"
    assert found["what is penalized falls, ‖(∂_h f, ∂_z f)‖_F", "corrected", ""].status == "refuted"


def test_map_and_drift_exchanged_are_seen(monkeypatch):
    def exchange(r: Rung) -> Rung:
        return dataclasses.replace(
            r, measured=r.measured | {"map_h": r.measured["drift_h"], "drift_h": r.measured["map_h"]}
        )

    without_measuring(monkeypatch)
    relabel(monkeypatch, exchange)
    assert (
        verdicts(jacobian_regularization)["the leak grows: ‖∂_h f‖_F of the drift", "corrected", ""].status == "refuted"
    )
    printed = verdicts(leak)["growth of errors in h rises", "printed", "with ‖∂_h f‖_F, the flow"]
    assert printed.status == "verified"  # the norm of the map does order the errors


def test_a_logarithmic_norm_that_is_not_symmetrized_is_seen(monkeypatch):
    """The largest real part of the eigenvalues bounds nothing: the flow's bound breaks, live and on the record."""
    monkeypatch.setattr(error_growth, "logarithmic_norm", lambda m: torch.linalg.eigvals(m).real.amax(-1))
    assert verdicts(leak)["log‖Ψ‖ ≤ ∫μ₂ dt, the flow", "corrected", ""].status == "refuted"


def test_a_bound_that_forgets_the_noise_of_the_predictor_is_seen(monkeypatch):
    """ρ from A alone: the record's own ½ log ρ is not what is measured."""
    honest = error_growth.mean_square_growth
    monkeypatch.setattr(error_growth, "mean_square_growth", lambda h, z, p, p_bar: honest(h, z, p, 0 * p_bar))
    found = verdicts(jacobian_regularization)["the record, measured anew", "corrected", ""]
    # Both are made of ρ.
    assert found.status == "refuted" and found.config["worst"].startswith(("log_rho", "bound_used"))
