"""The remaining time of a run, from the times that its units of work took or are expected to take."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Hashable, Mapping
from datetime import timedelta
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeElapsedColumn
from rich.text import Text

# The weight of the expected times, in seconds of work: a unit of a few milliseconds says nothing about long ones.
DOUBT = 10.0


class TimeLeft(ProgressColumn):
    """An estimate of the remaining seconds, for the progress bar.

    The ``expected`` seconds of each unit may come from another machine or precision. They are scaled by the ratio of
    measured to expected times of the finished units, once these are more than :data:`DOUBT` seconds of work. A running
    unit counts with what is left of it. With several ``workers``, the estimate is at least the longest unit.

    Example
    -------
    >>> left = TimeLeft({a: 60.0, b: 90.0}, workers=1)
    >>> left.start(b)
    >>> left.end(b, seconds=40.0)  # half of what was expected, nearly
    >>> left.seconds()
    30.0
    """

    max_refresh = 0.5

    def __init__(
        self, expected: Mapping[Any, float], workers: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__()
        self._left = dict(expected)
        self._started: dict[Any, float] = {}
        self._expected = self._taken = DOUBT
        self._workers, self._clock = workers, clock

    def start(self, unit: Hashable) -> None:
        """A worker begins the unit, perhaps again."""
        self._started[unit] = self._clock()

    def end(self, unit: Hashable, seconds: float | None) -> None:
        """The unit has finished in so many seconds, or has been given up (``None``)."""
        expected = self._left.pop(unit)
        if seconds is not None:
            self._expected += expected
            self._taken += seconds

    def seconds(self) -> float:
        """The estimate; 0 if all work should be finished by now."""
        scale, now = self._taken / self._expected, self._clock()
        left = [max(0.0, scale * s - (now - self._started.get(unit, now))) for unit, s in list(self._left.items())]
        return max(sum(left) / self._workers, max(left, default=0.0))

    def render(self, task: Task) -> Text:
        seconds = round(self.seconds())
        return Text(f"{timedelta(seconds=seconds)} left" if seconds else "nearly done", style="progress.remaining")


def progress_bar(left: TimeLeft) -> Progress:
    """A progress bar on standard error, with the remaining time; hidden if that is no terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), left)
    shown = sys.stderr.isatty()
    # Older versions of rich end a bar that is disabled with an empty line; a quiet console does not.
    return Progress(*columns, console=Console(stderr=True, quiet=not shown), disable=not shown, transient=True)
