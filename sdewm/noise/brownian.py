"""Brownian paths that can be asked for at any dyadic refinement and are the same paths each time, areas included.

The step of level L with number i, from t0 + i 2^−L (t1−t0), is a node of a binary tree. Its halves are ½ΔB ± ½√h Z
(Lévy's construction), where h is the node's length and Z is drawn from a counter-based generator (Philox, Salmon et al.
2011) at a counter that the node's level and number make up. So any node can be had again at any time, and nothing is
kept but the nodes on the way down to the one being visited: O(paths · channels · level) numbers.

Paths are drawn in blocks of fixed size with a key each, made of the seed and the block's number; whole blocks are
drawn and cut. So path p depends on the seed and on p, and on neither the number of paths nor the first one asked for.
Nor does a channel depend on how many channels there are.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sdewm import arguments
from sdewm.noise.area_plan import AreaPlan, plan_areas
from sdewm.noise.grid import TimeGrid
from sdewm.noise.integrals import chen
from sdewm.noise.levy import LevyAlgorithm
from sdewm.noise.samplers import REPLICATES

BLOCK = 256
MAX_LEVEL = 50
_ROOT, _BRIDGE, _AREA, _TIME = range(4)


@dataclass(frozen=True)
class BrownianPath:
    """Paths ``first`` to ``first + paths − 1`` of the Brownian motions that ``seed`` determines, from t0 to t1.

    Increments are float64 on the CPU; :meth:`at` converts them.

    >>> path = BrownianPath(seed=0, paths=4, channels=2)
    >>> coarse, fine = path.at(level=3), path.at(level=5)  # 8 and 32 steps of the same motions
    >>> torch.allclose(sum(coarse), sum(fine))
    True
    """

    seed: int
    paths: int
    channels: int
    t0: float = 0.0
    t1: float = 1.0
    first: int = field(default=0, kw_only=True)

    def __post_init__(self) -> None:
        whole = TimeGrid(self.t0, self.t1, 1)
        object.__setattr__(self, "t0", whole.t0)
        object.__setattr__(self, "t1", whole.t1)
        for name, least in (("seed", 0), ("paths", 1), ("channels", 1), ("first", 0)):
            object.__setattr__(self, name, arguments.integer(name, getattr(self, name), least))

    def at(
        self,
        level: int,
        *,
        finest: int | None = None,
        algorithm: str | LevyAlgorithm = "auto",
        tolerance: float | None = None,
        pairs: Bool[Tensor, "channels channels"] | None = None,
        like: Float[Tensor, "..."] | None = None,
    ) -> DyadicIncrements:
        """The increments over 2^level equal steps, to be used wherever a solver takes increments.

        Parameters
        ----------
        finest : level at which Lévy areas are drawn, at least ``level``; those of coarser steps follow by Chen's
            relation. Give levels that are to be compared the same one, and the same way of drawing. ``None``: no areas.
        algorithm, tolerance, pairs : how areas are drawn at the finest level, see
            :func:`~sdewm.noise.area_plan.plan_areas`.
        like : a tensor whose dtype and device the increments and areas get.
        """
        _check_level("level", level, 0)
        plan = None
        if finest is not None:
            _check_level("finest", finest, level)
            h = (self.t1 - self.t0) / 2**finest
            plan = plan_areas(self.channels, h, algorithm=algorithm, tolerance=tolerance, pairs=pairs)
        return DyadicIncrements(self, level, finest, plan, like)

    def increments(self, level: int) -> Iterator[Float[Tensor, "paths channels"]]:
        """The 2^level increments ``(paths, channels)`` in the order of time."""
        return iter(self.at(level))

    def whole(self) -> BrownianNode:
        """The step from t0 to t1: the root of the tree."""
        root = math.sqrt(self.t1 - self.t0) * self.normals(_ROOT, 0, 0, self.channels)
        return BrownianNode(self, 0, 0, root)

    def node(self, level: int, number: int) -> BrownianNode:
        """The step of a level with this number, counted from 0.

        >>> path = BrownianPath(seed=0, paths=4, channels=2)
        >>> left, right = path.node(3, 5).halves()
        >>> torch.allclose(left.dB + right.dB, path.node(3, 5).dB)
        True
        """
        _check_level("level", level, 0)
        arguments.integer("number", number, 0, 2**level - 1)
        found = self.whole()
        for depth in reversed(range(level)):
            found = found.halves()[number >> depth & 1]
        return found

    def _nodes(self, level: int) -> Iterator[BrownianNode]:
        """The nodes of one level, depth first."""
        stack = [self.whole()]
        while stack:
            node = stack.pop()
            if node.level == level:
                yield node
            else:
                stack += reversed(node.halves())

    def normals(self, purpose: int, level: int, node: int, count: int) -> Float[Tensor, "paths count"]:
        """Standard normals ``(paths, count)`` of one node, others for each purpose."""
        counter = np.array([0, purpose, node, level], dtype=np.uint64)
        blocks = [
            np.random.Generator(np.random.Philox(key=key, counter=counter)).standard_normal((count, BLOCK))
            for key in self._keys
        ]
        start = self.first % BLOCK
        return torch.from_numpy(np.concatenate(blocks, 1)[:, start : start + self.paths].T.copy())

    @functools.cached_property
    def _keys(self) -> list[np.ndarray]:
        blocks = range(self.first // BLOCK, (self.first + self.paths - 1) // BLOCK + 1)
        return [np.random.SeedSequence([self.seed, b]).generate_state(2, np.uint64) for b in blocks]


@dataclass(frozen=True, eq=False)
class BrownianNode:
    """One step of a Brownian path: number ``number`` of the 2^level equal ones; made by :meth:`BrownianPath.node`.

    ``dB`` ``(paths, channels)`` is its increment, float64.
    """

    path: BrownianPath
    level: int
    number: int
    dB: Float[Tensor, "paths channels"]

    @property
    def dt(self) -> float:
        return (self.path.t1 - self.path.t0) / 2**self.level

    @property
    def start(self) -> float:
        """The time at which the step starts."""
        return self.path.t0 + (self.path.t1 - self.path.t0) * self.number / 2**self.level

    @property
    def end(self) -> float:
        """The time at which it ends; t1 to the last digit at the end."""
        if self.number + 1 == 2**self.level:
            return self.path.t1
        return self.path.t0 + (self.path.t1 - self.path.t0) * (self.number + 1) / 2**self.level

    def halves(self) -> tuple[BrownianNode, BrownianNode]:
        """The two steps that it is made of. They are the same ones whenever they are asked for."""
        bridge = self.path.normals(_BRIDGE, self.level, self.number, self.path.channels)
        left = 0.5 * self.dB + 0.5 * math.sqrt(self.dt) * bridge
        return (
            BrownianNode(self.path, self.level + 1, 2 * self.number, left),
            BrownianNode(self.path, self.level + 1, 2 * self.number + 1, self.dB - left),
        )

    def area(self, finest: int, plan: AreaPlan) -> Float[Tensor, "paths channels channels"]:
        """Its Lévy areas ``(paths, channels, channels)``, drawn at level ``finest`` as ``plan`` says."""
        if self.level == finest:
            return plan.from_normals(self.dB, self.path.normals(_AREA, self.level, self.number, plan.normals))
        left, right = self.halves()
        return chen(left.dB, left.area(finest, plan), right.dB, right.area(finest, plan))

    def time_area(self, finest: int) -> Float[Tensor, "paths channels"]:
        """The integrals of B(s) − B(t) over it from its start t, ``(paths, channels)``, drawn at level ``finest``."""
        h = self.dt
        if self.level == finest:
            bridge = self.path.normals(_TIME, self.level, self.number, self.path.channels)
            return 0.5 * h * self.dB + h * math.sqrt(h / 12) * bridge
        left, right = self.halves()
        return left.time_area(finest) + right.time_area(finest) + 0.5 * h * left.dB

    def both_areas(
        self, finest: int, plan: AreaPlan
    ) -> tuple[Float[Tensor, "paths channels channels"], Float[Tensor, "paths channels"]]:
        """The areas of :meth:`area`, and integrals over time along the paths that have them: others than
        :meth:`time_area`'s, which are drawn by themselves."""
        if self.level == finest:
            normals = self.path.normals(_AREA, self.level, self.number, plan.normals)
            return plan.from_normals(self.dB, normals), plan.time_integrals(self.dB, normals, self.time_area(finest))
        left, right = self.halves()
        (area, integral), (next_area, next_integral) = left.both_areas(finest, plan), right.both_areas(finest, plan)
        return chen(left.dB, area, right.dB, next_area), integral + next_integral + 0.5 * self.dt * left.dB


