"""Ctrl-C and SIGTERM as an exception that a run can end with in good order."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopped(BaseException):
    """A signal has asked the run to end; ``status`` is the exit status that says so."""

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.name = "Ctrl-C" if signum == signal.SIGINT else signal.Signals(signum).name
        self.status = 128 + signum


class Stops:
    """While ``armed`` the first signal raises :class:`Stopped`; all others are ignored until the block ends.

    So what is finished can be printed in peace. Only the main thread can take signals: elsewhere this does nothing.
    """

    def __enter__(self) -> Stops:
        self.armed = True
        here = threading.current_thread() is threading.main_thread()
        self._before = {s: signal.signal(s, self._stop) for s in SIGNALS} if here else {}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _stop(self, signum: int, frame: FrameType | None) -> None:
        if self.armed:
            self.armed = False
            raise Stopped(signum)
