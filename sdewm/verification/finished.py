"""What was found on a unit of work: what one worker does at a time."""

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
    """What a unit contributes to a report.

    Attributes
    ----------
    rows : a verdict for each comparison, and what was left out.
    seconds : that it took; ``by_claim``, for the rows of each claim, where there are several.
    terms, curves, series, notes : the terms of the expansion, what figures draw, the expansion of each loss in a line,
        and what else the report says, where there is any.
    """

    rows: tuple[Verdict | LeftOut, ...]
    seconds: float
    by_claim: dict[str, float] = field(default_factory=dict)
    terms: tuple[dict[str, Any], ...] = ()
    curves: tuple[Curve, ...] = ()
    series: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def as_record(self) -> dict[str, Any]:
        """What JSON can hold; numbers as they are, bit for bit."""
        found: dict[str, Any] = json.loads(json.dumps(asdict(self), default=_plain))
        return found

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Finished:
        """What :meth:`as_record` gave; ``KeyError`` or ``TypeError`` where it is something else."""
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