@dataclass(frozen=True, eq=False)
class DyadicIncrements:
    """A Brownian path's increments over 2^level steps, and their Lévy areas; made by :meth:`BrownianPath.at`."""

    path: BrownianPath
    level: int
    finest: int | None = None
    plan: AreaPlan | None = None
    like: Float[Tensor, "..."] | None = None
    weights: None = None

    @property
    def steps(self) -> int:
        return 2**self.level

    @property
    def paths(self) -> int:
        return self.path.paths

    @property
    def channels(self) -> int:
        return self.path.channels

    @property
    def grid(self) -> TimeGrid:
        return TimeGrid(self.path.t0, self.path.t1, self.steps)

    @property
    def pairs(self) -> Bool[Tensor, "channels channels"] | None:
        """The pairs whose areas are drawn, a symmetric mask ``(channels, channels)``; ``None`` for all."""
        return None if self.plan is None else self.plan.mask

    def __iter__(self) -> Iterator[Float[Tensor, "paths channels"]]:
        for node in self.path._nodes(self.level):
            yield self._convert(node.dB)

    def areas(self) -> Iterator[tuple[Float[Tensor, "paths channels"], Float[Tensor, "paths channels channels"]]]:
        """Increments ``(paths, channels)`` and areas ``(paths, channels, channels)``, step by step.

        Work is that of the finest level; memory O(paths · channels² · finest).
        """
        if self.finest is None or self.plan is None:
            raise ValueError(f"finest: expected a level of at least {self.level} to draw areas at, got None")
        mask = self.plan.mask
        for node in self.path._nodes(self.level):
            area = node.area(self.finest, self.plan)
            yield self._convert(node.dB), self._convert(area if mask is None else area * mask.to(area))

    def time_areas(self) -> Iterator[tuple[Float[Tensor, "paths channels"], Float[Tensor, "paths channels"]]]:
        """Increments, and the integrals of B(s) − B(t) over each step from t, both ``(paths, channels)``.

        Given the increment ΔB over a step of length h an integral is normal, of mean ½hΔB and variance h³/12. It is
        drawn at the finest level, by itself: these integrals and the areas of :meth:`areas` are not drawn jointly, as
        those of :meth:`both_areas` are.
        """
        if self.finest is None:
            raise ValueError(f"finest: expected a level of at least {self.level} to draw areas at, got None")
        for node in self.path._nodes(self.level):
            yield self._convert(node.dB), self._convert(node.time_area(self.finest))

    def both_areas(
        self,
    ) -> Iterator[
        tuple[
            Float[Tensor, "paths channels"], Float[Tensor, "paths channels channels"], Float[Tensor, "paths channels"]
        ]
    ]:
        """Increments, the areas of :meth:`areas`, and integrals over time that are drawn jointly with them.

        ``ValueError`` where areas are drawn by an algorithm other than "milstein" or "mrongowius-roessler".

        >>> given = BrownianPath(seed=0, paths=4, channels=2).at(3, finest=5, algorithm="mrongowius-roessler")
        >>> [tuple(v.shape) for v in next(given.both_areas())]
        [(4, 2), (4, 2, 2), (4, 2)]
        """
        if self.finest is None or self.plan is None:
            raise ValueError(f"finest: expected a level of at least {self.level} to draw areas at, got None")
        mask = self.plan.mask
        for node in self.path._nodes(self.level):
            area, integral = node.both_areas(self.finest, self.plan)
            area = area if mask is None else area * mask.to(area)
            yield self._convert(node.dB), self._convert(area), self._convert(integral)

    def coarsen(self, factor: int) -> DyadicIncrements:
        """The same paths over steps ``factor`` times as long; the areas' finest level stays."""
        factor = arguments.integer("factor", factor)
        if factor < 1 or self.steps % factor:
            raise ValueError(f"factor: expected a divisor of {self.steps} steps, got {factor}")
        return replace(self, level=self.level - (factor.bit_length() - 1))

    def _convert(self, values: Tensor) -> Tensor:
        return values if self.like is None else values.to(self.like)


