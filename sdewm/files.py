"""Files that are whole or absent: also after a kill, a power loss, or with two processes at once."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

PARTIAL = ".partial"  # what a file's name ends with while it is written


def write_whole(path: Path | str, write: Callable[[BinaryIO], object]) -> None:
    """Let ``write`` fill ``path``.partial, then put it in the place of ``path`` in one step.

    File and folder are synced to disk before this returns, so that ``path`` holds either what it held before or all
    that was written, whenever the machine stops. A second process that writes the same file waits for the first one.
    Where ``write`` or the disk fails, what was at ``path`` is still there and nothing is left beside it. What a killed
    process leaves beside it is overwritten by the next one.
    """
    path = Path(path)
    aside = path.with_name(path.name + PARTIAL)
    with naming(path):
        with _alone(aside) as stream:
            try:
                write(stream)
                stream.flush()
                os.fsync(stream.fileno())
                os.replace(aside, path)
            except BaseException:
                aside.unlink(missing_ok=True)
                with suppress(OSError):  # what could not be written is written again when the file is closed
                    stream.close()
                raise
        sync_folder(path.parent)


def write_text(path: Path | str, text: str) -> None:
    """:func:`write_whole` of a text, as UTF-8."""
    write_whole(path, lambda stream: stream.write(text.encode()))


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """An ``OSError`` that names no file, such as that of a full disk, names this one."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, so that they last; one that is there already is left alone."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    sync_folder(folder.parent)


def cache_folder(name: str) -> Path:
    """Where what can be made again is kept: ``$XDG_CACHE_HOME/sdewm/NAME``, or ``~/.cache/sdewm/NAME``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")) / "sdewm" / name


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


def _alone(aside: Path) -> BinaryIO:
    """The file ``aside``, empty, and this process's until it is closed.

    The lock is the file's own and the operating system's: it ends with the process, and no lock file is left over.
    """
    import fcntl

    while True:
        stream = open(os.open(aside, os.O_WRONLY | os.O_CREAT, 0o666), "wb")
        with suppress(OSError):  # a file system without locks: two processes at once are then the user's affair
            fcntl.flock(stream, fcntl.LOCK_EX)
        try:
            mine = os.path.samestat(os.fstat(stream.fileno()), os.stat(aside))
        except FileNotFoundError:
            mine = False
        if mine:  # or else another process has put it in its place meanwhile
            stream.truncate(0)
            return stream
        stream.close()
