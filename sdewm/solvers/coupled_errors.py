"""Errors of methods on coupled paths: solutions with several step lengths and their references, on the same paths.

All step lengths see the same Brownian paths, areas included: increments are summed and areas combined by Chen's
relation from the finest grid. Each is held against a reference solution whose step is a fixed number of times shorter,
so the reference's own error takes the same part of every difference and leaves the order alone; one reference for all
would raise it (an error in proportion to h − h_ref has a local order of 1.10 at h = 8 h_ref).
"""

from __future__ import annotations

import inspect
import itertools
import math
from collections import deque
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Literal, cast

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from sdewm import arguments
from sdewm.arrays import Array
from sdewm.jets.written import as_written
from sdewm.noise.brownian import BrownianPath
from sdewm.noise.grid import TimeGrid
from sdewm.noise.stored_areas import StoredAreas
from sdewm.solvers.base import NonFiniteState, Stepper
from sdewm.solvers.loop import trajectory
from sdewm.solvers.methods import Method, stepper
from sdewm.solvers.order_fit import OrderFit, fit_order
from sdewm.solvers.structure import noise_structure
from sdewm.systems.sde import SDE, noise_channels

GROUP = 32  # paths in a jackknife group
PILOT = 512  # paths of a first look

OrderKind = Literal["strong", "weak"]
Exact = (
    Callable[[Float[Tensor, "paths channels"]], Float[Tensor, "paths n"]]
    | Callable[[Float[Tensor, "paths channels"], Float[Tensor, "paths channels channels"]], Float[Tensor, "paths n"]]
)


