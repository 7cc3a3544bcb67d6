"""The results of a run as a record for JSON."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy
import scipy
import torch

from sdewm.files import write_text
from sdewm.verdicts.judge import LeftOut, Verdict
from sdewm.version import __version__


@dataclass(frozen=True)
class Curve:
    """A curve for a figure: ``y`` against ``x``, with ``stderr`` where there is a standard error.

    ``claim`` and ``system`` are as in a verdict; ``label`` tells their curves apart.
    """

    claim: str
    system: str
    label: str
    x: list[float]
    y: list[float]
    stderr: list[float] | None = None
    config: dict[str, Any] = field(default_factory=dict)


def environment(dtype: str = "float64") -> dict[str, Any]:
    """What a run's numbers depend on besides its seed: versions, threads and dtype."""
    return {
        "sdewm": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "scipy": scipy.__version__,
        "threads per worker": torch.get_num_threads(),
        "dtype": dtype,
    }


def as_record(
    verdicts: Sequence[Verdict],
    left_out: Sequence[LeftOut],
    terms: Sequence[Mapping[str, Any]],
    curves: Sequence[Curve],
    run: Mapping[str, Any],
    dtype: str = "float64",
) -> dict[str, Any]:
    """``{"run", "environment", "records", "left out", "terms", "curves"}``, with one record for each verdict."""
    return {
        "run": run,
        "environment": environment(dtype),
        "records": [v.as_dict() for v in verdicts],
        "left out": [asdict(row) for row in left_out],
        "terms": list(terms),
        "curves": [asdict(c) for c in curves],
    }


def write_json(file: Path, record: Mapping[str, Any]) -> None:
    """Write what :func:`as_record` made, replacing the file in one step."""
    write_text(file, json.dumps(record, indent=1, ensure_ascii=False, default=str))
