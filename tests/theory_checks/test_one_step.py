"""The discrete model as an Euler step of its SDE: what is verified, what is refuted, and mutations that are caught."""

from __future__ import annotations

import pytest
from support import judge_all

from sdewm.verification.settings import Settings
from sdewm.worldmodel import recorded_observation
from theory_checks import one_step


def refuted(form: str) -> set[str]:
    verdicts = judge_all(one_step.CLAIM.rows("trained-step", Settings()))
    assert {v.status for v in verdicts} <= {"verified", "refuted"}
    return {v.quantity[12:15] for v in verdicts if v.form == form and v.status == "refuted"}


def test_the_corrected_analogues_are_exact_and_the_printed_ones_are_not():
    assert refuted("corrected") == set()
    assert refuted("printed") == {"(5)", "(6)", "(7)", "(8)"}


@pytest.mark.parametrize(
    ("leak", "method"), [(0.5, "euler-sequential"), (1.0, "euler")], ids=["half a leak", "at once"]
)
def test_another_step_is_caught(monkeypatch, leak, method):
    monkeypatch.setattr(one_step, "READINGS", [("corrected", "another", leak, method)])
    assert refuted("corrected") == {"(5)", "(6)", "(7)", "(8)"}


def test_an_observation_that_comes_a_step_late_is_caught(monkeypatch):
    def late(*args):
        frames = recorded_observation(*args)
        return lambda t: frames(t - 1)

    monkeypatch.setattr(one_step, "recorded_observation", late)
    assert refuted("corrected") == {"(5)", "(6)", "(7)", "(8)"}
