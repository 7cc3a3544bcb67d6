"""Metrics of a run: JSON lines always, TensorBoard where it is installed."""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sdewm.files import cut_back, naming


class Log:
    """``run``/metrics.jsonl, a JSON object a line, and the same numbers in ``run``/tensorboard.

    ``resumed`` is the size in bytes that the file had at the checkpoint from which the run goes on, ``update`` the
    checkpoint's update: what came later is written again. Where lines from before the checkpoint are missing, a line
    "metrics lost" says how many bytes.
    """

    def __init__(
        self, run: Path, report: Callable[[dict[str, Any]], None] | None = None, *, resumed: int = 0, update: int = 0
    ) -> None:
        self._file, self._report = run / "metrics.jsonl", report
        lost = cut_back(self._file, resumed)
        self._board: Any = None
        if importlib.util.find_spec("tensorboard") is not None:
            from torch.utils.tensorboard import SummaryWriter

            self._board = SummaryWriter(run / "tensorboard", purge_step=update)
        if lost:
            self.write("metrics lost", update, {"bytes": lost})

    def sync(self) -> int:
        """Bring the file to disk; returns its size in bytes."""
        with naming(self._file), open(self._file, "rb") as stream:
            os.fsync(stream.fileno())
            return os.fstat(stream.fileno()).st_size

    def write(self, kind: str, update: int, values: dict[str, Any]) -> None:
        """One line, numbers rounded to six digits."""
        line = {"update": update, "kind": kind} | {name: _rounded(value) for name, value in values.items()}
        with naming(self._file), open(self._file, "a") as stream:
            stream.write(json.dumps(line) + "\n")
        if self._board is not None:
            for name, value in values.items():
                if isinstance(value, (int, float)):
                    self._board.add_scalar(f"{kind}/{name}", value, update)
        if self._report is not None:
            self._report(line)

    def close(self) -> None:
        if self._board is not None:
            self._board.close()


def _rounded(value: Any) -> Any:
    return float(f"{value:.6g}") if isinstance(value, float) else value
