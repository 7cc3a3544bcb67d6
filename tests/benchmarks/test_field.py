"""The benchmark over the field: verdicts by hand, a small run that resumes, names what is missing, and the record."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import pytest
import torch
from support import F64

from benchmarks import problems
from benchmarks.entrants import PACKAGES
from benchmarks.problems import finite, mean_row, strong_row, verdict
from sdewm.exact.hard_problems import HARD_PROBLEMS
from sdewm.exact.strong_problems import STRONG_PROBLEMS

RECORD = json.loads((Path(__file__).parents[2] / "results" / "problems.json").read_text("utf-8"))


@pytest.mark.parametrize(
    ("interval", "regime", "expected"),
    [
        ((0.9, 1.1), "asymptotic", "as declared"),
        ((0.996, 0.999), "asymptotic", "as declared"),  # the terms after the first make more
        ((0.4, 0.6), "asymptotic", "below"),
        ((1.4, 1.6), "asymptotic", "above"),
        ((0.9, 1.1), "levelling off", "wrong limit"),
        ((0.9, 1.1), "no convergence", "does not converge"),
        ((0.9, 1.1), "at rounding", "exact"),
        ((0.9, 1.1), "pre-asymptotic", "no order shown"),
    ],
)
def test_verdicts(interval, regime, expected):
    assert verdict(1.0, interval, regime) == expected


LEVELS = (3, 4, 5, 6)
NOISE = torch.randn(512, 2, generator=torch.Generator().manual_seed(0), dtype=F64)


def of_order(order: float, limit: float = 0.0) -> list:
    """States whose errors fall like a power of the step, towards 1 or something else."""
    return [1 + limit + 2.0 ** (-order * level) * (1 + 0.1 * NOISE) for level in LEVELS]


@pytest.mark.parametrize(("order", "expected"), [(1.0, "as declared"), (0.5, "below"), (1.5, "above")])
def test_a_law_has_its_order(order, expected):
    row = strong_row(LEVELS, of_order(order), torch.ones(512, 2, dtype=F64), 1.0)
    assert row["verdict"] == expected and row["order"] == pytest.approx(order, abs=0.02)
    assert row["errors"][0] == pytest.approx(math.sqrt(2.02) * 8**-order, rel=0.02)


def test_another_limit_is_seen():
    row = strong_row(LEVELS, of_order(1.0, limit=0.3), torch.ones(512, 2, dtype=F64), 1.0)
    assert row["verdict"] == "wrong limit"


def test_what_has_no_numbers_is_refused_or_not_finite():
    true, states = torch.ones(512, 2, dtype=F64), of_order(1.0)
    assert strong_row(LEVELS, ["ValueError: no"] * 4, true, 1.0) == {"refused": "ValueError: no"}
    assert strong_row(LEVELS, ["not finite", *states[1:]], true, 1.0)["verdict"] == "not finite"


def test_means_are_right_from_where_all_finer_ones_are():
    problem = HARD_PROBLEMS["3/2-model"]

    def ends(*factors):
        return [torch.full((100, 1), factor * problem.truth, dtype=F64) for factor in factors]

    assert mean_row((4, 5, 6), ends(1.2, 1.04, 0.97), problem)["right from"] == 32
    assert mean_row((4, 5, 6), ends(1.0, 1.2, 1.0), problem)["right from"] == 64
    assert mean_row((4, 5, 6), ends(1.0, 1.0, 1.2), problem)["verdict"] == "wrong"
    row = mean_row((4, 5), [*ends(1.0), "NonFiniteState: x"], problem)
    assert row["verdict"] == "not finite" and row["errors"][1] is None
    wide = problem.truth * (1 + 100 * torch.randn(100, 1, generator=torch.Generator().manual_seed(0), dtype=F64))
    assert mean_row((4,), [wide], problem)["verdict"] == "wrong"  # a sample that is no word on the mean


def test_numbers_that_json_has_not():
    assert finite({"a": [1.0, math.nan, {"b": math.inf}], "c": "x"}) == {"a": [1.0, None, {"b": None}], "c": "x"}


def test_a_small_run_resumes_and_names_what_is_missing(monkeypatch, tmp_path, capsys):
    for name, value in {"PATHS": 64, "LEVELS": (2, 3, 4)}.items():
        monkeypatch.setattr(problems, name, value)
    for package in ("diffrax", "sdeint"):
        monkeypatch.setitem(PACKAGES, package, False)
    record, problem = tmp_path / "record.json", "logistic, ito"
    monkeypatch.setattr(sys, "argv", ["problems", "--problem", problem, "--json", str(record)])
    assert problems.main() == 0
    out = capsys.readouterr().out
    assert "diffrax is not installed" in out and "sdeint is not installed" in out
    rows = json.loads(record.read_text("utf-8"))["rows"]
    methods = {row["method"]: row for row in rows}
    assert {"euler", "milstein", "taylor-1.5", "torchsde:srk"} <= set(methods)
    assert "additive noise" in methods["sra1"]["refused"]
    assert [row["package"] for row in rows if "missing" in row] == ["diffrax", "sdeint"]
    assert methods["euler"]["errors"] == sorted(methods["euler"]["errors"], reverse=True)

    def again(*_):
        raise AssertionError("measured again")

    monkeypatch.setattr(problems, "measure", again)
    assert problems.main() == 0
    monkeypatch.setitem(PACKAGES, "diffrax", True)
    with pytest.raises(AssertionError, match="measured again"):
        problems.main()


def test_the_record_is_whole_and_its_verdicts_are_those_of_its_numbers():
    rows = RECORD["rows"]
    assert {row["problem"] for row in rows} == set(STRONG_PROBLEMS) | set(HARD_PROBLEMS)
    assert not [row for row in rows if row.get("needs") == "time areas" and row["noise"] == "general"]
    for name in (*STRONG_PROBLEMS, *HARD_PROBLEMS):
        assert {row["package"] for row in rows if row["problem"] == name} == set(PACKAGES), name
    for row in rows:
        if "declared" in row:
            interval = [math.inf if end is None else end for end in row["interval"]]
            assert row["verdict"] == verdict(row["declared"], tuple(interval), row["regime"]), row


def test_ours_have_their_orders_and_peers_that_ignore_areas_have_not():
    """On noise that does not commute, where the scheme is not exact; tamed Euler's units are its own."""
    rows = [row for row in RECORD["rows"] if "declared" in row]
    ours = {r["method"] for r in rows if r["package"] == "sdewm" and r["verdict"] in ("below", "wrong limit")}
    assert ours <= {"tamed-euler"}
    general = [r for r in rows if r["noise"] == "general" and r["method"] == "diffrax:ItoMilstein"]
    assert len(general) == 9 and all(r["verdict"] == "below" for r in general)
