"""Means of path functionals over replicates, with their moments over paths."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import reduce
from operator import add
from typing import Any, Literal, get_args

import cloudpickle
import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from sdewm import arguments
from sdewm.arrays import Array
from sdewm.estimate.estimates import CARRIERS, LARGEST, Estimate
from sdewm.jets import nonsmooth_met
from sdewm.jets.registry import warn_nonsmooth
from sdewm.jets.written import as_written
from sdewm.noise.grid import TimeGrid
from sdewm.noise.increments import Increments
from sdewm.noise.samplers import AntitheticMonteCarlo, MonteCarlo, QuasiMonteCarlo, Sampler

Evaluate = Callable[[Increments], Mapping[Any, Float[Tensor, " paths"]]]
ProgressCallback = Callable[[int, int], None]
SamplerName = Literal["rqmc", "mc", "antithetic"]


@dataclass(frozen=True)
class Moments:
    """The mean of n values, and the sums of the second, third and fourth powers of their deviations from it.

    Deviations are in units of 2^``exponent``, about the largest value, so that their powers neither overflow nor
    underflow.
    """

    n: int
    mean: float
    second: float
    third: float
    fourth: float
    exponent: int = 0

    def __add__(self, other: Moments) -> Moments:
        """The moments of the union of both sets of values."""
        n, exponent = self.n + other.n, max(self.exponent, other.exponent)
        mean = self.mean + (other.mean - self.mean) * other.n / n
        second = third = fourth = 0.0
        for part in (self, other):
            shift = math.ldexp(part.mean - mean, -exponent)
            powers = zip((part.second, part.third, part.fourth), (2, 3, 4), strict=True)
            two, three, four = (math.ldexp(power, k * (part.exponent - exponent)) for power, k in powers)
            second += two + part.n * shift**2
            third += three + 3 * shift * two + part.n * shift**3
            fourth += four + 4 * shift * three + 6 * shift**2 * two + part.n * shift**4
        return Moments(n, mean, second, third, fourth, exponent)

    @property
    def spread(self) -> float:
        """The root mean square deviation of the values from their mean."""
        return math.ldexp(math.sqrt(self.second / self.n), self.exponent)

    @property
    def rms(self) -> float:
        """The root mean square of the values."""
        return math.hypot(self.mean, self.spread)

    @property
    def carriers(self) -> float:
        """The effective number of values that make up the spread: n if all deviate equally, 1 if a single one does.

        It is 1/Σ p_i², where p_i is the fraction of value i in the sum of squared deviations: n over the kurtosis.
        """
        rounding = self.n * (1e-14 * math.ldexp(self.mean, -self.exponent)) ** 2
        return self.second**2 / self.fourth if self.fourth > 0 and self.second > rounding else math.inf


@dataclass(frozen=True)
class Sample:
    """Replicate means of named quantities on common noise: ``values[name]`` is ``(replicates,)``.

    A name is a string or any other key, such as a named tuple.
    Form differences and ratios of quantities replicate by replicate: then their common noise cancels.
    ``moments[name]`` are the moments of the quantity's values on single paths, where they are known. If paths come in
    antithetic pairs, only the pairs are independent: ``pairs[name]`` are then the moments of the pairs' means, else
    ``pairs`` is empty. ``doubts[name]`` is a reason not to trust a quantity that its moments do not show.
    """

    values: Mapping[Any, Array]
    paths: int
    seed: int
    moments: Mapping[Any, Moments] = field(default_factory=dict)
    pairs: Mapping[Any, Moments] = field(default_factory=dict)
    doubts: Mapping[Any, str] = field(default_factory=dict)

    def __getitem__(self, name: Any) -> Float64[np.ndarray, " replicates"]:
        return self.values[name]

    def estimate(self, values: Any, of: Sequence[Any] = ()) -> Estimate:
        """The estimate of a quantity by name, or of any combination of quantities, one value per replicate.

        ``of`` names the quantities that a combination is made of: it gets their flags, and no others.
        """
        named = of if isinstance(values, np.ndarray) else [values]
        v = values if isinstance(values, np.ndarray) else self.values[values]
        scaled, exponent = _to_one(v)
        stderr = math.ldexp(float(np.std(scaled, ddof=1)) / math.sqrt(len(v)), exponent)
        flags = tuple(dict.fromkeys(reason for name in named for reason in self._flags(name)))
        return Estimate(float(np.mean(v)), stderr, self.paths, len(v) - 1, self.seed, flags, _skewness(scaled))

    def log_estimate(self, values: Float64[np.ndarray, " replicates"], over: float = 1.0) -> Estimate:
        """The estimate of log(mean/``over``) for a positive quantity, with its standard error to first order."""
        e = self.estimate(values)
        return Estimate(math.log(e.mean / over), e.stderr / e.mean, e.n, e.dof, e.seed)

    def slope(
        self, above: Float64[np.ndarray, " replicates"], below: Float64[np.ndarray, " replicates"], span: float
    ) -> Estimate:
        """The estimate of log(E above/E below)/``span``, the slope of log E over a distance ``span``.

        The standard error is to first order: that of the difference of the two means' relative deviations.
        """
        deviations = self.estimate((above / above.mean() - below / below.mean()) / span)
        mean = math.log(above.mean() / below.mean()) / span
        return Estimate(mean, deviations.stderr, deviations.n, deviations.dof, deviations.seed)

    def _flags(self, name: Any) -> tuple[str, ...]:
        if name in self.doubts:
            return (self.doubts[name],)
        if name not in self.moments:
            return ()
        found = self.pairs.get(name, self.moments[name])
        what = "pairs of paths" if name in self.pairs else "paths"
        needed = CARRIERS * math.sqrt(max(1.0, found.n / 256))
        # For quantities that are odd in the noise, a pair's mean is rounding alone.
        if found.carriers >= needed or found.spread <= 1e-14 * self.moments[name].rms:
            return ()
        return (
            f"{found.carriers:.1f} of {found.n} {what} carry the spread of {name}, and {needed:.0f} should: there may "
            "be larger values that the sample has not seen. Draw more paths, or bound the loss.",
        )


def _to_one(v: Array) -> tuple[Array, int]:
    """The values divided, exactly, by a power of two about as large as the largest of them, and its exponent."""
    exponent = _exponent(float(np.abs(v).max()))
    return v * math.ldexp(1.0, -exponent), exponent


def _exponent(largest: float) -> int:
    """The exponent of a power of two about as large as that number, such that it and its inverse are normal numbers."""
    return max(-1000, min(1000, math.frexp(largest)[1])) if math.isfinite(largest) else 0


def _skewness(v: Array) -> float:
    """The adjusted Fisher–Pearson coefficient of skewness; 0 where the spread is rounding alone."""
    n = len(v)
    deviation = v - np.mean(v)
    variance = float(np.mean(deviation**2))
    if n < 3 or not variance > (1e-14 * float(np.mean(v))) ** 2:
        return 0.0
    return float(np.mean(deviation**3)) / variance**1.5 * math.sqrt(n * (n - 1)) / (n - 2)


def pool(samples: Sequence[Sample], seed: int) -> Sample:
    """Combine independent samples of the same quantities; ``seed`` is the one from which their seeds follow."""
    values = {name: np.concatenate([s[name] for s in samples]) for name in samples[0].values}
    moments = {name: reduce(add, (s.moments[name] for s in samples)) for name in samples[0].moments}
    pairs = {name: reduce(add, (s.pairs[name] for s in samples)) for name in samples[0].pairs}
    doubts = {name: reason for s in samples for name, reason in s.doubts.items()}
    return Sample(values, sum(s.paths for s in samples), seed, moments, pairs, doubts)


def make_sampler(sampler: SamplerName | Sampler, paths: int, seed: int) -> Sampler:
    """The sampler of that name, or the one given."""
    if isinstance(sampler, str) and sampler == "rqmc":
        return QuasiMonteCarlo(paths, seed)
    if isinstance(sampler, str) and sampler == "mc":
        return MonteCarlo(paths, seed)
    if isinstance(sampler, str) and sampler == "antithetic":
        return AntitheticMonteCarlo(paths, seed)
    expected = ", ".join(map(repr, get_args(SamplerName))) + " or a sampler object"
    if isinstance(sampler, str):
        raise ValueError(f"sampler: expected {expected}, got {sampler!r}")
    needed = ("seed", "paths", "replicates", "per_replicate", "block", "draw")
    return arguments.has("sampler", sampler, needed, expected)


def check_how(executor: object, progress: object) -> None:
    """Raise ``TypeError`` if the executor or the callback is given and is not what :func:`sample` takes."""
    if executor is not None:
        expected = "an executor as of concurrent.futures, with map and submit, or None"
        arguments.has("executor", executor, ("map", "submit"), expected)
    arguments.function("progress", progress, "(done, all)", optional=True)


def sample(
    evaluate: Evaluate,
    sampler: Sampler,
    channels: int,
    grid: TimeGrid,
    like: Float[Tensor, "..."],
    *,
    executor: Executor | None = None,
    progress: ProgressCallback | None = None,
) -> Sample:
    """The means over paths of all that ``evaluate`` returns, one per replicate, and the moments over single paths.

    Parameters
    ----------
    evaluate : increments of a block -> {name: one value per path, ``(paths,)``}.
    sampler : where the increments come from.
    channels, grid, like : number of Brownian motions, finest grid, a tensor with the wanted dtype and device.
    executor : any :class:`concurrent.futures.Executor`, of threads, processes or a cluster. It runs replicates side by
        side; sums are formed in replicate order, so the numbers stay the same. cloudpickle sends the work to other
        processes, so that it may contain functions and classes of a script or a notebook. torch's default dtype is
        sent too.
    progress : called with (replicates done, replicates).
    """
    check_how(executor, progress)
    arguments.function("evaluate", evaluate, "increments")
    drawn = ("seed", "paths", "replicates", "per_replicate", "block", "draw")
    arguments.has("sampler", sampler, drawn, "a sampler, such as MonteCarlo(paths, seed)")
    arguments.instance("grid", grid, TimeGrid, "a TimeGrid(t0, t1, steps)")
    channels, like = arguments.integer("channels", channels, 0), arguments.tensor("like", like)
    together = max(1, sampler.block // sampler.per_replicate)
    units = [
        range(start, min(start + together, sampler.replicates)) for start in range(0, sampler.replicates, together)
    ]
    of = _Replicates(evaluate, sampler, channels, grid, like)
    parts: list[_Sums] = []
    done = 0
    # Jets need modules as they are without torch.compile: compiled code loses coefficients and has wrong tangents.
    with as_written():
        for unit, part in zip(units, _each(of, units, executor), strict=True):
            parts.append(part)
            done += len(unit)
            if progress is not None:
                progress(done, sampler.replicates)
    names = parts[0].means
    values = {name: np.concatenate([part.means[name] for part in parts]) for name in names}
    moments: dict[str, Moments] = {}
    pairs: dict[str, Moments] = {}
    for part in parts:
        _add(moments, part.moments)
        _add(pairs, part.pairs)
    return Sample(values, sampler.paths, sampler.seed, moments, pairs)


@dataclass(frozen=True)
class _Sums:
    """The means of some replicates, and the moments of their paths and of their antithetic pairs."""

    means: dict[str, Array]
    moments: dict[str, Moments]
    pairs: dict[str, Moments]


@dataclass(frozen=True)
class _Replicates:
    """The work for some replicates, which can be sent to another process."""

    evaluate: Evaluate
    sampler: Sampler
    channels: int
    grid: TimeGrid
    like: Tensor

    def __call__(self, unit: range) -> _Sums:
        sums: dict[str, Array] = {}
        moments: dict[str, Moments] = {}
        pairs: dict[str, Moments] = {}
        with torch.no_grad():
            for increments in self.sampler.draw(unit, self.channels, self.grid, self.like):
                found = _checked(self.evaluate(increments), increments.paths)
                if increments.weights is not None:
                    found = {name: value * increments.weights for name, value in found.items()}
                for name, value in found.items():
                    check_numbers(name, value)
                    by_replicate = value.view(len(unit), -1).sum(1, dtype=torch.float64).cpu().numpy()
                    sums[name] = sums.get(name, 0.0) + by_replicate
                _add(moments, _moments(found))
                if getattr(increments, "mirrored", False):
                    means = {name: value.view(len(unit), 2, -1).mean(1).flatten() for name, value in found.items()}
                    _add(pairs, _moments(means))
        return _Sums({name: total / self.sampler.per_replicate for name, total in sums.items()}, moments, pairs)


def _checked(found: Any, paths: int) -> Mapping[str, Tensor]:
    """What ``evaluate`` returns."""
    if not isinstance(found, Mapping) or not found:
        raise TypeError(f"evaluate: expected values by name, {{name: (paths,)}}, got {arguments.shown(found)}")
    for name, value in found.items():
        if not isinstance(value, Tensor) or value.shape != (paths,):
            raise ValueError(f"evaluate: expected {paths} values of {str(name)!r}, got {arguments.shown(value)}")
    return found


def _each(of: _Replicates, units: Sequence[range], executor: Executor | None) -> Iterator[_Sums]:
    if executor is None:
        yield from map(of, units)
    elif isinstance(executor, ThreadPoolExecutor):
        yield from executor.map(of, units)
    else:
        sent = cloudpickle.dumps((of, torch.get_default_dtype()))
        for sums, kinks in executor.map(_in_another_process, [sent] * len(units), units):
            for name in kinks:
                warn_nonsmooth(name)  # the warning was given in the other process, where nobody sees it
            yield sums


def _in_another_process(sent: bytes, unit: range) -> tuple[_Sums, set[str]]:
    of, dtype = cloudpickle.loads(sent)
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)  # coefficients may create tensors of the default dtype
    try:
        with as_written(), nonsmooth_met() as kinks:
            return of(unit), kinks
    finally:
        torch.set_default_dtype(before)


def check_numbers(name: Any, value: Float[Tensor, "..."]) -> None:
    """Raise ``ArithmeticError`` if a path's value is not finite, or so large that the sum over paths may overflow."""
    bad = int((~(value.abs() < LARGEST)).sum())
    if bad:
        raise ArithmeticError(
            f"values: expected finite numbers below {LARGEST:g} in size, got others on {bad} of {len(value)} paths in "
            f"{str(name)!r}"
        )


