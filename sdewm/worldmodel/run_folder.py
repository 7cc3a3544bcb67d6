"""A training run's folder: whose it is, and that one process at a time works in it."""

from __future__ import annotations

import json
from pathlib import Path
from types import TracebackType

from filelock import FileLock, Timeout

from sdewm.files import PARTIAL, make_folder, write_text
from sdewm.version import __version__
from sdewm.worldmodel.checkpoint import CheckpointError

MARK, LOCK = "run.json", ".lock"


class RunInUse(RuntimeError):
    """Another process is working in the run's folder."""


class RunFolder:
    """A run's folder, locked while it is entered.

    A new or empty folder becomes the run's own and is marked so with run.json. A folder that holds anything else is
    refused before anything in it is touched. The lock is the operating system's: it ends with the process that holds
    it, however that ends, so that no lock is ever left over.

    Raises
    ------
    ValueError : the folder holds other files, or is no folder.
    RunInUse : another process holds the lock.
    CheckpointError : the run had written a checkpoint, which is missing now.
    """

    def __init__(self, folder: Path | str) -> None:
        self.path = Path(folder)
        self.checkpoint = self.path / "checkpoint.safetensors"
        self.metrics = self.path / "metrics.jsonl"
        self.replay = self.path / "replay"
        self._lock = FileLock(self.path / LOCK)

    def __enter__(self) -> RunFolder:
        self._check_owner()
        make_folder(self.path)
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise RunInUse(f"{self.path}: another process is working in this run; wait for it, or stop it") from None
        try:
            if self._mark().get("checkpoint") and not self.checkpoint.exists():
                raise CheckpointError(f"{self.checkpoint}: missing; {self.what_is_left()}")
            if not (self.path / MARK).exists():
                self._write_mark(checkpoint=self.checkpoint.exists())
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.release()

    def saved(self) -> None:
        """Remember that a checkpoint has been written, so that one that is missing later is noticed."""
        if not self._mark().get("checkpoint"):
            self._write_mark(checkpoint=True)

    def what_is_left(self) -> str:
        """What can be done with a run whose checkpoint is damaged or missing."""
        episodes = len(list(self.replay.glob("*.npy")))
        kept = (
            f"its {episodes} episodes are still there, `sdewm fit NEW --replay {self.replay}` trains on them; "
            if episodes
            else ""
        )
        return f"{kept}put a copy of the checkpoint back to go on, or start anew in another folder"

    def _check_owner(self) -> None:
        if self.path.exists() and not self.path.is_dir():
            raise ValueError(f"run: expected a folder, got the file {self.path}")
        if not self.path.exists() or (self.path / MARK).exists() or self.checkpoint.exists():
            return
        own = (LOCK, MARK + PARTIAL)  # of a run that was killed before it had begun
        others = sorted(entry.name for entry in self.path.iterdir() if entry.name not in own)
        if others:
            raise ValueError(
                f"run: expected a new or empty folder, or that of a run, got {self.path} with {_some(others)}; "
                "name another folder"
            )

    def _mark(self) -> dict[str, object]:
        try:
            mark = json.loads((self.path / MARK).read_text())
        except FileNotFoundError:
            return {}
        except (ValueError, RecursionError) as error:
            raise CheckpointError(f"{self.path / MARK}: damaged ({error}); {self.what_is_left()}") from error
        return mark if isinstance(mark, dict) else {}

    def _write_mark(self, *, checkpoint: bool) -> None:
        text = json.dumps({"sdewm": __version__, "checkpoint": checkpoint})
        write_text(self.path / MARK, text)


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
