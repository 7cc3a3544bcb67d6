"""Every sampler, and what its increments are."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from support import F64
from torch import Tensor

from sdewm.estimate.samples import Sample, sample
from sdewm.noise.grid import TimeGrid
from sdewm.noise.increments import Increments
from sdewm.noise.samplers import AntitheticMonteCarlo, CounterMonteCarlo, MonteCarlo, QuasiMonteCarlo, Sampler

LIKE = torch.zeros((), dtype=F64)
GRID = TimeGrid(0.0, 2.0, 8)


class FewSobolDimensions(QuasiMonteCarlo):
    """Pads soon: only the first five dimensions are Sobol's."""

    largest_dimension = 5


class NeverStored(FewSobolDimensions):
    stored_bytes = 0


SAMPLERS = {
    "mc": lambda seed, block: MonteCarlo(2000, seed, block=block),
    "antithetic": lambda seed, block: AntitheticMonteCarlo(2000, seed, block=block),
    "counter": lambda seed, block: CounterMonteCarlo(2000, seed, block=block),
    "bridge": lambda seed, block: QuasiMonteCarlo(2048, seed, block=block),
    "pca": lambda seed, block: QuasiMonteCarlo(2048, seed, ordering="pca", block=block),
    "widened": lambda seed, block: QuasiMonteCarlo(2048, seed, widen=1.4, block=block),
    "padded": lambda seed, block: FewSobolDimensions(2048, seed, block=block),
    "streamed": lambda seed, block: NeverStored(2048, seed, widen=1.2, block=block),
}


def make(name: str, seed: int = 3, block: int = 2048) -> Sampler:
    return SAMPLERS[name](seed, block)


def increments_of(sampler: Sampler, grid: TimeGrid = GRID, channels: int = 2) -> Iterator[Increments]:
    return sampler.draw(range(sampler.replicates), channels, grid, LIKE)


def whole(noise: Increments) -> Tensor:
    return torch.stack(list(noise))


def functionals(noise: Increments) -> dict[str, Tensor]:
    """Of the end, E exp(B_T) = e^{T/2}, and of every single increment."""
    values = whole(noise)
    return {"exp": values.sum(0)[:, 0].exp(), "every": (values.exp() + values**3).sum((0, 2))}


def run(sampler: Sampler, **options) -> Sample:
    return sample(functionals, sampler, 2, GRID, LIKE, **options)


def dense_transform(steps: int, ordering: str) -> Tensor:
    """Unit increments of each component as a column, by the definitions: eigenvectors, and midpoints one by one."""
    if ordering == "pca":
        times = np.arange(1, steps + 1) / steps
        eigenvalues, vectors = np.linalg.eigh(np.minimum.outer(times, times))
        paths = vectors[:, ::-1] * np.sqrt(np.maximum(eigenvalues[::-1], 0.0) * steps)
        # Rounding in the smallest eigenvalues is amplified by the difference; the nearest orthogonal matrix mends it.
        left, _, right = np.linalg.svd(np.diff(paths, axis=0, prepend=0.0))
        dense = left @ right
        return torch.from_numpy(dense * np.sign(dense[0]))  # an eigenvector's sign is anyone's
    columns, level = [np.full(steps, 1 / math.sqrt(steps))], [(0, steps)]
    while level:
        deeper = []
        for start, stop in level:
            if stop - start < 2:
                continue
            middle = (start + stop) // 2
            a, b = middle - start, stop - middle
            column = np.zeros(steps)
            column[start:middle], column[middle:stop] = math.sqrt(b / (a * (a + b))), -math.sqrt(a / (b * (a + b)))
            columns.append(column)
            deeper += [(start, middle), (middle, stop)]
        level = deeper
    return torch.from_numpy(np.stack(columns, 1))
