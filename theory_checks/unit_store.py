"""Finished units in a folder, so that an interrupted run resumes where it was."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import sdewm
from sdewm.verdicts.judge import LeftOut, Verdict
from sdewm.verdicts.record import Curve
from sdewm.verification import kept_records
from sdewm.verification.kept_records import UNREADABLE, KeptRecords
from sdewm.verification.looks import SIGNIFICANCE
from sdewm.verification.settings import Settings
from theory_checks.units import Finished, Unit

PACKAGES = (Path(sdewm.__file__).parent, Path(__file__).parent)


def code_version() -> str:
    """A hash of the files of both packages, models among them, and of the versions that a report states."""
    return kept_records.code_version(PACKAGES)


class UnitStore:
    """The finished units of one code version and settings in ``root``; see :class:`~sdewm.verification.KeptRecords`."""

    def __init__(self, root: Path, settings: Settings, say: Callable[[str], None]) -> None:
        self.root, self.settings = root, settings
        self._records = KeptRecords(root, lambda: code_version(), say)

    @property
    def version(self) -> str:
        """Of the code when the run began."""
        return self._records.version

    @property
    def keeps(self) -> bool:
        """Whether units are still written: a full disk, or code that changes, ends that."""
        return self._records.keeps

    def path(self, unit: Unit) -> Path:
        """Of a unit's record."""
        return self._records.path(_title(unit), self._identity(unit))

    def take_up(self, units: Iterable[Unit]) -> dict[Unit, Finished]:
        """Those of the units that are kept here, as they were finished."""
        found: dict[Unit, Finished] = {}
        for unit in units:
            record = self._records.take_up(_title(unit), self._identity(unit))
            if record is not None:
                try:
                    found[unit] = _finished(record)
                except UNREADABLE as error:
                    self._records.damaged(_title(unit), self._identity(unit), error)
        return found

    def keep(self, unit: Unit, finished: Finished) -> Finished:
        """Write a unit's record; returns what a later run takes up, so that both report the same."""
        return _finished(self._records.keep(_title(unit), self._identity(unit), asdict(finished)))

    def seconds(self, unit: Unit) -> float | None:
        """How long the unit took when it was last made, by whatever version of the code."""
        return self._records.last_time(_title(unit), self._identity(unit), "seconds")

    def _identity(self, unit: Unit) -> dict[str, Any]:
        own = {"claims": list(unit.claims), "system": unit.system, "significance": SIGNIFICANCE}
        return own | asdict(self.settings)


def _title(unit: Unit) -> str:
    return f"{unit.claims[0]}-{unit.system}"


def _finished(record: dict[str, Any]) -> Finished:
    return Finished(
        verdicts=[Verdict(**v) for v in record["verdicts"]],
        left_out=[LeftOut(**row) for row in record["left_out"]],
        terms=record["terms"],
        curves=[Curve(**c) for c in record["curves"]],
        seconds=record["seconds"],
        by_claim=record["by_claim"],
    )