def _add(sums: dict[str, Moments], found: Mapping[str, Moments]) -> None:
    for name, part in found.items():
        sums[name] = sums[name] + part if name in sums else part


def _moments(found: Mapping[str, Tensor]) -> dict[str, Moments]:
    """The moments of each quantity's values in one block."""
    table = torch.stack([value.to(torch.float64) for value in found.values()])
    exponents = [_exponent(largest) for largest in table.abs().amax(1).tolist()]
    table = table * table.new_tensor([math.ldexp(1.0, -exponent) for exponent in exponents]).unsqueeze(1)
    means = table.mean(1)
    deviation = table - means.unsqueeze(1)
    square = deviation.square()
    powers = (square, square * deviation, square.square())
    rows = torch.stack([means, *(power.sum(1) for power in powers)], 1).tolist()
    return {
        name: Moments(table.shape[1], math.ldexp(mean, exponent), second, third, fourth, exponent)
        for name, exponent, (mean, second, third, fourth) in zip(found, exponents, rows, strict=True)
    }


def richardson(on_grids: list[Float64[np.ndarray, "..."]]) -> tuple[Float64[np.ndarray, "..."], float]:
    """Extrapolate values of weak order 1 to Δt = 0. The finest grid comes first, each next one is twice as coarse.

    The weak error of Euler's method has an expansion in whole powers of Δt (Talay & Tubaro 1990), and each further grid
    removes one power. Returns the values and how much the last grid changed them, which measures the remaining bias.
    """
    table = [np.asarray(v, dtype=np.float64) for v in on_grids]
    change = math.inf
    for power in range(1, len(on_grids)):
        finest = table[0]
        table = [fine + (fine - coarse) / (2**power - 1) for fine, coarse in itertools.pairwise(table)]
        change = float(abs(np.mean(table[0] - finest)))
    return table[0], change