class CoupledErrors:
    """Means over groups of paths of the squared error (strong) or of the difference of φ (weak), level by level.

    The arguments are those of :func:`~sdewm.solvers.orders.compare_methods`, checked; ``grid`` is the finest one.
    Called with the number of the first path and how many there are.
    """

    def __init__(
        self,
        sde: SDE,
        x0: Float[Tensor, " n"],
        grid: TimeGrid,
        methods: Mapping[str, Method],
        levels: tuple[int, ...],
        reference: Method | Exact,
        refine: int,
        kind: OrderKind,
        functional: Callable[[Float[Tensor, "paths n"]], Float[Tensor, " paths"]] | None,
        seed: int,
    ) -> None:
        self.sde, self.x0, self.grid, self.levels, self.kind, self.seed = sde, x0, grid, levels, kind, seed
        self.refine = refine
        self.dt = np.array([(grid.t1 - grid.t0) / 2**level for level in levels])
        self.functional = (lambda x: (x * x).sum(-1)) if functional is None else functional
        self.methods = [stepper(method, sde).prepare(sde, x0, grid) for method in methods.values()]
        self.exact = self.reference = None
        self.takes_areas = False
        if isinstance(reference, str) or not callable(reference):
            self.reference = stepper(reference, sde).prepare(sde, x0, grid)
        else:
            self.exact, self.takes_areas = cast(Callable[..., Tensor], reference), _required(reference) == 2
        self.pairs = self.structure = None
        every = [used for used in (*self.methods, self.reference) if used is not None]
        self.with_integrals = any(used.needs_time_areas for used in every)
        needs_areas = any(used.needs_areas for used in every)
        if needs_areas or any(used.commuting_order is not None for used in every):
            self.structure = noise_structure(sde, x0, grid)
        if needs_areas and self.structure is not None:
            self.pairs = self.structure.pairs
        self.channels = noise_channels(sde, torch.as_tensor(grid.t0, dtype=x0.dtype), x0[None])
        if self.takes_areas:
            self.pairs = ~torch.eye(self.channels, dtype=torch.bool)
        for name, used in zip(methods, self.methods, strict=True):
            # Otherwise the reference's own error and order would be measured.
            if self.reference is not None and self.declared(used) > self.declared(self.reference):
                raise ValueError(
                    f"reference: expected a method of {kind} order {self.declared(used):g} or more, as {name!r} "
                    f"declares, got {reference!r} of order {self.declared(self.reference):g}. Take {name!r} itself, or "
                    "an exact solution"
                )

    def __call__(self, first: int, paths: int) -> Float64[np.ndarray, "_ rows groups"]:
        """Groups of paths ``first`` to ``first + paths``, rounded up to whole groups, ``(methods, rows, groups)``.

        First a row for each level, against the reference, then one for each but the last, against the next level.
        """
        paths = GROUP * math.ceil(paths / GROUP)
        with torch.no_grad(), as_written():
            finest = self._noise(first, paths)
            true = [self._true(finest, level) for level in self.levels]
            table = []
            for method in self.methods:
                found = [self._final(method, finest, level) for level in self.levels]
                table.append(
                    [self._groups(x, y) for x, y in [*zip(found, true, strict=True), *itertools.pairwise(found)]]
                )
        every = np.array(table)
        if not np.isfinite(every).all():
            wrong = float(self.dt[~np.isfinite(every[:, : len(self.levels)]).all((0, 2))][0])
            raise ArithmeticError(
                f"levels: expected errors that double precision holds, got others at Δt = {wrong:.3g}; use shorter "
                "steps where the method is unstable, or start from smaller states"
            )
        return every

    def fit(
        self,
        table: Float64[np.ndarray, "rows groups"],
        successive: Float64[np.ndarray, "_ groups"] | None = None,
    ) -> OrderFit:
        """The order of errors ``(levels, groups)``; with those between successive levels, whether they level off."""
        return fit_order(
            self.dt[: len(table)],
            table,
            0.5 if self.kind == "strong" else 1.0,
            paths=table.shape[1] * GROUP,
            seed=self.seed,
            size=self.size,
            rounding=self.rounding,
            successive=successive,
        )

    def declared(self, method: Stepper) -> float:
        """The order that a method declares, on this noise."""
        if self.kind == "weak":
            return method.weak_order
        return method.strong_order if self.structure is None else method.order_on(self.structure)

    def at_fault(self, method: Stepper) -> str:
        """Who is wrong where a method's limit is not the reference: a third solution along the same paths may tell."""
        if self.exact is None:
            return "One of the two methods is not consistent with the equation; an exact solution would tell which"
        doubt = "The exact reference may not solve this equation, or the scheme is not consistent with it"
        name = "euler" if self.sde.sde_type == "ito" else "heun"
        other = stepper(name, self.sde).prepare(self.sde, self.x0, self.grid)
        if type(other) is type(method):
            return doubt
        finest = self._noise(0, PILOT)
        third, own = (self._final(used, finest, self.levels[-1]) for used in (other, method))
        to_scheme, to_reference = (
            abs(self._groups(third, x).mean()) ** (0.5 if self.kind == "strong" else 1.0)
            for x in (own, self._true(finest, self.levels[-1]))
        )
        found = f"{name!r} is {to_scheme:.2g} away from the scheme, and {to_reference:.2g} from the reference"
        if 2 * to_scheme < to_reference:
            return f"{doubt}: {found}, so it is the reference"
        if 2 * to_reference < to_scheme:
            return f"{doubt}: {found}, so it is the scheme"
        return doubt

    @cached_property
    def size(self) -> float:
        """The root mean square of what errors are measured of: the reference's final state, or φ of it.

        On its finest grid: on a coarse one it may be unstable itself, and any error be small beside it.
        """
        with torch.no_grad():
            true = self._true(self._noise(0, PILOT), self.levels[-1])
            return float((true.square().sum(-1) if self.kind == "strong" else self._of(true).square()).mean().sqrt())

    @property
    def rounding(self) -> float:
        """What rounding may be expected to do to the final state over all steps, errors of either sign."""
        return torch.finfo(self.x0.dtype).eps * self.size * math.sqrt(self.grid.steps)

    def _groups(self, x: Tensor, y: Tensor) -> Array:
        value = ((x - y) ** 2).sum(-1) if self.kind == "strong" else self._of(x) - self._of(y)
        return value.view(-1, GROUP).mean(1).cpu().numpy()

    def _of(self, x: Tensor) -> Tensor:
        value = arguments.instance("functional", self.functional(x), Tensor, "a function that returns a tensor")
        if value.shape != x.shape[:1]:
            raise ValueError(
                f"functional: expected one number per path, shape ({len(x)},), got {tuple(value.shape)}; reduce over "
                "the last axis"
            )
        _check_finite("functional", value)
        return value

    def _noise(self, first: int, paths: int) -> StoredAreas:
        path = BrownianPath(self.seed, paths, self.channels, self.grid.t0, self.grid.t1, first=first)
        level = self.grid.steps.bit_length() - 1
        integrals, dt = None, self.grid.dt
        if self.with_integrals:
            integrals = torch.stack([area for _, area in path.at(level, finest=level, like=self.x0).time_areas()])
        if self.pairs is None:
            increments = torch.stack(list(path.at(level, like=self.x0)))
            # A strided view of one zero: no area is looked at.
            zero = increments.new_zeros(()).expand(*increments.shape, self.channels)
            return StoredAreas(increments, zero, integrals, dt=dt)
        steps = list(path.at(level, finest=level, pairs=self.pairs, like=self.x0).areas())
        increments, areas = torch.stack([dB for dB, _ in steps]), torch.stack([area for _, area in steps])
        return StoredAreas(increments, areas, integrals, dt=dt)

    def _true(self, finest: StoredAreas, level: int) -> Tensor:
        if self.reference is not None:
            try:
                return self._final(self.reference, finest, level + self.refine)
            except NonFiniteState as error:
                raise ArithmeticError(
                    f"reference: expected a method that gets through with 2^{level + self.refine} steps, or an exact "
                    f"solution; {type(self.reference).__name__} does not. {error}"
                ) from error
        assert self.exact is not None
        whole = finest.coarsen(finest.steps)
        W = whole.values[0]
        made = self.exact(W, whole.stored[0]) if self.takes_areas else self.exact(W)
        value = arguments.instance("reference", made, Tensor, "a function that returns a tensor")
        expected = (len(W), len(self.x0))
        if value.shape != expected:
            raise ValueError(f"reference: expected one state per path, shape {expected}, got {tuple(value.shape)}")
        _check_finite("reference", value)
        return value

    def _final(self, method: Stepper, finest: StoredAreas, level: int) -> Tensor:
        noise = finest.coarsen(finest.steps // 2**level)
        grid = TimeGrid(self.grid.t0, self.grid.t1, 2**level)
        [(_, _, final)] = deque(trajectory(self.sde, self.x0, grid, method=method, noise=noise), maxlen=1)
        return final


def _required(function: Callable[..., Tensor]) -> int:
    """How many arguments by position a function must have; 1 where it does not say."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return 1
    by_position = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(p.default is inspect.Parameter.empty and p.kind in by_position for p in parameters)


def _check_finite(name: str, value: Tensor) -> None:
    wrong = int((~torch.isfinite(value)).view(len(value), -1).any(1).sum())
    if wrong:
        raise ArithmeticError(f"{name}: expected finite numbers, got others on {wrong} of {len(value)} paths")
