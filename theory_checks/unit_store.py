"""Finished units in a folder, so that an interrupted run resumes where it was.

A record is JSON: loading one executes nothing. It is written in one step and carries its own checksum, so that a run
that is killed, or another one that writes the same unit at the same time, leaves a whole record or none, and what is
told to be finished is on disk.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

import sdewm
from sdewm.files import make_folder, write_text
from sdewm.verdicts.judge import LeftOut, Verdict
from sdewm.verdicts.record import Curve, environment
from sdewm.verification.looks import LEVEL
from sdewm.verification.settings import Settings
from theory_checks.units import Finished, Unit

# What reading a damaged record may raise.
UNREADABLE = (OSError, ValueError, TypeError, KeyError, RecursionError)
PACKAGES = (Path(sdewm.__file__).parent, Path(__file__).parent)


def default_folder() -> Path:
    """``$XDG_CACHE_HOME/sdewm/checks``, or ``~/.cache/sdewm/checks``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")) / "sdewm" / "checks"


def code_version() -> str:
    """A hash of what a unit's numbers come from besides its settings.

    These are the files of both packages, models among them, and the versions that a report states.
    """
    total = hashlib.sha256(json.dumps(environment()).encode())
    for package in PACKAGES:
        for file in sorted(package.rglob("*")):
            if file.is_file() and "__pycache__" not in file.parts:
                content = file.read_bytes()
                total.update(f"{package.name}/{file.relative_to(package).as_posix()} {len(content)} ".encode())
                total.update(content)
    return total.hexdigest()[:16]


class UnitStore:
    """The finished units of one code version and settings, in ``root``, where other versions have theirs beside them.

    What cannot be read or written is told to ``say`` in a line, and the run goes on without it. Nothing is deleted.
    """

    def __init__(self, root: Path, settings: Settings, say: Callable[[str], None]) -> None:
        self.root, self.settings, self.say = root, settings, say
        self.version = code_version()
        self.keeps = True

    @cached_property
    def _key(self) -> dict[str, Any]:
        return {**asdict(self.settings), "level": LEVEL}

    def path(self, unit: Unit) -> Path:
        """Of a unit's record: named after the unit, and after a hash of all that tells it from others."""
        key = {"claims": unit.claims, "system": unit.system, **self._key}
        digest = hashlib.sha256(json.dumps(key).encode()).hexdigest()[:16]
        name = re.sub(r"[^a-z0-9.]+", "-", f"{unit.claims[0]}-{unit.system}".lower())
        return self.root / self.version / f"{name}-{digest}.json"

    def take_up(self, units: Iterable[Unit]) -> dict[Unit, Finished]:
        """Those of the units that are kept here, as they were finished."""
        found: dict[Unit, Finished] = {}
        for unit in units:
            path = self.path(unit)
            try:
                found[unit] = _finished(self._about(unit, _read(path)))
            except (FileNotFoundError, NotADirectoryError):
                continue
            except UNREADABLE as error:
                self.say(f"damaged, and made again: {path} ({error or type(error).__name__})")
        return found

    def keep(self, unit: Unit, finished: Finished) -> Finished:
        """Write a unit's record; returns what a later run takes up, so that both report the same."""
        record = self._identity(unit) | asdict(finished)
        text = json.dumps(record, default=_plain)
        if self.keeps and code_version() != self.version:
            self._give_up("the code has changed since the run began")
        if self.keeps:
            try:
                make_folder(self.path(unit).parent)
                write_text(self.path(unit), json.dumps({"sha256": _checksum(text), "record": json.loads(text)}))
            except OSError as error:
                self._give_up(str(error))
        return _finished(json.loads(text))

    def seconds(self, unit: Unit) -> float | None:
        """How long the unit took when it was last made, by whatever version of the code."""
        try:
            last = max(self.root.glob(f"*/{self.path(unit).name}"), key=lambda path: path.stat().st_mtime, default=None)
            return None if last is None else _read(last)["seconds"]
        except UNREADABLE:
            return None

    def _identity(self, unit: Unit) -> dict[str, Any]:
        return {"code": self.version, "claims": list(unit.claims), "system": unit.system, **self._key}

    def _about(self, unit: Unit, record: dict[str, Any]) -> dict[str, Any]:
        identity = self._identity(unit)
        if {name: record.pop(name) for name in identity} != identity:
            raise ValueError("it is about another unit")
        return record

    def _give_up(self, reason: str) -> None:
        self.keeps = False
        self.say(f"units that finish from here on are not kept: {reason}")


def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(value: object) -> object:
    return value.item() if isinstance(value, np.generic) else str(value)


def _finished(record: dict[str, Any]) -> Finished:
    return Finished(
        verdicts=[Verdict(**v) for v in record["verdicts"]],
        left_out=[LeftOut(**row) for row in record["left_out"]],
        terms=record["terms"],
        curves=[Curve(**c) for c in record["curves"]],
        seconds=record["seconds"],
        by_claim=record["by_claim"],
    )


def _read(path: Path) -> dict[str, Any]:
    kept = json.loads(path.read_bytes())
    if kept["sha256"] != _checksum(json.dumps(kept["record"])):
        raise ValueError("its checksum does not match")
    return kept["record"]
