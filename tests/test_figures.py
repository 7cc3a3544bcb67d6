"""Figures from records: the same bytes for the same data, and errors that say what to run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from figures.__main__ import FIGURES, main

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


def test_a_missing_record_says_which_command_writes_it(tmp_path, capsys):
    assert main(["remainder", "--results", str(tmp_path)]) == 1
    assert "python -m theory_checks --json" in capsys.readouterr().err


def test_unknown_figure(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["pie"])
    assert stopped.value.code == 2 and "pie" in capsys.readouterr().err
