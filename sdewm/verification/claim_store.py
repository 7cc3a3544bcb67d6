"""Finished claims on one system of a user's in a folder, so that an interrupted run resumes where it was."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import sdewm
from sdewm.verdicts.judge import LeftOut, Verdict
from sdewm.verification.identity import fingerprint
from sdewm.verification.kept_records import UNREADABLE, KeptRecords, code_version
from sdewm.verification.looks import SIGNIFICANCE
from sdewm.verification.settings import Settings
from sdewm.verification.system import System
from sdewm.verification.system_report import Held

# Seconds that a claim takes about, in units of those that all others do, on a system that has not been checked before.
EXPECTED = 10.0


class ClaimStore:
    """What was found on a system's claims at one seed, precision, sampler and budget, by one version of the code.

    ``system`` and the modules of the user's own are told apart by :func:`~sdewm.verification.identity.fingerprint`.
    """

    def __init__(
        self, root: Path, system: System, settings: Settings, budget: float, say: Callable[[str], None]
    ) -> None:
        self.root = root
        self._name = system.name
        self._shared = {
            "system": fingerprint(system),
            **asdict(settings),
            "budget": budget,
            "significance": SIGNIFICANCE,
            "dtype": str(system.x0.dtype),
        }
        self._records = KeptRecords(root, lambda: code_version([Path(sdewm.__file__).parent]), say)

    @property
    def keeps(self) -> bool:
        """Whether claims are still written: a full disk, or code that changes, ends that."""
        return self._records.keeps

    def path(self, claim: str) -> Path:
        """Of a claim's record."""
        return self._records.path(self._title(claim), self._identity(claim))

    def take_up(self, claims: Iterable[str]) -> dict[str, Held]:
        """Those of the claims that are kept here, as they were finished."""
        found: dict[str, Held] = {}
        for claim in claims:
            record = self._records.take_up(self._title(claim), self._identity(claim))
            if record is not None:
                try:
                    found[claim] = _held(record)
                except UNREADABLE as error:
                    self._records.damaged(self._title(claim), self._identity(claim), error)
        return found

    def keep(self, claim: str, held: Held) -> Held:
        """Write what was found; returns what a later run takes up, so that both report the same."""
        rows = [[isinstance(row, Verdict), asdict(row)] for row in held.rows]
        record = {**asdict(held), "rows": rows}
        return _held(self._records.keep(self._title(claim), self._identity(claim), record))

    def seconds(self, claim: str) -> float:
        """How long the claim is expected to take: as long as last time, by whatever version of the code."""
        known = self._records.last_time(self._title(claim), self._identity(claim), "seconds")
        return known if isinstance(known, float) else EXPECTED

    def _identity(self, claim: str) -> dict[str, Any]:
        return {"claim": claim, **self._shared}

    def _title(self, claim: str) -> str:
        return f"{claim}-{self._name}"


def _held(record: dict[str, Any]) -> Held:
    return Held(
        rows=tuple(Verdict(**row) if decided else LeftOut(**row) for decided, row in record["rows"]),
        notes=tuple(record["notes"]),
        series=tuple(record["series"]),
        terms=tuple(record["terms"]),
        seconds=record["seconds"],
    )
