"""What figures are drawn from: JSON files that a run has written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sdewm.verdicts.record import Curve


def load(folder: Path, name: str, command: str) -> dict[str, Any]:
    """The record ``folder``/``name``; where there is none, the error says which command writes it."""
    path = folder / name
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such record; make it with: {command}")
    return json.loads(path.read_text(encoding="utf-8"))


def checks(folder: Path) -> dict[str, Any]:
    """The report of the theory checks."""
    return load(folder, "theory_checks.json", f"python -m theory_checks --json {folder / 'theory_checks.json'}")


def curves_of(report: dict[str, Any], claim: str) -> dict[str, dict[str, Curve]]:
    """A claim's curves by system and by label, in the order of the report; ``ValueError`` where it has none."""
    found = _by_system(report, claim)
    if not found:
        raise ValueError(f"the report has no curves of {claim}; run that check first")
    return found


def lines(report: dict[str, Any], claim: str, system: str) -> dict[str, Curve]:
    """The curves of one claim on one system by label; ``ValueError`` where it has none."""
    found = _by_system(report, claim)
    if system not in found:
        raise ValueError(f"the report has no curves of {claim} on {system}; run that check first")
    return found[system]


def _by_system(report: dict[str, Any], claim: str) -> dict[str, dict[str, Curve]]:
    found: dict[str, dict[str, Curve]] = {}
    for curve in (Curve(**c) for c in report["curves"] if c["claim"] == claim):
        found.setdefault(curve.system, {})[curve.label] = curve
    return found


def records(report: dict[str, Any], claim: str, system: str, quantity: str) -> dict[str, dict[str, Any]]:
    """A claim's verdicts on one quantity by reading; ``ValueError`` where it has none."""
    asked = (claim, system, quantity)
    found = {r["reading"]: r for r in report["records"] if (r["claim"], r["system"], r["quantity"]) == asked}
    if not found:
        raise ValueError(f"the report has no record of {claim} on {system}: {quantity}; run that check first")
    return found
