"""Metrics of a run: JSON lines always, TensorBoard where it is installed."""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any


class Log:
    """``run``/metrics.jsonl, a JSON object a line, and the same numbers in ``run``/tensorboard.

    ``taken_up`` is the size in bytes that the file had at the checkpoint from which the run goes on, ``update`` the
    checkpoint's update: what came later is written again.
    """

    def __init__(self, run: Path, report: Callable[[dict[str, Any]], None] | None = None, *, taken_up: int = 0,
                 update: int = 0) -> None:  # fmt: skip
        self._file, self._report = run / "metrics.jsonl", report
        self._file.touch()
        os.truncate(self._file, taken_up)
        self._board: Any = None
        if importlib.util.find_spec("tensorboard") is not None:
            from torch.utils.tensorboard import SummaryWriter

            self._board = SummaryWriter(run / "tensorboard", purge_step=update)

    @property
    def size(self) -> int:
        return self._file.stat().st_size

    def write(self, kind: str, update: int, values: dict[str, Any]) -> None:
        """One line, numbers rounded to six digits."""
        line = {"update": update, "kind": kind} | {name: _rounded(value) for name, value in values.items()}
        with open(self._file, "a") as stream:
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
