"""Steps as long as their error allows, all of them on one Brownian path.

A Brownian path is a binary tree of steps, each made of two halves (:class:`~sdewm.noise.brownian.BrownianPath`). A step
is tried as a whole and by halves; the distance between the two results is what its error is taken for. Where that is
too large on any path, the first half is tried in its place. The increments of a step that was rejected are thereby
kept, and parted by a bridge: no part of a path is ever drawn anew because of what it did, which would bias the paths
(Gaines and Lyons 1997, SIAM J. Appl. Math. 57, 1455–1484). Which steps are made depends on the path all the same, so
that the method has to be right path by path, which Euler's scheme is for additive noise alone.
"""

from __future__ import annotations

import math
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Literal

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from sdewm import arguments
from sdewm.jets.written import as_written
from sdewm.noise.area_plan import AreaPlan, plan_areas
from sdewm.noise.brownian import BrownianNode, BrownianPath
from sdewm.noise.grid import TimeGrid
from sdewm.solvers.base import Stepper
from sdewm.solvers.held_structure import HeldStructure
from sdewm.solvers.loop import carries_jets, check_system
from sdewm.solvers.methods import Method, stepper
from sdewm.solvers.registry import lists_methods, quoted, remedy, taking
from sdewm.solvers.structure import NoiseStructure, noise_structure
from sdewm.systems.sde import SDE
from sdewm.systems.user_functions import named

LONGEST = 8  # steps that a time is parted in before any error is known, where the grid does not say
# A step whose error is at most this part of what it may be is followed by one twice as long, where the tree has one.
LONGER = 0.25
# The sum of errors as large as they may be, of random signs, is less than so many times its standard deviation.
SUMS = 3.0
# A whole step and two halves are rounded three times, by half a spacing of their numbers at most each.
ROUNDING = 1.5
# The number of steps among which the noise's structure is held against states.
LOOKED_AT = 2**16
# The level of the shortest steps where nothing is said: noise that is drawn at that level is drawn through the time.
SHORTEST, SHORTEST_DRAWN = 24, 12


@dataclass(frozen=True, eq=False)
class AdaptiveSolution:
    """What :func:`solve_adaptive` returns.

    Parameters
    ----------
    times : ``(steps + 1,)``, float64: the grid, one for all paths.
    x : the states at the end ``(paths, n)``, or at all times ``(steps + 1, paths, n)``, as was asked for.
    path : the Brownian paths.
    nodes : level and number of each step in their tree: its increment is ``path.node(level, number).dB``.
    made : steps of the method that were made in all, those to estimate errors and those rejected included.

    >>> found = solve_adaptive(gbm, x0, (0.0, 1.0), tol=1e-2, paths=64)
    >>> total = sum(found.path.node(*node).dB for node in found.nodes)
    >>> torch.allclose(total, found.path.whole().dB)
    True
    """

    times: Float64[Tensor, " times"]
    x: Float[Tensor, "..."]
    path: BrownianPath
    nodes: tuple[tuple[int, int], ...]
    made: int

    @property
    def steps(self) -> int:
        return len(self.nodes)


@dataclass(eq=False)
class ShortestStepReached(ArithmeticError):
    """A step as short as steps may be has too large an error: from which time, in which component, on how many paths.

    >>> print(ShortestStepReached(time=0.5, dt=0.001, component=0, paths=3, of=8, ratio=7.0))
    x: at t = 0.5 the error of a step of 0.001, the shortest, is 7 times what tol asks for, in component 0 on 3 of 8 …
    """

    time: float
    dt: float
    component: int
    paths: int
    of: int
    ratio: float
    remedy: str = "Give a larger finest= or tol=."

    def __str__(self) -> str:
        size = f"{self.ratio:.3g} times what tol asks for" if math.isfinite(self.ratio) else "not finite"
        return (
            f"x: at t = {self.time:g} the error of a step of {self.dt:.3g}, the shortest, is {size}, in component "
            f"{self.component} on {self.paths} of {self.of} paths. {self.remedy}"
        )


