"""What the study of perturbed images counts as held, covered and sharp; and that its record adds up."""

import json
from pathlib import Path

import pytest

from benchmarks.pixels_to_epsilon import KINDS, LOSSES, MODELS, breakdown, close, covers, holds, sharp, summary
from sdewm.estimate.estimates import Estimate

RECORD = Path(__file__).parents[2] / "results" / "pixels_to_epsilon.json"


@pytest.mark.parametrize(
    ("predicted", "measured", "expected"),
    [
        ((1.0, 0.0), (1.2, 0.0), True),  # within a fifth of 1.2
        ((1.0, 0.0), (1.3, 0.0), False),
        ((1.0, 0.03), (1.3, 0.04), True),  # two standard errors of the difference more
        ((-1.0, 0.0), (1.0, 0.1), False),
    ],
)
def test_a_prediction_holds_within_a_fifth_and_the_error_bars(predicted, measured, expected):
    assert holds(*(Estimate(*e, n=64) for e in (predicted, measured))) is expected


def test_an_interval_is_widened_by_the_bar_of_what_is_measured():
    assert covers(0.0, 2.0, 1.0, 0.0, 1.9) and not covers(0.0, 2.0, 1.0, 0.0, 2.1)
    assert covers(0.0, 2.0, 1.0, 1.0, 2.4) and not covers(0.0, 2.0, 1.0, 1.0, 2.5)


def row(size, holding, flags=(), predicted=1.0):
    return {
        "model": "m", "kind": "k", "loss": "l", "size": size, "spreads": [size / 10, 0.0], "flags": list(flags),
        "holds": holding, "covered": True, "simulated holds": True, "simulated covered": True,
        "predicted": [predicted, 0.01], "simulated": [1.0, 0.01], "measured": [1.0, 0.01],
    }  # fmt: skip


def test_the_reach_ends_before_the_first_that_fails():
    rows = [row(1.0, True), row(4.0, True), row(2.0, False, ["why"], 2.0)]
    [found] = breakdown(rows)
    assert (found["holds"], found["simulated holds"]) == (0.1, 0.4)
    counts = summary(rows)["counts"]
    assert counts["unflagged"]["holds"] == 2 and counts["flagged"]["holds"] == 0
    assert counts["all"]["sharp and predicted within a fifth"] == 2 and counts["all"]["sharp"] == 3
    assert not sharp(row(1.0, True) | {"measured": [1.0, 0.1]}) and not close(rows[2], "predicted")


def test_the_record_is_whole_and_adds_up():
    record = json.loads(RECORD.read_text(encoding="utf-8"))
    expected = {(m, k, s, loss) for m in MODELS for k, sizes in KINDS.items() for s in sizes for loss in LOSSES}
    rows = record["rows"]
    assert {(r["model"], r["kind"], r["size"], r["loss"]) for r in rows} == expected and len(rows) == len(expected)
    assert summary(rows) == record["summary"]
