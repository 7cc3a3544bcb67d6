"""Commands on streams that lack most characters, or whose reader leaves."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


def run(*command: str, encoding: str = "utf-8", **options) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    return subprocess.run([sys.executable, "-m", *command], env=environment, stderr=subprocess.PIPE, **options)


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
@pytest.mark.parametrize("command", [("sdewm", "verify", "--help"), ("theory_checks", "--statements")])
def test_what_an_encoding_lacks_is_escaped(command, encoding):
    done = run(*command, encoding=encoding, stdout=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (0, b"")
    assert "\\u03b5" in done.stdout.decode(encoding)  # ε


def test_a_reader_that_leaves_is_no_error():
    read, write = os.pipe()
    os.close(read)
    try:
        done = run("sdewm", "doctor", stdout=write)
    finally:
        os.close(write)
    assert (done.returncode, done.stderr) == (1, b"")
