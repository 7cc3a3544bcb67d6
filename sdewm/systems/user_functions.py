"""Errors raised inside a function that a user wrote."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

# Errors of Python's and torch's own that a function raises which cannot take what it is given.
FROM_INSIDE = (ValueError, RuntimeError, TypeError, IndexError, KeyError, AttributeError, AssertionError)


@contextmanager
def named(where: str) -> Iterator[None]:
    """Errors from inside a function that a user wrote, as a ``ValueError`` that says which function it was.

    This library's own errors, which name an argument already, pass; so do exceptions of a user's own.
    """
    try:
        yield
    except FROM_INSIDE as error:
        frame = error.__traceback__
        while frame is not None and frame.tb_next is not None:
            frame = frame.tb_next
        raised_in = "" if frame is None else frame.tb_frame.f_globals.get("__name__", "")
        # Functions written in C, such as int, leave no frame of their own; our messages start with a name.
        ours = raised_in.startswith("sdewm") and isinstance(error, ValueError) and ":" in str(error)
        if ours or type(error).__module__.startswith("sdewm"):
            raise
        lines = str(error).strip().splitlines() or [""]
        raise ValueError(f"{where}, and it raised {type(error).__name__}: {lines[0]}") from error
