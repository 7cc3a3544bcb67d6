"""How the Lévy areas of some channels are drawn: in which groups, by which algorithm, with how many terms."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sdewm import arguments
from sdewm.noise.levy import ALGORITHMS, LevyAlgorithm, check_increments, check_span


def default_tolerance(h: float) -> float:
    """h^{3/2}, the root-mean-square error of an area over a step of length h that keeps Milstein's strong order 1.

    The errors have mean zero given the past and the increments, so n = T/h steps add up to √n h^{3/2} = √T h. At most
    h/10, a fifth of an area's standard deviation, so that no unit of time makes zero a good enough area.
    """
    return min(h**1.5, h / 10)


@dataclass(frozen=True)
class AreaGroup:
    """Channels whose areas are drawn together, and how."""

    channels: tuple[int, ...]
    algorithm: LevyAlgorithm
    terms: int

    @property
    def normals(self) -> int:
        return self.algorithm.normals(len(self.channels), self.terms)


@dataclass(frozen=True, eq=False)
class AreaPlan:
    """How the areas of m channels over steps of length h are drawn; made by :func:`plan_areas`, used step after step.

    Groups are independent given the increments. ``mask`` ``(m, m)`` marks the wanted pairs, ``None`` for all.
    """

    m: int
    h: float
    groups: tuple[AreaGroup, ...]
    mask: Bool[Tensor, "channels channels"] | None = None

    @property
    def normals(self) -> int:
        """Standard normals for the areas of one step of one path."""
        return sum(group.normals for group in self.groups)

    def sample(
        self, dB: Float[Tensor, "paths channels"], generator: torch.Generator
    ) -> Float[Tensor, "paths channels channels"]:
        """Areas ``(paths, m, m)``, float64, for increments ``(paths, m)``; zero for pairs not wanted."""
        check_increments(dB)
        drawn = torch.randn(len(dB), self.normals, generator=generator, dtype=torch.float64, device=generator.device)
        return self.from_normals(dB, drawn.to(dB.device))

    def from_normals(
        self, dB: Float[Tensor, "paths channels"], normals: Float[Tensor, "paths normals"]
    ) -> Float[Tensor, "paths channels channels"]:
        """The same as a function of standard normals ``(paths, normals)``, group after group."""
        parts = self._parts(dB, normals)
        if len(parts) == 1 and len(self.groups[0].channels) == self.m:
            area = self.groups[0].algorithm.from_normals(dB, self.h, self.groups[0].terms, parts[0])
        else:
            area = torch.zeros(len(dB), self.m, self.m, dtype=torch.float64, device=dB.device)
            for group, part in zip(self.groups, parts, strict=True):
                at = torch.tensor(group.channels, device=dB.device)
                drawn = group.algorithm.from_normals(dB[:, at], self.h, group.terms, part)
                area[:, at[:, None], at] = drawn
        return area if self.mask is None else area * self.mask.to(area)

    def time_integrals(
        self,
        dB: Float[Tensor, "paths channels"],
        normals: Float[Tensor, "paths normals"],
        apart: Float[Tensor, "paths channels"],
    ) -> Float[Tensor, "paths channels"]:
        """The integrals of B(s) − B(t) over the step ``(paths, m)`` along the paths that have these areas.

        Channels that are in no group have no areas, and their integrals are those of ``apart`` ``(paths, m)``.
        ``ValueError`` where a group's algorithm does not draw them jointly.
        """
        integrals = apart.clone()
        for group, part in zip(self.groups, self._parts(dB, normals), strict=True):
            at = torch.tensor(group.channels, device=dB.device)
            integrals[:, at] = group.algorithm.time_integrals(dB[:, at], self.h, group.terms, part)
        return integrals

    def _parts(self, dB: Tensor, normals: Tensor) -> Sequence[Tensor]:
        """The normals of each group; ``ValueError`` for a shape that is wrong."""
        if dB.ndim != 2 or dB.shape[1] != self.m:
            raise ValueError(f"dB: expected shape (paths, {self.m}), got {tuple(dB.shape)}")
        if normals.shape != (len(dB), self.normals):
            raise ValueError(f"normals: expected shape {(len(dB), self.normals)}, got {tuple(normals.shape)}")
        return normals.split([group.normals for group in self.groups], 1) if self.groups else []


def plan_areas(
    m: int,
    h: float,
    *,
    algorithm: str | LevyAlgorithm = "auto",
    tolerance: float | None = None,
    pairs: Bool[Tensor, "channels channels"] | None = None,
) -> AreaPlan:
    """How to draw the areas of m channels over steps of length h.

    Parameters
    ----------
    algorithm : one of ``ALGORITHMS``, its name, or "auto" for the fewest normals.
    tolerance : root-mean-square error of each area, in units of time; :func:`default_tolerance` where ``None``.
    pairs : mask ``(m, m)``, bool: the pairs that are wanted, in either order. Channels without a pair are dropped,
        and channels that no chain of pairs connects are drawn in separate, smaller groups.
    """
    check_span(m, h)
    everything = tuple(range(m))
    if pairs is None:
        families, mask = [everything], None
    else:
        arguments.instance("pairs", pairs, Tensor, f"a bool mask of shape {(m, m)}")
        if pairs.shape != (m, m) or pairs.dtype != torch.bool:
            raise ValueError(f"pairs: expected a bool mask of shape {(m, m)}, got {pairs.dtype} {tuple(pairs.shape)}")
        mask = (pairs | pairs.mT) & ~torch.eye(m, dtype=torch.bool, device=pairs.device)
        _, labels = scipy.sparse.csgraph.connected_components(mask.cpu().numpy(), directed=False)
        families = [tuple(np.flatnonzero(labels == label).tolist()) for label in range(labels.max() + 1)]
    groups = []
    for channels in families:
        if len(channels) > 1:
            chosen, terms = _select(len(channels), h, algorithm, tolerance)
            groups.append(AreaGroup(channels, chosen, terms))
    return AreaPlan(m, h, tuple(groups), mask)


def _select(m: int, h: float, algorithm: str | LevyAlgorithm, tolerance: float | None) -> tuple[LevyAlgorithm, int]:
    tolerance = default_tolerance(h) if tolerance is None else arguments.real("tolerance", tolerance, above=0.0)
    if isinstance(algorithm, LevyAlgorithm):
        return algorithm, algorithm.terms_for(m, h, tolerance)
    if algorithm == "auto":
        return _cheapest(m, h, tolerance)
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise ValueError(f'algorithm: expected "auto" or one of {sorted(ALGORITHMS)}, got {algorithm!r}')
    return ALGORITHMS[algorithm], ALGORITHMS[algorithm].terms_for(m, h, tolerance)


@functools.lru_cache(maxsize=256)
def _cheapest(m: int, h: float, tolerance: float) -> tuple[LevyAlgorithm, int]:
    candidates = [(algorithm, algorithm.terms_for(m, h, tolerance)) for algorithm in ALGORITHMS.values()]
    return min(candidates, key=lambda candidate: candidate[0].normals(m, candidate[1]))