@lists_methods
def solve_adaptive(
    sde: SDE,
    x0: Float[Tensor, "*paths n"],
    grid: TimeGrid | tuple[float, float],
    *,
    tol: float,
    method: Method = "milstein",
    paths: int,
    seed: int = 0,
    finest: int | None = None,
    save: Literal["final", "path"] = "final",
) -> AdaptiveSolution:
    """Integrate an SDE by steps that are halved where their error is too large; one grid serves all paths.

    The error of a step of length h is what a whole step and its halves differ by, relative to 1 + |x|; it may be
    tol · √(h / T) in each component on each path, where T is the whole time: errors of steps add up like random ones.
    Those of one sign add up faster, as a drift's do where there is little noise: so their sum on a path may be
    3 tol · √(t / T) up to a time t from the start, which random ones as large as they may be hardly come to. States
    are carried on from the halves. So ``tol`` is about the error at the end, but for what the equation itself makes
    of an earlier one: take units in which states are about 1. All paths have the grid of the one that needs the
    shortest steps. What a coefficient does between the times that are tried, such as a short pulse, shows in no
    error; give a ``grid`` whose steps are no longer than that.

    Parameters
    ----------
    sde, x0 : as for :func:`sdewm.solve`; tensors, no jets.
    grid : a time grid of 2^k steps, the longest that are made; of (t0, t1) an eighth is.
    tol : the tolerance.
    method : a method of strong order 1 or more on the SDE's noise, for which any does that is additive: which steps are
        made depends on the path, and a scheme of a lower order can come to another limit then. One whose steps stand
        alone: torchsde's hand something on. As for :func:`sdewm.solve`:

        {methods}
    paths, seed : the paths are those of ``BrownianPath(seed, paths, m, t0, t1)``, which :func:`sdewm.solve` has too.
    finest : no step is shorter than 2^−finest of the time; 24 by default. Lévy areas, and integrals over time, where
        the method takes them, are drawn there, at the cost of a grid of 2^finest steps; 12 is the default then.
    save : "final" or "path".

    Raises
    ------
    ValueError : names the argument whose shape or value is wrong, before any step is made; the method, if it is not
        meant for the SDE or has too low an order for its noise; x0 or sde, if they carry jets.
    ShortestStepReached : names the time, the component, and the methods for drifts that are stiff.
    OtherStructure : a ``ValueError``; the noise is not what the method took it to be before the first step.

    >>> gbm = FunctionSDE(lambda t, x: 0.1 * x, lambda t, x: 0.3 * x)
    >>> found = solve_adaptive(gbm, torch.ones(1, dtype=torch.float64), (0.0, 1.0), tol=1e-2, paths=1000)
    >>> found.steps, found.x.shape
    (24, torch.Size([1000, 1]))
    """
    longest = _longest(grid)
    x0 = arguments.state(x0, many=True)
    tol, paths = arguments.real("tol", tol, above=0.0), arguments.integer("paths", paths, 1)
    arguments.choice("save", save, ("final", "path"))
    level = longest.steps.bit_length() - 1
    finest = None if finest is None else arguments.integer("finest", finest, level + 1, 40)
    probe = check_system(sde, x0, longest, method=method)
    if carries_jets(sde, x0, longest):
        raise ValueError(
            "x0, sde: expected tensors, got jets, which steps that depend on the path are not made for. Take solve or "
            "expand on a TimeGrid"
        )
    if x0.ndim == 2 and len(x0) != paths:
        raise ValueError(f"x0: expected {paths} states, as there are paths, got {len(x0)}")
    path = BrownianPath(seed, paths, probe.channels, longest.t0, longest.t1)
    with named(f"sde: expected coefficients that have the derivatives that {method!r} takes"):
        chosen = stepper(method, sde).prepare(sde, x0, longest)
        structure = chosen.structure or noise_structure(sde, x0, longest)
    _check_method(method, chosen, structure, sde)
    if finest is None:
        finest = max(level + 1, SHORTEST_DRAWN if chosen.needs_areas or chosen.needs_time_areas else SHORTEST)
    walk = _Walk(sde, chosen, path, tol, level, finest, x0)
    start = x0 if x0.ndim == 2 else x0.expand(paths, *x0.shape).clone()
    with as_written() if chosen.differentiates else nullcontext():
        return walk.solution(start, keep=save == "path")


def _longest(grid: TimeGrid | tuple[float, float]) -> TimeGrid:
    """The grid of the longest steps."""
    if not isinstance(grid, TimeGrid):
        ends = arguments.reals("grid", grid)
        if len(ends) != 2:
            raise ValueError(f"grid: expected a TimeGrid or (t0, t1), got {arguments.shown(grid)}")
        grid = TimeGrid(*ends, LONGEST)
    if grid.steps & (grid.steps - 1):
        raise ValueError(f"grid: expected a power of two of steps, the longest that are made, got {grid.steps}")
    return grid


def _check_method(method: Method, chosen: Stepper, structure: NoiseStructure, sde: SDE) -> None:
    if chosen.begin() is not chosen:
        raise ValueError(
            f"method: expected one whose steps stand alone, got {method!r}, which hands on more than states"
        )
    if chosen.order_on(structure) < 1 and structure.kind != "additive":
        others = taking(sde, lambda s: s.order_on(structure) >= 1 and structure.kind in s.structures)
        own = [name for name in others if ":" not in name]
        raise ValueError(
            f"method: expected strong order 1 or more where steps depend on the path, got {method!r}, which has "
            f"{chosen.order_on(structure):g} on {structure.kind} noise. Use {quoted(own)}, or solve on a TimeGrid."
        )


