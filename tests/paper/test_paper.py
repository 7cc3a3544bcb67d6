"""The paper as data: no statement is missing, every erratum has evidence that refutes it, documents are up to date."""

from __future__ import annotations

import dataclasses
import json
import re
from decimal import Decimal
from pathlib import Path

import pytest
from support import refuses

from sdewm.expansion.variation_of_constants import CORRECTIONS
from sdewm.paper import consistency, errata, tables
from sdewm.paper.errata import ERRATA, KINDS, measured, without_entry
from sdewm.paper.records import REPORT, Evidence, in_one_line, load, verdicts
from sdewm.paper.statements import STATEMENTS
from sdewm.paper.tables import TABLES, number, unit
from theory_checks import listings
from theory_checks.discovery import claims
from theory_checks.run import main, parse

ROOT = Path(__file__).parents[2]


def record(**changes) -> dict:
    fields = {
        "claim": "c", "system": "s", "quantity": "q", "form": "printed", "reading": "", "status": "refuted",
        "statistic": 1.0, "expected": 0.0, "stderr": 0.1, "standard_errors": 10.0, "relation": "=",
    }  # fmt: skip
    return {**fields, **changes}


# -- tables --------------------------------------------------------------------------------------------------------


def test_every_table_is_there_and_every_cell_is_read():
    assert sorted(TABLES) == list(range(1, 12))
    shapes = {n: (len(t.rows), len(t.columns)) for n, t in TABLES.items()}
    detailed = {6: (11, 4), 7: (11, 4), 8: (2, 4), 9: (11, 4), 10: (10, 4), 11: (2, 4)}
    assert shapes == {1: (4, 6), 2: (4, 7), 3: (2, 8), 4: (3, 3), 5: (17, 1), **detailed}
    for n, table in TABLES.items():
        cells = [table[row, column] for row in table.rows for column in table.columns]
        assert all(isinstance(c, Decimal) for c in cells) or n == 5


def test_digits_are_kept():
    assert TABLES[7]["0.35", "stdev (baseline)"] == Decimal("79.30")
    assert unit(number(TABLES[7]["0.35", "stdev (baseline)"])) == Decimal("0.01")
    assert unit(Decimal("754.4")) == Decimal("0.1")
    with refuses(TypeError, "cell", "'tanh'"):
        number(TABLES[5]["clip_rewards", "value"])


def test_a_row_with_a_cell_too_few_is_an_error():
    short = dataclasses.replace(TABLES[4], text="Baseline | 1 2")
    with pytest.raises(ValueError):
        short.column("100k")


def test_steps_ahead_by_hand():
    """With λ = 0.05 the baseline's 886.6 is passed between 639.1 at 100k and 936.3 at 200k."""
    by_hand = 280 - (100 + 100 * (886.6 - 639.1) / (936.3 - 639.1))
    assert consistency.steps_ahead()["With Jacobian (λ = 0.05)"] == pytest.approx(by_hand)


# -- statements ----------------------------------------------------------------------------------------------------


def test_no_number_is_missing():
    ids = [s.id for s in STATEMENTS]
    assert len(ids) == len(set(ids))
    numbered = [int(m[1]) for s in ids if (m := re.search(r"\((\d+)\)$", s))]
    assert sorted(numbered) == list(range(1, 60))
    named = [
        *(f"Assumption 3.{i}" for i in (1, 2, 3, 4, 5)), *(f"Assumption A.{i}" for i in (3, 4, 5)),
        "Assumption B.2", "Assumption B.3", "Definition A.1", "Definition A.2", "Theorem 3.6", "Theorem 3.7",
        "Corollary 3.8", "Theorem 4.1", "Corollary 4.2", "Theorem A.6", "Proposition A.7", "Proposition B.1",
        "Theorem B.4", "Proposition B.5", "Lemma B.6", "Lemma B.7", "Theorem C.1", "Proposition C.2", "(a)", "(b)",
        "(*)", "(**)", *(f"Table {n}" for n in TABLES), *(f"Figure {n}" for n in (1, 3, 4, 5, 6, 7)),
    ]  # fmt: skip
    assert set(named) <= set(ids)
    steps = "i ii iii iv v vi vii viii ix x".split()
    assert {f"Lemma B.6 ({s})" for s in steps} <= set(ids)
    assert {f"Lemma B.7 ({s})" for s in "i ii iii iv v vi vii ix x xi".split()} <= set(ids)


@pytest.mark.parametrize("statement", STATEMENTS, ids=lambda s: s.id)
def test_a_statement_is_covered_or_says_why_not(statement):
    assert bool(listings.checks(statement.id)) != bool(statement.reason)


def test_verdicts_of_a_statement():
    records = [
        record(claim="theorem_3_7", quantity="coefficient of ε"),
        record(claim="theorem_3_7", quantity="coefficient of ε²", status="verified"),
        record(claim="theorem_3_7", quantity="coefficient of ε", form="corrected", status="verified"),
    ]
    printed, corrected = verdicts(listings.evidence("(11)"), records)
    assert printed.startswith("refuted") and corrected.startswith("verified")


# -- errata --------------------------------------------------------------------------------------------------------


def test_errata_are_numbered_without_gaps_and_name_the_formulas_corrections():
    assert sorted(int(e.id.removeprefix("E")) for e in ERRATA) == list(range(1, len(ERRATA) + 1))
    assert set(CORRECTIONS) <= {e.id for e in ERRATA}
    assert {e.kind for e in ERRATA} == set(KINDS)


