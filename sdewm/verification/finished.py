"""The results of one unit of work, which is what a worker does at a time."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from sdewm.verdicts.judge import LeftOut, Verdict
from sdewm.verdicts.record import Curve


@dataclass(frozen=True)
class Finished:
    """The results that a unit contributes to a report.

    Attributes
    ----------
    rows : a verdict for each comparison, and the comparisons that were left out.
    seconds : the computing time; ``by_claim`` has that of each claim if there are several.
    terms, curves, series, notes : the terms of the expansion, curves for figures, the expansion of each loss in a line,
        and notes for the report; empty if there are none.
    """

    rows: tuple[Verdict | LeftOut, ...]
    seconds: float
    by_claim: dict[str, float] = field(default_factory=dict)
    terms: tuple[dict[str, Any], ...] = ()
    curves: tuple[Curve, ...] = ()
    series: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def as_record(self) -> dict[str, Any]:
        """The results as a dictionary for JSON, which keeps every bit of a number."""
        found: dict[str, Any] = json.loads(json.dumps(asdict(self), default=_plain))
        return found

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Finished:
        """Read what :meth:`as_record` returned; ``KeyError`` or ``TypeError`` if it is something else."""
        return cls(
            rows=tuple(Verdict(**row) if "status" in row else LeftOut(**row) for row in record["rows"]),
            seconds=record["seconds"],
            by_claim=record["by_claim"],
            terms=tuple(record["terms"]),
            curves=tuple(Curve(**curve) for curve in record["curves"]),
            series=tuple(record["series"]),
            notes=tuple(record["notes"]),
        )


def _plain(value: object) -> object:
    return value.item() if isinstance(value, np.generic) else str(value)
