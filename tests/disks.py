"""Disks that are small, read-only, or forget what was not synced when the power goes."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

REASON = "mounting is not permitted here"


@contextmanager
def mounted(folder: Path, mount: str) -> Iterator[Path]:
    """The path of ``folder`` as it looks after the shell command ``mount``, which has it as ``$1``.

    The mount is in a name space of its own, which ends with the process that keeps it: nobody else sees it, and none
    is left over.
    """
    command = ["unshare", "--map-root-user", "--mount", "sh", "-c", f"{mount} && echo mounted && exec sleep 600"]
    keeper = subprocess.Popen(
        [*command, "sh", str(folder)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert keeper.stdout is not None
    try:
        if keeper.stdout.readline() != "mounted\n":
            pytest.skip(REASON)
        yield Path(f"/proc/{keeper.pid}/root{folder}")
    finally:
        keeper.kill()
        keeper.communicate()


def small(folder: Path, size: str) -> AbstractContextManager[Path]:
    """An empty disk of so many bytes at ``folder``."""
    return mounted(folder, f'mount -t tmpfs -o size={size} tmpfs "$1"')


def read_only(folder: Path) -> AbstractContextManager[Path]:
    """What is in ``folder``, and nobody can write."""
    return mounted(folder, 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1"')


class Forgetful:
    """What a disk has of the folder ``root`` after a power loss, at its laziest and at its most disorderly.

    A file's contents are those of its last fsync, and a folder's names too. A disk may also have written names that
    nobody asked it to, before the contents of their files: :meth:`torn`. ``moment`` is called before each sync, and
    before each change of a name.
    """

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch, moment: Callable[[], None]) -> None:
        self.root, self._moment, self._looking = root, moment, False
        self._files: dict[int, bytes] = {}
        self._folders: dict[int, list[str]] = {}
        self._inodes: dict[tuple[int, str], int] = {}
        self._open: list[int] = []  # so that no number of a file is used again
        self._sync(os.open(root, os.O_RDONLY))
        fsync = os.fsync

        def sync(descriptor: int) -> None:
            self._look()
            fsync(descriptor)
            self._sync(os.dup(descriptor))

        monkeypatch.setattr(os, "fsync", sync)
        for name in ("replace", "rename", "unlink", "truncate", "mkdir"):
            monkeypatch.setattr(os, name, self._looked_at(getattr(os, name)))

    def close(self) -> None:
        for descriptor in self._open:
            os.close(descriptor)

    def synced(self, target: Path) -> Path:
        """Write what was synced, and nothing else, to the new folder ``target``."""
        return self._write(self.root.stat().st_ino, target)

    def torn(self, target: Path) -> Path:
        """Write all names as they are now, with contents as they were synced, to the new folder ``target``."""
        target.mkdir()
        for entry in self.root.rglob("*"):
            place = target / entry.relative_to(self.root)
            place.mkdir() if entry.is_dir() else place.write_bytes(self._files.get(entry.stat().st_ino, b""))
        return target

    def _sync(self, descriptor: int) -> None:
        self._open.append(descriptor)
        path, inode = Path(f"/proc/self/fd/{descriptor}"), os.fstat(descriptor).st_ino
        if path.is_dir():
            self._folders[inode] = os.listdir(path)
            for name in self._folders[inode]:
                entry = os.open(path / name, os.O_RDONLY)
                self._open.append(entry)
                self._inodes[inode, name] = os.fstat(entry).st_ino
                if (path / name).is_dir():
                    self._folders.setdefault(self._inodes[inode, name], [])
        else:
            self._files[inode] = path.read_bytes()

    def _write(self, folder: int, target: Path) -> Path:
        target.mkdir()
        for name in self._folders[folder]:
            inode = self._inodes[folder, name]
            if inode in self._folders:
                self._write(inode, target / name)
            else:
                (target / name).write_bytes(self._files.get(inode, b""))
        return target

    def _look(self) -> None:
        if not self._looking:  # what is done while it looks is no change of its own
            self._looking = True
            self._moment()
            self._looking = False

    def _looked_at(self, call: Callable[..., object]) -> Callable[..., object]:
        def called(*arguments: object, **options: object) -> object:
            self._look()
            return call(*arguments, **options)

        return called
