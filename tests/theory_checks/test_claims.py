"""Claims as objects: one file adds one, and what it declares wrongly is refused by name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support import refuses

import theory_checks
from sdewm.verification.settings import Settings
from theory_checks.claim import Claim, Part
from theory_checks.discovery import claims
from theory_checks.listings import checks
from theory_checks.rows import Rows
from theory_checks.run import main
from theory_checks.unit_store import unit_store
from theory_checks.units import Unit, units, work

ADDED = """
from theory_checks.claim import Claim

def check(rows, settings):
    yield rows.equal("one and one", "corrected", "", 2.0, 2.0, margin=0.1)
    yield rows.at_most("two and two", "printed", "", 4.0, 3.0)

def curves(rows, settings):
    yield rows.curve("sums", [1.0, 2.0], [2.0, 4.0])

CLAIM = Claim("added", ("Lemma B.6",), ("slate", "abacus"), check, curves, quick=("slate",), seconds={"abacus": 7.0})
"""


@pytest.fixture
def added(tmp_path, monkeypatch) -> Path:
    """A folder that is a part of the package, with one more claim."""
    (tmp_path / "added.py").write_text(ADDED)
    monkeypatch.setattr(theory_checks, "__path__", [*theory_checks.__path__, str(tmp_path)])
    claims.cache_clear()
    yield tmp_path
    claims.cache_clear()


def test_a_file_adds_a_claim(added, capsys):
    report = added / "report.json"
    assert main(["added", "--json", str(report), "--runs", str(added / "runs"), "--workers", "1"]) == 0
    written = json.loads(report.read_text())
    assert [(r["system"], r["quantity"], r["status"]) for r in written["records"]] == [
        ("slate", "one and one", "verified"),
        ("slate", "two and two", "refuted"),
        ("abacus", "one and one", "verified"),
        ("abacus", "two and two", "refuted"),
    ]
    assert written["run"]["statements"] == {"added": ["Lemma B.6"]}
    assert [c["label"] for c in written["curves"]] == ["sums", "sums"]
    assert "Lemma B.6" in capsys.readouterr().out
    assert checks("Lemma B.6") == ["added"]
    assert units(["added"], None, quick=True) == [Unit(("added",), "slate")]
    assert [u.cost for u in units(["added"], None, quick=False)] == [1.0, 7.0]


def test_a_claim_is_named_as_its_file(added):
    (added / "added.py").rename(added / "other.py")
    with refuses(ValueError, "name", "'added'"):
        claims()


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"statements": ("Theorem 9.9",)}, "statements"),
        ({"statements": ()}, "statements"),
        ({"quick": ("nowhere",)}, "quick"),
        ({"on_request": ("nowhere",)}, "on_request"),
        ({"seconds": {"nowhere": 1.0}}, "seconds"),
    ],
)
def test_what_a_claim_declares_is_there(changes, named):
    with refuses(ValueError, named, "nowhere" if named in ("quick", "on_request", "seconds") else "["):
        Claim(**{"name": "c", "statements": ("(1)",), "systems": ("s",), "check": lambda rows, settings: [], **changes})


def test_claims_come_in_the_order_of_the_paper_and_those_of_one_sample_together():
    names = list(claims())
    assert names.index("theorem_3_7") < names.index("corollary_3_8") < names.index("theorem_4_1")
    together = [u for u in units(names, ["gbm"], quick=False) if "theorem_3_7" in u.claims]
    assert together == [Unit(("theorem_3_7", "corollary_3_8", "prop_b5", "lemma_b7"), "gbm")]


def test_a_system_on_request_is_for_those_who_name_it():
    claim = claims()["prop_b5"]
    assert "trained-constant" not in claim.asked(None, quick=False)
    assert claim.asked(["trained-constant"], quick=False) == ["trained-constant"]


def test_parts_of_a_claim_are_the_evidence_for_a_statement():
    claim = Claim("c", (Part("(1)", "s", "q"), Part("(1)", "s", "r"), "(2)"), ("s",), lambda rows, settings: [])
    assert claim.covered == ("(1)", "(2)")
    assert [(e.claim, e.system, e.quantity) for e in claim.evidence("(1)")] == [("c", "s", "q"), ("c", "s", "r")]
    assert [(e.claim, e.system, e.quantity) for e in claim.evidence("(2)")] == [("c", None, None)]


def test_the_seconds_of_all_rows_are_those_of_the_check(monkeypatch):
    now = iter([12.0, 12.5])
    monkeypatch.setattr("theory_checks.rows.time.perf_counter", lambda: next(now))
    rows = Rows("c", "s", since=10.0)
    made = [rows.equal("a", "corrected", "", 0.0, margin=1.0), rows.at_most("b", "corrected", "", 0.0)]
    assert [row.seconds for row in made] == [2.0, 0.5]


def test_a_units_seconds_are_told_claim_by_claim(tmp_path):
    unit = Unit(("covering_map",), "two-sheets")
    finished = work(unit, Settings())
    assert 0 < finished.by_claim["covering_map"] <= finished.seconds
    store = unit_store(tmp_path, Settings(), say=print)
    store.keep(unit, finished)
    assert store.take_up([unit])[unit].by_claim == finished.by_claim
