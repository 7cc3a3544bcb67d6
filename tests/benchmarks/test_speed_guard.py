"""No speed is lost unnoticed: ratios to what the record has, of times in one run, may not fall to two thirds.

Processor time of compiled walks against plain ones and torchsde, the least of several rounds. Ratios do not depend on
how fast the machine is; they do on its caches, so that one of another make may need a record of its own.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks import compiled

RECORD = Path(__file__).parents[2] / "results" / "compiled.json"
SYSTEM = "8-32-8, noise a full matrix"
PATHS, ROUNDS, LOSS = 10_000, 4, 1.5


def recorded(kind: str) -> dict[str, float]:
    rows = json.loads(RECORD.read_text(encoding="utf-8"))["rows"]
    [found] = [r for r in rows if (r["system"], r["carried"], r["paths"]) == (SYSTEM, kind, PATHS)]
    return found["nanoseconds"]


def lost(measured: dict[str, float], record: dict[str, float]) -> list[str]:
    """Against whom the compiled walk has lost its lead by more than :data:`LOSS`."""
    leads = {who: measured[who] / measured["compiled"] for who in measured if who != "compiled"}
    return [who for who, lead in leads.items() if lead * LOSS < record[who] / record["compiled"]]


@pytest.mark.parametrize("kind", compiled.SPACES)
def test_compiled_walks_keep_their_lead(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "ROUNDS", ROUNDS)
    monkeypatch.setattr(compiled, "WITH_JAX", False)
    monkeypatch.setattr(compiled.statistics, "median", min)
    found = compiled.measure(SYSTEM, kind, PATHS)
    assert not lost(found, recorded(kind)), (found, recorded(kind))


def test_a_walk_of_half_the_speed_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "ROUNDS", ROUNDS)
    monkeypatch.setattr(compiled, "WITH_JAX", False)
    monkeypatch.setattr(compiled.statistics, "median", min)
    real = compiled.ours

    def twice(*args, **kwargs) -> Callable[[], object]:  # the compiled walk only
        run = real(*args, **kwargs)
        return (lambda: (run(), run())) if args[-1] else run

    monkeypatch.setattr(compiled, "ours", twice)
    assert "torch" in lost(compiled.measure(SYSTEM, "plain", PATHS), recorded("plain"))
