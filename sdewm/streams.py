"""Standard output and error that take any character."""

from __future__ import annotations

import io
import sys


def take_any_character() -> None:
    r"""Let what a stream's encoding lacks be written as an escape, ``\u03b5`` for ε in ASCII.

    Else a command that has worked for minutes would end without a word of its result, where the locale is C or output
    goes into a file on Windows.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
