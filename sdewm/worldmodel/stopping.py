"""Ctrl-C and SIGTERM as a request: a run saves its checkpoint and stops."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stop:
    """Whether a signal has asked to stop: ``stop()``; and which, ``stop.signal``."""

    signal: int | None = None

    def __call__(self) -> bool:
        return self.signal is not None


@contextmanager
def asked_to_stop() -> Iterator[Stop]:
    """While this is entered, a first SIGINT or SIGTERM only asks; a second one ends the process as it always does."""
    stop = Stop()
    before = {number: signal.getsignal(number) for number in SIGNALS}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def ask(number: int, frame: FrameType | None) -> None:
        stop.signal = number
        restore()

    for number in SIGNALS:
        signal.signal(number, ask)
    try:
        yield stop
    finally:
        restore()


def exit_if_stopped(stop: Stop, run: Path) -> None:
    """End the process as shells expect of a signal, 128 and its number, with one line that says how to go on."""
    if stop.signal is not None:
        name = signal.Signals(stop.signal).name
        print(f"stopped by {name}; {run} has its checkpoint, and the same command goes on from there", file=sys.stderr)
        sys.exit(128 + stop.signal)