@dataclass(frozen=True, eq=False)
class BrownianSampler:
    """Monte Carlo with Lévy areas: the ``sampler`` of an estimate by a method that needs them.

    Replicates are consecutive paths of one :class:`BrownianPath`, so that path p is the same whatever their number, and
    the same as that of ``BrownianPath(seed, …, first=p)``. Areas are drawn on the grid that is asked for and combined
    by Chen's relation on coarser ones. The grid must have a power of two of steps.

    There is no quasi-Monte Carlo with areas that are the path's own (means by "platen-weak" do without, see
    :class:`~sdewm.noise.further_channels.MomentAreas`). A path of n steps with m noises has n m good dimensions; its
    areas take n normals(m, terms) more, which with a tolerance of h^{3/2} is more than that (for m = 8, h = 1/64: 52
    normals per step for the areas, 8 for the increments), are all of the same small weight, and have no order to put
    them in.

    Parameters
    ----------
    paths : at least 16. Rounded up to whole replicates of at most 256 paths each: 32 of them or more, of two paths
        each where there are fewer.
    seed : one integer determines every path and every area.
    pairs, algorithm, tolerance : which areas are drawn and how, see :func:`~sdewm.noise.area_plan.plan_areas`. By
        default all pairs are; ``noise_structure(sde, x0, grid).pairs`` tells which are needed.
    block : paths that are walked together; a matter of speed and memory only.

    >>> expansion = expand(family, loss, x0, grid, method="milstein", sampler=BrownianSampler(2**14, seed=0))
    """

    paths: int
    seed: int
    pairs: Bool[Tensor, "channels channels"] | None = field(default=None, kw_only=True)
    algorithm: str | LevyAlgorithm = field(default="auto", kw_only=True)
    tolerance: float | None = field(default=None, kw_only=True)
    block: int = field(default=2048, kw_only=True)
    replicates: int = field(init=False)
    per_replicate: int = field(init=False)

    def __post_init__(self) -> None:
        for name, least in (("paths", 16), ("seed", 0), ("block", 1)):
            object.__setattr__(self, name, arguments.integer(name, getattr(self, name), least))
        replicates = min(max(REPLICATES, math.ceil(self.paths / BLOCK)), self.paths // 2)
        per_replicate = math.ceil(self.paths / replicates)
        for name, value in (
            ("replicates", replicates),
            ("per_replicate", per_replicate),
            ("paths", replicates * per_replicate),
        ):
            object.__setattr__(self, name, value)

    def draw(
        self, chosen: Sequence[int], channels: int, grid: TimeGrid, like: Float[Tensor, "..."]
    ) -> Iterator[DyadicIncrements]:
        """One block: all paths of ``chosen`` replicates, which are consecutive."""
        if list(chosen) != list(range(chosen[0], chosen[0] + len(chosen))):
            raise ValueError(f"chosen: expected consecutive numbers, got {list(chosen)}")
        level = grid.steps.bit_length() - 1
        if grid.steps != 2**level:
            raise ValueError(f"grid: expected a power of two of steps, to draw areas on, got {grid.steps}")
        first, paths = chosen[0] * self.per_replicate, len(chosen) * self.per_replicate
        path = BrownianPath(self.seed, paths, channels, grid.t0, grid.t1, first=first)
        yield path.at(
            level, finest=level, algorithm=self.algorithm, tolerance=self.tolerance, pairs=self.pairs, like=like
        )


def _check_level(name: str, level: int, least: int) -> None:
    arguments.integer(name, level, least, MAX_LEVEL)
