"""What several test files share: exact messages, intervals at a stated level, verdicts, a problem on a grid, laws."""

from __future__ import annotations

import math
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import sdewm
from sdewm.estimate.estimates import Estimate
from sdewm.exact import multi_indices
from sdewm.exact.problems import Problem
from sdewm.noise.grid import TimeGrid
from sdewm.verdicts.judge import Claimed, Verdict

F64 = torch.float64
EULER_METHODS = ("euler", "euler-sequential")
# Chance that a correct library fails one statistical test, at a seed drawn afresh; intervals for several
# quantities share it (Bonferroni). Student-t intervals over replicates take their means to be normal.
FALSE_FAILURE = 1e-3
# Chance that a difference called a mistake is sampling error alone.
FALSE_ALARM = 1e-6


def refuses(error: type[BaseException], *fragments: str) -> AbstractContextManager:
    """The error is raised, and its message has the fragments in that order."""
    return pytest.raises(error, match="(?s)" + ".*".join(re.escape(f) for f in fragments))


def library_with(folder: Path, file: str, text: str, use: str) -> list[str]:
    """What the program ``use`` prints, line by line, where the library has one more file, such as "jets/mine.py".

    The library's own files are copied to ``folder`` as they are.
    """
    home = Path(sdewm.__file__).parent
    shutil.copytree(home, folder / "sdewm", ignore=shutil.ignore_patterns("data", "__pycache__"))
    (folder / "sdewm" / file).write_text(text, "utf-8")
    done = subprocess.run(
        [sys.executable, "-c", use],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def agrees(estimate: Estimate, truth: float, *, comparisons: int = 1, bias: float = 0.0) -> bool:
    """The truth lies in the estimate's interval, one of several that share the false-failure rate."""
    return abs(estimate.mean - truth) <= estimate.half_width(1 - FALSE_FAILURE / comparisons) + bias


def convicts(estimate: Estimate, truth: float, *, bias: float = 0.0) -> bool:
    """Sampling error alone would put the truth so far outside at the false-alarm rate only."""
    return abs(estimate.mean - truth) > estimate.half_width(1 - FALSE_ALARM) + bias


def judge_all(claimed: Sequence[Claimed], run_significance: float = 1e-3) -> list[Verdict]:
    """Judge a run so that it refutes anything true with probability ``run_significance`` at most (Bonferroni)."""
    return [c.judge(run_significance / len(claimed)) for c in claimed]


def normal_increments(grid: TimeGrid, paths: int, channels: int, seed: int = 0) -> Tensor:
    """Brownian increments ``(steps, paths, channels)``."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(grid.steps, paths, channels, generator=generator, dtype=F64) * grid.dt**0.5


def grid_of(problem: Problem, steps: int) -> TimeGrid:
    return TimeGrid(0.0, problem.horizon, steps)


def z_value(values: Tensor, truth: float) -> float:
    return float((values.mean() - truth) / (values.std() / math.sqrt(len(values))))


def sech_law(x: np.ndarray) -> np.ndarray:
    """Distribution function of A/h: density sech(πx)."""
    return 2 / math.pi * np.arctan(np.exp(math.pi * x))


def taylor_by_interpolation(function, radius: float = 0.4, nodes: int = 9) -> dict:
    """Taylor coefficients of function(ε_a, ε_b) at 0 from its values on a Chebyshev grid alone."""
    t = radius * np.cos(np.pi * (np.arange(nodes) + 0.5) / nodes)
    values = np.array([[function(a, b) for b in t] for a in t])
    inverse = np.linalg.inv(np.vander(t / radius, increasing=True))
    c = inverse @ values @ inverse.T
    return {(a, b): c[a, b] / radius ** (a + b) for a, b in multi_indices(3)}
