"""The record of bounds along paths: nothing violates them, and the documentation has its numbers."""

from __future__ import annotations

import json
import math
from pathlib import Path

from benchmarks.path_bounds import HORIZONS, SIZES, SYSTEMS, radius, table, tube_table

HOME = Path(__file__).parents[2]
RECORD = json.loads((HOME / "results" / "path_bounds.json").read_text("utf-8"))


def test_no_recorded_path_violates_its_bound():
    runs = [*RECORD["systems"].values(), RECORD["timed"], *RECORD["tubes"]]
    assert set(RECORD["systems"]) == set(SYSTEMS)
    assert [run["violations"] for run in runs] == [0] * len(runs)
    assert all(len(run["rows"]) == len(HORIZONS) * len(SIZES) for run in RECORD["systems"].values())


def test_the_page_has_the_tables_of_the_record():
    page = (HOME / "docs" / "theory" / "divergence.md").read_text("utf-8")
    assert table(RECORD) in page and tube_table(RECORD) in page


def test_a_radius_ends_where_the_ratio_does():
    rows = [{"steps": 5, "size": c, "ratio": r} for c, r in ((0.1, 1.0), (0.2, 1.4), (0.3, math.inf), (0.4, 1.0))]
    assert radius(rows, 5) == 0.2
    assert radius(rows[2:], 5) == 0.0
    assert radius([{"steps": 5, "size": 0.1, "ratio": math.nan}], 5) == 0.0
