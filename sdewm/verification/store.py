"""Finished units of work in a folder, so that an interrupted run resumes where it was.

A record is JSON, so that loading one executes no code. It is written in one step and has a checksum: if a run is
killed, or another run writes the same record at the same time, the record on disk is complete or absent. A unit of work
is reported as finished only when its record is on disk.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

from sdewm.files import make_folder, write_text
from sdewm.verdicts.record import environment
from sdewm.verification.finished import Finished

Work = TypeVar("Work")

# The errors that reading a damaged record can raise.
_UNREADABLE = (OSError, ValueError, TypeError, KeyError, RecursionError)


def code_version(packages: Iterable[Path]) -> str:
    """A hash of what numbers depend on besides settings: the files of these packages, and the versions of libraries."""
    total = hashlib.sha256(json.dumps(environment()).encode())
    for package in packages:
        for file in sorted(package.rglob("*")):
            if file.is_file() and "__pycache__" not in file.parts:
                content = file.read_bytes()
                total.update(f"{package.name}/{file.relative_to(package).as_posix()} {len(content)} ".encode())
                total.update(content)
    return total.hexdigest()[:16]


class Store(Generic[Work]):
    """The finished units of one version of the code in the folder ``root``; other versions have their own there.

    ``packages`` are the folders of the code. ``identity`` returns all that identifies a unit, as data for JSON: its
    "claims", its "system", and whatever else its numbers depend on. If a record cannot be read or written, ``say`` is
    called with a line about it, and the run goes on without the record. Nothing is deleted.
    """

    def __init__(
        self,
        root: Path,
        packages: Sequence[Path],
        identity: Callable[[Work], Mapping[str, Any]],
        say: Callable[[str], None],
    ) -> None:
        self.root, self._packages, self._identity, self._say = root, packages, identity, say
        self.version = code_version(packages)
        self.keeps = True

    def path(self, unit: Work) -> Path:
        """The path of a unit's record, which has its claim, its system and a hash of all that identifies it."""
        identity = self._identity(unit)
        title = re.sub(r"[^a-z0-9.]+", "-", f"{identity['claims'][0]}-{identity['system']}".lower())
        digest = hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:16]
        return self.root / self.version / f"{title}-{digest}.json"

    def take_up(self, units: Iterable[Work]) -> dict[Work, Finished]:
        """The results of those units that have a record here."""
        found: dict[Work, Finished] = {}
        for unit in units:
            path = self.path(unit)
            try:
                record = _read(path)
                if record["unit"] != self._about(unit):
                    raise ValueError("it is about another unit")
                found[unit] = Finished.from_record(record["finished"])
            except (FileNotFoundError, NotADirectoryError):
                pass
            except _UNREADABLE as error:
                self._say(f"damaged, and made again: {path} ({error or type(error).__name__})")
        return found

    def keep(self, unit: Work, finished: Finished) -> Finished:
        """Write a record. Returns it as a later run will read it, so that both report the same numbers."""
        record = finished.as_record()
        if self.keeps and code_version(self._packages) != self.version:
            self._give_up("the code has changed since the run began")
        if self.keeps:
            path, whole = self.path(unit), {"unit": self._about(unit), "finished": record}
            try:
                make_folder(path.parent)
                write_text(path, json.dumps({"sha256": _checksum(whole), "record": whole}))
            except OSError as error:
                self._give_up(str(error))
        return Finished.from_record(record)

    def seconds(self, unit: Work) -> float | None:
        """The seconds that the unit took when it was last finished, by any version of the code."""
        try:
            of_all = self.root.glob(f"*/{self.path(unit).name}")
            last = max(of_all, key=lambda path: path.stat().st_mtime, default=None)
            return None if last is None else Finished.from_record(_read(last)["finished"]).seconds
        except _UNREADABLE:
            return None

    def _about(self, unit: Work) -> dict[str, Any]:
        """What a record says that it is about, as it is read back."""
        found: dict[str, Any] = json.loads(json.dumps({"code": self.version, **self._identity(unit)}))
        return found

    def _give_up(self, reason: str) -> None:
        self.keeps = False
        self._say(f"units that finish from here on are not kept: {reason}")


def _checksum(record: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(record).encode()).hexdigest()


def _read(path: Path) -> dict[str, Any]:
    kept = json.loads(path.read_bytes())
    if kept["sha256"] != _checksum(kept["record"]):
        raise ValueError("its checksum does not match")
    if not isinstance(kept["record"], dict):
        raise ValueError("no record")
    return kept["record"]
