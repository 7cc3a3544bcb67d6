"""Files that are whole or absent, also after a power loss."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO


def write_whole(path: Path | str, write: Callable[[BinaryIO], object]) -> None:
    """Let ``write`` fill a file beside ``path``, then put it in the place of ``path`` in one step.

    File and folder are synced to disk before this returns, so that ``path`` holds either what it held before or all
    that was written, whenever the machine stops. Where the disk is full, what was at ``path`` is still there, nothing
    is left beside it, and the ``OSError`` is raised.
    """
    path = Path(path)
    aside = path.with_suffix(".partial")
    try:
        with open(aside, "wb") as stream:
            write(stream)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(aside, path)
    except OSError:
        aside.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder last: a rename is on disk only when its folder is."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def cut_back(path: Path, size: int) -> int:
    """Cut a file back to ``size`` bytes; make it where it is missing. Returns the bytes that it lacks.

    A file that is shorter is left as it is, up to its last whole line.
    """
    path.touch()
    found = path.stat().st_size
    if found >= size:
        os.truncate(path, size)
        return 0
    whole = path.read_bytes().rfind(b"\n") + 1
    os.truncate(path, whole)
    return size - whole
