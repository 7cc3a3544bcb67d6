"""Figures from records: the same bytes for the same data, and errors that say what to run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from figures.__main__ import FIGURES, main
from figures.learning_curves import reached, runs

RESULTS = Path(__file__).parent.parent / "results"


@pytest.mark.parametrize("name", FIGURES)
def test_figure_is_drawn_from_the_record_and_the_same_each_time(name, tmp_path):
    drawn = []
    for folder in ("first", "second"):
        assert main([name, "--results", str(RESULTS), "--out", str(tmp_path / folder)]) == 0
        drawn.append({p.name: p.read_bytes() for p in (tmp_path / folder).iterdir()})
    assert set(drawn[0]) == {f"{name}.png", f"{name}.pdf", f"{name}.svg"}
    assert drawn[0] == drawn[1]


def test_a_figure_follows_its_numbers(tmp_path):
    """No figure draws what is not in the record: another number, another picture."""
    record = json.loads((RESULTS / "theory_checks.json").read_text())
    for curve in record["curves"]:
        if curve["claim"] == "prop_b5" and curve["label"] == "order 1":
            curve["y"] = [2 * y for y in curve["y"]]
    (tmp_path / "theory_checks.json").write_text(json.dumps(record))
    main(["remainder", "--results", str(RESULTS), "--out", str(tmp_path / "recorded")])
    main(["remainder", "--results", str(tmp_path), "--out", str(tmp_path / "changed")])
    assert (tmp_path / "recorded/remainder.svg").read_bytes() != (tmp_path / "changed/remainder.svg").read_bytes()


def test_learning_curves_find_a_tasks_runs_and_when_they_reach_the_target(tmp_path):
    lines = [
        {"kind": "episode", "random": True, "return": 100.0, "frames": 1000, "cpu_seconds": 3.0},
        {"kind": "evaluation", "return": 500.0, "frames": 8000},
        {"kind": "train", "frames": 9000, "cpu_seconds": 120.0},
        {"kind": "evaluation", "return": 650.0, "frames": 9000},
        {"kind": "evaluation", "return": 400.0, "frames": 10000},
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    for name in ("task.jsonl", "task_2.jsonl", "task_other.jsonl"):
        (tmp_path / name).write_text(text)
    found = runs(tmp_path, "task")
    assert list(found) == [0, 2]
    assert reached(found[2], 600) == (9000, 2.0)
    assert reached(found[2], 700) is None
    assert main(["learning_curves", "--results", str(tmp_path), "--out", str(tmp_path)]) == 1


def test_a_missing_record_says_which_command_writes_it(tmp_path, capsys):
    assert main(["remainder", "--results", str(tmp_path)]) == 1
    assert "python -m theory_checks --json" in capsys.readouterr().err


def test_unknown_figure(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["pie"])
    assert stopped.value.code == 2 and "pie" in capsys.readouterr().err
