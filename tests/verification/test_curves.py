"""Curves of a report: over which errors they are drawn."""

from __future__ import annotations

import json
import math

from benchmarks.users import heston
from sdewm import verify


def test_a_range_on_which_paths_leave_the_numbers_is_halved(tmp_path):
    """Heston's variance is negative under errors as large as the series would be valid for."""
    report = verify(heston.system(), claims=["expansion"], precision=5e-2, seed=0)
    report.to_json(tmp_path / "report.json")
    curves = json.loads((tmp_path / "report.json").read_text("utf-8"))["curves"]
    simulated = next(curve for curve in curves if curve["label"] == "simulated")
    assert all(map(math.isfinite, simulated["y"])) and max(simulated["x"]) > 1
