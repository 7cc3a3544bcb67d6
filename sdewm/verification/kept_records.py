"""Records of what is finished, in a folder, so that an interrupted run resumes where it was.

A record is JSON: loading one executes nothing. It is written in one step and carries its own checksum, so that a run
that is killed, or another one that writes the same record at the same time, leaves a whole one or none, and what is
told to be finished is on disk.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sdewm.files import make_folder, write_text
from sdewm.verdicts.record import environment

# What reading a damaged record may raise.
UNREADABLE = (OSError, ValueError, TypeError, KeyError, RecursionError)


def default_folder(name: str) -> Path:
    """``$XDG_CACHE_HOME/sdewm/NAME``, or ``~/.cache/sdewm/NAME``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")) / "sdewm" / name


def code_version(packages: Iterable[Path]) -> str:
    """A hash of what numbers come from besides settings: the files of packages, and the versions a report states."""
    total = hashlib.sha256(json.dumps(environment()).encode())
    for package in packages:
        for file in sorted(package.rglob("*")):
            if file.is_file() and "__pycache__" not in file.parts:
                content = file.read_bytes()
                total.update(f"{package.name}/{file.relative_to(package).as_posix()} {len(content)} ".encode())
                total.update(content)
    return total.hexdigest()[:16]


class KeptRecords:
    """The records of one version of the code in ``root``, where other versions have theirs beside them.

    ``version`` gives that of the code as it is now. What cannot be read or written is told to ``say`` in a line, and
    the run goes on without it. Nothing is deleted.
    """

    def __init__(self, root: Path, version: Callable[[], str], say: Callable[[str], None]) -> None:
        self.root, self.say = root, say
        self.version, self._version_now = version(), version
        self.keeps = True

    def path(self, title: str, identity: Mapping[str, Any]) -> Path:
        """Of a record: named after its title, and after a hash of all that tells it from others."""
        digest = hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:16]
        name = re.sub(r"[^a-z0-9.]+", "-", title.lower())
        return self.root / self.version / f"{name}-{digest}.json"

    def take_up(self, title: str, identity: Mapping[str, Any]) -> dict[str, Any] | None:
        """What was finished under this title, or ``None``."""
        path = self.path(title, identity)
        try:
            record = _read(path)
            expected = {"code": self.version, **json.loads(json.dumps(identity))}
            if {name: record.pop(name) for name in expected} != expected:
                raise ValueError("it is about another unit")
            return record
        except (FileNotFoundError, NotADirectoryError):
            return None
        except UNREADABLE as error:
            self.damaged(title, identity, error)
            return None

    def damaged(self, title: str, identity: Mapping[str, Any], error: Exception) -> None:
        """Say that a record is of no use."""
        self.say(f"damaged, and made again: {self.path(title, identity)} ({error or type(error).__name__})")

    def keep(self, title: str, identity: Mapping[str, Any], record: Mapping[str, Any]) -> dict[str, Any]:
        """Write a record; returns what a later run takes up, so that both report the same."""
        plain = json.loads(json.dumps(record, default=_plain))
        if self.keeps and self._version_now() != self.version:
            self._give_up("the code has changed since the run began")
        if self.keeps:
            path = self.path(title, identity)
            whole = {"code": self.version, **identity, **plain}
            try:
                make_folder(path.parent)
                write_text(path, json.dumps({"sha256": _checksum(whole), "record": whole}))
            except OSError as error:
                self._give_up(str(error))
        return plain

    def last_time(self, title: str, identity: Mapping[str, Any], name: str) -> Any:
        """An entry of the last such record, by whatever version of the code; ``None`` where there is none."""
        try:
            of_all = self.root.glob(f"*/{self.path(title, identity).name}")
            last = max(of_all, key=lambda path: path.stat().st_mtime, default=None)
            return None if last is None else _read(last)[name]
        except UNREADABLE:
            return None

    def _give_up(self, reason: str) -> None:
        self.keeps = False
        self.say(f"units that finish from here on are not kept: {reason}")


def _checksum(record: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(record).encode()).hexdigest()


def _plain(value: object) -> object:
    return value.item() if isinstance(value, np.generic) else str(value)


def _read(path: Path) -> dict[str, Any]:
    kept = json.loads(path.read_bytes())
    if kept["sha256"] != _checksum(kept["record"]):
        raise ValueError("its checksum does not match")
    if not isinstance(kept["record"], dict):
        raise ValueError("no record")
    return kept["record"]