@pytest.mark.parametrize("erratum", ERRATA, ids=lambda e: e.id)
def test_an_erratum_has_records_that_refute_it_or_an_argument(erratum):
    assert erratum.printed and erratum.corrected and erratum.why
    for evidence in erratum.evidence:
        # By quantity, lest a claim's name alone cover whatever else that claim's check will refute.
        assert evidence.claim in claims() and evidence.quantity
        found = evidence.among(load(ROOT / REPORT), "printed")
        assert "refuted" in {r["status"] for r in found}, f"{evidence}: {[r['status'] for r in found]}"


def test_whatever_the_record_refutes_in_every_reading_has_an_erratum():
    assert without_entry(load(ROOT / REPORT)) == []


@pytest.mark.parametrize("alone", [e for e in ERRATA if e.evidence], ids=lambda e: e.id)
def test_an_erratum_left_out_is_missed(alone):
    """Each entry with evidence, unless others have all of it too: the join must see that it is gone."""
    others = [e for e in ERRATA if e is not alone]
    shared = {(x.claim, x.quantity) for e in others for x in e.evidence}
    own = {(x.claim, x.quantity) for x in alone.evidence} - shared
    missed = set(without_entry(load(ROOT / REPORT), others))
    assert missed == own


def test_a_row_refuted_in_every_reading_on_one_system_is_missed_and_no_other():
    refuted = record(reading="a")
    assert without_entry([refuted, record(reading="b")], []) == [("c", "q")]
    assert without_entry([refuted, record(reading="b", status="verified")], []) == []
    assert without_entry([refuted, record(reading="b", status="indistinguishable from 0")], []) == []
    assert without_entry([refuted, record(system="t", status="verified")], []) == [("c", "q")]
    assert without_entry([record(form="corrected")], []) == []


def test_evidence_names_systems_that_are_there():
    covering = [x for s in STATEMENTS for x in listings.evidence(s.id)]
    for e in [*(x for erratum in ERRATA for x in erratum.evidence), *covering]:
        assert e.system is None or e.system in claims()[e.claim].systems


@pytest.mark.parametrize(("name", "made_by"), [("errata", errata), ("statements", listings)])
def test_the_committed_document_is_what_is_generated(name, made_by):
    assert (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8") == made_by.markdown(load(ROOT / REPORT))


def test_a_measured_number_is_the_reports():
    erratum = next(e for e in ERRATA if e.id == "E17")
    quantity = "rows in which two experiments agree, less one"
    there = record(claim="tables", system="repeated", quantity=quantity, statistic=3.5, stderr=0.0)
    assert measured(erratum, [there]) == "refuted; off by +3.5"
    assert measured(erratum, []) == "not in this report"


def test_summary_shows_the_clearest_refutation():
    rows = [
        record(system="a", standard_errors=5.0),
        record(system="b", standard_errors=50.0),
        record(status="verified"),
    ]
    assert in_one_line(rows) == "refuted 2 of 3, verified 1 of 3; off by +1 ± 0.1, 50 standard errors (b, q)"
    assert in_one_line([record(status="vacuous", statistic=2.5)]) == "vacuous; smallest constant 2.5"
    assert in_one_line([record(relation="≤", status="verified", statistic=-2.0)]) == "verified; below by 2 ± 0.1"


def test_evidence_selects():
    rows = [record(system="a"), record(system="b"), record(system="a", form="corrected"), record(claim="d", system="a")]
    assert Evidence("c", "a").among(rows, "printed") == rows[:1]


# -- the command ---------------------------------------------------------------------------------------------------


def test_the_command_lists_statements_and_errata(tmp_path, capsys):
    path = tmp_path / "report.json"
    quantity = "rows in which two experiments agree, less one"
    path.write_text(json.dumps({"records": [record(claim="tables", quantity=quantity)]}))
    assert main(["--statements", "--errata", "--report", str(path)]) == 0
    out = capsys.readouterr().out
    assert "Theorem 3.6" in out and "not covered" in out and "E17" in out and "10 standard errors" in out


def test_a_run_names_what_it_refutes_and_the_errata_lack(monkeypatch, capsys, tmp_path):
    command = ["tables", "--system", "repeated", "--runs", str(tmp_path)]
    assert main(command) == 0
    assert "not in the errata" not in capsys.readouterr().out
    monkeypatch.setattr(errata, "ERRATA", tuple(e for e in ERRATA if e.id != "E17"))
    main(command)
    assert "not in the errata: tables, rows in which two experiments agree, less one" in capsys.readouterr().out


@pytest.mark.parametrize(
    "text", [None, "not json", "[]", '{"records": 3}', '{"records": [{}]}', '{"records": [1]}', b"\xff"]
)
def test_a_file_that_is_no_report_is_refused(tmp_path, capsys, text):
    path = tmp_path / "report.json"
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(SystemExit) as stopped:
        parse(["--errata", "--report", str(path)])
    assert stopped.value.code == 2
    assert "argument --report: report: expected" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "named"),
    [
        (["prop_b5"], "NAME"),
        (["--system", "gbm"], "--system"),
        (["--json", "x.json"], "--json"),
        (["--quick"], "--quick"),
        (["--seed", "3"], "--seed"),
        (["--precision", "0.01"], "--precision"),
    ],
)
@pytest.mark.parametrize("listing", ["--errata", "--statements"])
def test_a_list_takes_nothing_of_a_run(capsys, listing, more, named):
    with pytest.raises(SystemExit):
        parse([listing, *more])
    assert f"argument {named}: expected without --statements and --errata" in capsys.readouterr().err


def test_a_report_alone_is_refused(capsys):
    with pytest.raises(SystemExit):
        parse(["--report", "x.json"])
    assert "expected with --statements or --errata" in capsys.readouterr().err


def test_examples_of_the_tables():
    import doctest

    assert doctest.testmod(tables).failed == 0