@dataclass
class _Walk:
    """One walk along a path's tree."""

    sde: SDE
    method: Stepper
    path: BrownianPath
    tol: float
    level: int  # of the step that is tried next
    finest: int
    like: Tensor
    made: int = 0
    plan: AreaPlan | None = field(init=False, default=None)
    summed: Tensor = field(init=False)  # the errors of all steps so far, with their signs, (paths, n)

    def __post_init__(self) -> None:
        self.coarsest = self.level
        self.summed = torch.zeros((), dtype=self.like.dtype, device=self.like.device)
        if self.method.needs_areas and self.method.structure is not None:
            h = (self.path.t1 - self.path.t0) / 2**self.finest
            self.plan = plan_areas(self.path.channels, h, pairs=self.method.structure.pairs)

    def solution(self, x: Tensor, keep: bool) -> AdaptiveSolution:
        times, states = [self.path.t0], [x]
        nodes: list[tuple[int, int]] = []
        waiting = [self.path.whole()]  # what is left of the time, the next part last
        held = None
        while waiting:
            node = waiting.pop()
            while node.level < self.level:
                node, right = node.halves()
                waiting.append(right)
            whole = self._step(node, x)
            while True:
                left, right = node.halves()
                middle = self._step(left, x)
                end = self._step(right, middle)
                error = self._error(x, whole, end)
                ratio = self._ratio(node, error)
                worst = float(ratio.max())
                if worst <= 1:
                    break
                if self._rounded(error, ratio) or right.level == self.finest:
                    raise self._too_short(node, error, ratio)
                waiting.append(right)
                node, whole = left, middle
            if self.method.structure is not None:
                ends = TimeGrid(self.path.t0, self.path.t1, LOOKED_AT)
                held = held or HeldStructure(self.method.structure, ends, left.dB)
                if len(nodes) // 2 in held.steps:
                    held.hold(self.sde, self._time(node.start), x)
            self.summed = self.summed + error
            x, self.level = end, node.level - (worst <= LONGER and node.level > self.coarsest)
            nodes += [(half.level, half.number) for half in (left, right)]
            times += [left.end, right.end]
            states = [*states, middle, end] if keep else [end]
        return AdaptiveSolution(
            torch.tensor(times, dtype=torch.float64),
            torch.stack(states) if keep else x,
            self.path,
            tuple(nodes),
            self.made,
        )

    def _step(self, node: BrownianNode, x: Tensor) -> Tensor:
        self.made += 1
        given = [node.dB]
        if self.method.needs_time_areas:
            given.append(node.time_area(self.finest))
        elif self.plan is not None:
            area = node.area(self.finest, self.plan)
            given.append(area if self.plan.mask is None else area * self.plan.mask.to(area))
        with named(f"sde: expected coefficients that are defined at the states from t = {node.start:g}"):
            return self.method.step(self.sde, self._time(node.start), node.dt, x, *(v.to(self.like) for v in given))

    def _time(self, t: float) -> Tensor:
        return torch.full((), t, dtype=self.like.dtype, device=self.like.device)

    def _error(self, before: Tensor, whole: Tensor, halves: Tensor) -> Tensor:
        """The error of a step relative to 1 + |x|, ``(paths, n)``, with its sign."""
        with torch.no_grad():
            return (whole - halves) / (1 + torch.maximum(before.abs(), halves.abs()))

    def _ratio(self, node: BrownianNode, error: Tensor) -> Tensor:
        """The error of a step over what it may be, ``(paths, n)``; infinite where there is no number."""
        T = self.path.t1 - self.path.t0
        allowed = self.tol * math.sqrt(node.dt / T)
        left = SUMS * self.tol * math.sqrt((node.end - self.path.t0) / T) - self.summed.abs()
        more = (self.summed + error).abs() - self.summed.abs()
        return torch.maximum(error.abs() / allowed, more / left).nan_to_num(math.inf, math.inf, math.inf)

    def _rounded(self, error: Tensor, ratio: Tensor) -> bool:
        """Whether all that is too large is rounding, which no shorter step makes less."""
        return float(error.abs()[ratio > 1].max()) <= ROUNDING * torch.finfo(error.dtype).eps

    def _too_short(self, node: BrownianNode, error: Tensor, ratio: Tensor) -> ShortestStepReached:
        component = int(ratio.max(0).values.argmax())
        cure = f"Give a larger finest= or tol=. {remedy(self.sde, self.method)}"
        if self._rounded(error, ratio):
            cure = f"The error is rounding in {str(error.dtype).removeprefix('torch.')}: take a larger tol="
            cure += ", or float64." if error.dtype is not torch.float64 else "."
        return ShortestStepReached(
            node.start, node.dt / 2, component, int((ratio > 1).any(-1).sum()), len(ratio), float(ratio.max()), cure
        )
