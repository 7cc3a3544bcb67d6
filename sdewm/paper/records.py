"""Where the evidence for a statement is: which records of a report of the checks bear on it, and what they say."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Record = Mapping[str, Any]
REPORT = Path("results/theory_checks.json")


@dataclass(frozen=True)
class Evidence:
    """Records of one check: all of them, or those with this system, quantity or reading."""

    claim: str
    system: str | None = None
    quantity: str | None = None
    reading: str | None = None

    def among(self, records: Sequence[Record], form: Literal["printed", "corrected"]) -> list[Record]:
        """The records it means, in the report's order."""
        wanted = {"claim": self.claim, "system": self.system, "quantity": self.quantity, "reading": self.reading}
        asked = {key: value for key, value in wanted.items() if value is not None}
        return [r for r in records if r["form"] == form and all(r[k] == v for k, v in asked.items())]

    def __str__(self) -> str:
        parts = [self.system, self.quantity, self.reading]
        return ", ".join([f"`{self.claim}`", *(p for p in parts if p)])


# What is read of a record.
NEEDED = frozenset(
    "claim system quantity form reading status statistic stderr expected relation standard_errors".split()
)


def load(path: Path = REPORT) -> list[Record]:
    """The records that ``python -m theory_checks --json`` wrote; ``ValueError`` for any other file."""
    try:
        written = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:  # no file, no text, no JSON
        raise ValueError(f"report: expected a file of theory_checks --json, got {path}: {error}") from error
    if not isinstance(written, dict) or not isinstance(written.get("records"), list):
        raise ValueError(f"report: expected a file of theory_checks --json, got {path} without records")
    for i, record in enumerate(written["records"]):
        if not isinstance(record, dict) or not record.keys() >= NEEDED:
            raise ValueError(
                f"report: expected {', '.join(sorted(NEEDED))} in each record, got {path} with another [{i}]"
            )
    return written["records"]


def refuted_in_every_reading(records: Sequence[Record]) -> list[tuple[str, str]]:
    """The printed statements, as pairs of claim and quantity, that a report refutes in every reading on some system."""
    statuses: dict[tuple[str, str, str], set[str]] = {}
    for r in records:
        if r["form"] == "printed":
            statuses.setdefault((r["claim"], r["quantity"], r["system"]), set()).add(r["status"])
    return list(dict.fromkeys((claim, quantity) for (claim, quantity, _), s in statuses.items() if s == {"refuted"}))


def in_one_line(records: Sequence[Record]) -> str:
    """One line: how many rows are of which status, and the row that shows it best.

    That is the refuted row which is the most standard errors away, else the row that comes closest to being refuted.
    """
    if not records:
        return "not in this report"
    counts = Counter(r["status"] for r in records)
    total = len(records)
    if total == 1:
        text = next(iter(counts))
    else:
        text = ", ".join(f"{status} {n} of {total}" for status, n in counts.most_common())
    refuted = [r for r in records if r["status"] == "refuted"]
    shown = max(refuted or records, key=lambda r: (r["standard_errors"], abs(r["statistic"] - r["expected"])))
    where = (
        "" if total == 1 else f" ({', '.join(p for p in (shown['system'], shown['quantity'], shown['reading']) if p)})"
    )
    return f"{text}; {_number(shown)}{where}"


def verdicts(evidence: Iterable[Evidence], records: Sequence[Record]) -> tuple[str, str]:
    """What a report says where the evidence is, as printed and as corrected; "" where it means no record."""
    evidence = list(evidence)
    printed = [r for e in evidence for r in e.among(records, "printed")]
    corrected = [r for e in evidence for r in e.among(records, "corrected")]
    return in_one_line(printed) if printed else "", in_one_line(corrected) if corrected else ""


def _number(r: Record) -> str:
    if r["status"] == "vacuous":
        return f"smallest constant {r['statistic']:.4g}"
    sign = "off by" if r["relation"] == "=" else "above the bound by" if r["statistic"] > r["expected"] else "below by"
    deviation = r["statistic"] - r["expected"]
    size = f"{deviation:+.3g}" if r["relation"] == "=" else f"{abs(deviation):.3g}"
    if r["stderr"] == 0:
        return f"{sign} {size}"
    beyond = f", {r['standard_errors']:.0f} standard errors" if r["status"] == "refuted" else ""
    return f"{sign} {size} ± {r['stderr']:.1g}{beyond}"
