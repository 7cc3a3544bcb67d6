"""What figures are drawn from: JSON files that a run has written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sdewm.report import Curve


def load(folder: Path, name: str, command: str) -> dict[str, Any]:
    """The record ``folder``/``name``; where there is none, the error says which command writes it."""
    path = folder / name
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such record; make it with: {command}")
    return json.loads(path.read_text(encoding="utf-8"))


def checks(folder: Path) -> dict[str, Any]:
    """The report of the theory checks."""
    return load(folder, "theory_checks.json", f"python -m theory_checks --json {folder / 'theory_checks.json'}")


def curves(report: dict[str, Any], claim: str, system: str | None = None) -> dict[tuple[str, str], Curve]:
    """A claim's curves by (system, label), in the order of the report; ``ValueError`` where it has none."""
    every = [Curve(**c) for c in report["curves"]]
    found = {(c.system, c.label): c for c in every if c.claim == claim and system in (None, c.system)}
    if not found:
        raise ValueError(
            f"the report has no curves of {claim}{f' on {system}' if system else ''}; run that check first"
        )
    return found
