"""From paths to numbers with error bars."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor

from sdewm.noise import Increments, MonteCarlo, QuasiMonteCarlo, Sampler, TimeGrid

Evaluate = Callable[[Increments], Mapping[str, Tensor]]
Progress = Callable[[int, int], None]
Values = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A mean, its standard error, and what they rest on.

    ``n`` paths in all, in ``dof + 1`` independent replicates whose spread is the standard error; ``seed`` repeats it.
    ``flags`` are reasons, in plain words, why the interval cannot be trusted; none where it can. A printed estimate
    has a line for each.
    """

    mean: float
    stderr: float
    n: int
    dof: float = math.inf
    seed: int | None = None
    flags: tuple[str, ...] = ()

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """The two-sided Student-t confidence interval at ``level``."""
        half = self.half_width(level)
        return self.mean - half, self.mean + half

    def half_width(self, level: float = 0.95) -> float:
        if not 0 < level < 1:
            raise ValueError(f"level: expected a number between 0 and 1, got {level}")
        return float(stats.t.ppf(0.5 + level / 2, self.dof)) * self.stderr

    def __format__(self, spec: str) -> str:
        """``mean ± standard error``, with "(flagged)" where there are flags; ``spec`` is for the mean."""
        return f"{self.mean:{spec or '.6g'}} ± {self.stderr:.2g}" + (" (flagged)" if self.flags else "")

    def __str__(self) -> str:
        return "\n".join([format(self, ""), *(f"    flagged: {reason}" for reason in self.flags)])


@dataclass(frozen=True)
class Sample:
    """Replicate means of named quantities on common noise: ``values[name]`` is ``(replicates,)``.

    Differences and ratios are formed replicate by replicate, so that what the noise has in common cancels.
    """

    values: Mapping[str, Values]
    paths: int
    seed: int

    def __getitem__(self, name: str) -> Values:
        return self.values[name]

    def estimate(self, values: str | Values) -> Estimate:
        """The estimate of a quantity by name, or of any combination of quantities, one value per replicate."""
        v = self.values[values] if isinstance(values, str) else values
        stderr = float(np.std(v, ddof=1) / math.sqrt(len(v)))
        return Estimate(float(np.mean(v)), stderr, self.paths, len(v) - 1, self.seed)


def make_sampler(sampler: Literal["rqmc", "mc"] | Sampler, paths: int, seed: int) -> Sampler:
    """The sampler of that name, or the one given."""
    if sampler == "rqmc":
        return QuasiMonteCarlo(paths, seed)
    if sampler == "mc":
        return MonteCarlo(paths, seed)
    if isinstance(sampler, str):
        raise ValueError(f"sampler: expected 'rqmc', 'mc' or a sampler object, got {sampler!r}")
    return sampler


def sample(
    evaluate: Evaluate,
    sampler: Sampler,
    channels: int,
    grid: TimeGrid,
    like: Tensor,
    *,
    executor: Executor | None = None,
    progress: Progress | None = None,
) -> Sample:
    """Mean over paths of everything that ``evaluate`` returns, replicate by replicate.

    Parameters
    ----------
    evaluate : increments of a block -> {name: one value per path, ``(paths,)``}.
    sampler : where the increments come from.
    channels, grid, like : number of Brownian motions, finest grid, a tensor with the wanted dtype and device.
    executor : runs replicates side by side; sums are formed in replicate order, so the numbers stay the same.
    progress : called with (replicates done, replicates).
    """

    together = max(1, sampler.block // sampler.per_replicate)
    units = [
        range(start, min(start + together, sampler.replicates)) for start in range(0, sampler.replicates, together)
    ]

    def one(unit: range) -> dict[str, Values]:
        sums: dict[str, Values] = {}
        with torch.no_grad():
            for increments in sampler.draw(unit, channels, grid, like):
                for name, value in evaluate(increments).items():
                    if increments.weights is not None:
                        value = value * increments.weights
                    by_replicate = value.view(len(unit), -1).sum(1, dtype=torch.float64).cpu().numpy()
                    sums[name] = sums.get(name, 0.0) + by_replicate
        return {name: total / sampler.per_replicate for name, total in sums.items()}

    parts: list[dict[str, Values]] = []
    done = 0
    # Jets need the modules behind torch.compile: compiled code sees neither their coefficients nor right tangents.
    with torch.compiler.set_stance("force_eager"):
        for unit, part in zip(units, map(one, units) if executor is None else executor.map(one, units), strict=True):
            parts.append(part)
            done += len(unit)
            if progress is not None:
                progress(done, sampler.replicates)
    values = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return Sample(values, sampler.paths, sampler.seed)


def richardson(levels: list[Values]) -> tuple[Values, float]:
    """Extrapolate weak order 1 values to Δt = 0; the finest grid comes first, each next one is twice as coarse.

    The error of an Euler weak approximation has an expansion in whole powers of Δt (Talay & Tubaro 1990), of which
    each grid removes one. Returns the values and what the last removal changed, a measure of the bias that is left.
    """
    table = [np.asarray(v, dtype=np.float64) for v in levels]
    change = math.inf
    for power in range(1, len(levels)):
        finest = table[0]
        table = [fine + (fine - coarse) / (2**power - 1) for fine, coarse in itertools.pairwise(table)]
        change = float(abs(np.mean(table[0] - finest)))
    return table[0], change
