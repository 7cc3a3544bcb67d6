"""Seconds of a run, over all its parts."""

from __future__ import annotations

import time

from sdewm.worldmodel.progress import Progress


class Clock:
    """Seconds of a run: of all its parts, and of ``part``, this one."""

    def __init__(self, progress: Progress) -> None:
        self._began, self._before = time.perf_counter(), progress.seconds
        self._cpu_began, self._cpu_before = time.process_time(), progress.cpu_seconds

    @property
    def part(self) -> float:
        return max(time.perf_counter() - self._began, 1e-9)

    @property
    def seconds(self) -> float:
        return round(self._before + self.part, 1)

    @property
    def cpu_seconds(self) -> float:
        """Of all threads: what a run costs, whatever else the machine does."""
        return round(self._cpu_before + time.process_time() - self._cpu_began, 1)
