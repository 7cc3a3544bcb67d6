"""Files that are whole or absent, with several writers."""

from __future__ import annotations

import multiprocessing
import signal
from pathlib import Path

import pytest

from sdewm.files import make_folder, write_text, write_whole


def test_what_a_killed_writer_left_is_overwritten(tmp_path):
    file = tmp_path / "a.json"
    file.with_name("a.json.partial").write_text("longer than what follows")
    write_text(file, "whole")
    assert file.read_text() == "whole"
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("error", [OSError, ValueError, KeyboardInterrupt])
def test_a_write_that_fails_changes_nothing(tmp_path, error):
    file = tmp_path / "a"
    write_text(file, "before")

    def fail(stream) -> None:
        stream.write(b"half")
        raise error

    with pytest.raises(error):
        write_whole(file, fail)
    assert file.read_text() == "before"
    assert list(tmp_path.iterdir()) == [file]


def write_often(file: Path, letter: str) -> None:
    for length in range(1, 400):
        write_text(file, letter * (20_000 * (length % 7 + 1)))


def test_several_writers_of_one_file_are_one_after_the_other(tmp_path):
    """A writer that opens what another one is about to put in place would write into the finished file."""
    file = tmp_path / "a"
    write_text(file, "-")
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=write_often, args=(file, letter)) for letter in "abc"]
    for writer in writers:
        writer.start()
    seen = set()
    while any(writer.is_alive() for writer in writers):
        text = file.read_text()
        assert set(text) == {text[0]} and (text == "-" or len(text) % 20_000 == 0)
        seen.add(text[0])
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    assert {"a", "b", "c"} <= seen
    assert list(tmp_path.iterdir()) == [file]


def held(file: Path, ready) -> None:
    def write(stream) -> None:
        stream.write(b"half")
        ready.set()
        signal.pause()

    write_whole(file, write)


def test_a_killed_writer_holds_nobody_up(tmp_path):
    context = multiprocessing.get_context("fork")
    ready = context.Event()
    writer = context.Process(target=held, args=(tmp_path / "a", ready))
    writer.start()
    assert ready.wait(60)
    writer.kill()
    writer.join()
    write_text(tmp_path / "a", "whole")
    assert [file.name for file in tmp_path.iterdir()] == ["a"]


def test_folders_are_made_with_those_above_them(tmp_path):
    make_folder(tmp_path / "a" / "b" / "c")
    make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b" / "c").is_dir()
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError):
        make_folder(tmp_path / "file" / "a")
