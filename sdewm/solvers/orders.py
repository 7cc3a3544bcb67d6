"""Measured orders of convergence: the error of a method against Δt on coupled paths, with an interval for the slope.

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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from sdewm import arguments
from sdewm.arrays import Array
from sdewm.estimate.estimates import Estimate
from sdewm.jets.registry import gathered, warn_nonsmooth
from sdewm.jets.written import as_written
from sdewm.noise.brownian import BrownianPath
from sdewm.noise.grid import TimeGrid
from sdewm.noise.stored_areas import StoredAreas
from sdewm.solvers.base import Stepper
from sdewm.solvers.loop import check_system, trajectory
from sdewm.solvers.methods import Method, stepper
from sdewm.solvers.order_fit import SEEN, OrderFit, Regime, fit_order
from sdewm.solvers.structure import noise_structure
from sdewm.systems.sde import SDE, noise_channels

GROUP = 32  # paths in a jackknife group
PILOT = 512
BLOCK = 1024
FINEST = 20  # the noise of a block is kept at its finest level: gigabytes beyond this one

if TYPE_CHECKING:
    from matplotlib.axes import Axes

OrderKind = Literal["strong", "weak"]
Exact = (
    Callable[[Float[Tensor, "paths channels"]], Float[Tensor, "paths n"]]
    | Callable[[Float[Tensor, "paths channels"], Float[Tensor, "paths channels channels"]], Float[Tensor, "paths n"]]
)


@dataclass(frozen=True)
class Convergence:
    """Errors against Δt, and the order that they show.

    Parameters
    ----------
    method, kind : the method's name; "strong" or "weak".
    dt, errors : step lengths, the largest first, and the distance of each from its reference: the root of
        E|X − X_ref|² at the final time (strong), or |E φ(X) − E φ(X_ref)| (weak).
    stderrs : the errors' standard errors.
    order : the order in the limit of short steps, its standard error, and the number of paths, see
        :func:`~sdewm.solvers.order_fit.fit_order`.
    slope : that of the straight line through log errors: an average of local orders over these step lengths.
    own_slope : that of the distances between each step length and the next one: the order of convergence to whatever
        the method converges to. A scheme with a wrong limit has an order there, and none in ``order``.
    declared : the order that the method declares, for a noise of this structure.
    regime : "asymptotic" where the errors show an order. Else there is none to be read off them: "pre-asymptotic",
        "unstable", "at rounding", "below noise", "no convergence", or "levelling off", where the reference is not what
        the method converges to.
    reason : in words why ``regime`` is not "asymptotic", and what to do.

    >>> found = convergence(gbm, x0, (0.0, 1.0), method="milstein", paths=512)
    >>> found.regime, found.declared, found.contains(found.declared)
    ('asymptotic', 1.0, True)
    """

    method: str
    kind: OrderKind
    dt: Array
    errors: Array
    stderrs: Array
    order: Estimate
    slope: Estimate
    own_slope: Estimate
    declared: float
    regime: Regime = "asymptotic"
    reason: str = ""

    @property
    def rates(self) -> Float64[np.ndarray, " lengths"]:
        """The local order between each step length and the next one."""
        return np.diff(np.log(self.errors)) / np.diff(np.log(self.dt))

    def interval(self, confidence: float = 0.99) -> tuple[float, float]:
        """Confidence interval of the order."""
        return self.order.interval(confidence)

    def contains(self, order: float, confidence: float = 0.99) -> bool:
        """Whether an order is in the interval; no order is where ``regime`` is not "asymptotic"."""
        low, high = self.interval(confidence)
        return low <= arguments.real("order", order) <= high and self.regime == "asymptotic"

    def plot(self, axes: Axes | None = None) -> Axes:
        """Draw the errors against the step, on logarithmic axes, beside the order that the method declares.

        ``axes`` are matplotlib's; new ones by default. Returns the axes. Bars are of two standard errors.

        >>> found.plot().figure.savefig("order.svg")
        """
        from sdewm.solvers.order_plot import draw_order  # takes matplotlib

        label = f"{self.method}, no order: {self.regime}"
        if self.regime == "asymptotic":
            low, high = self.interval()
            label = f"{self.method}, order {self.order.mean:.2f} [{low:.2f}, {high:.2f}]"
        return draw_order(self.dt, self.errors, self.stderrs, axes, label=label, declared=self.declared, kind=self.kind)

    def __str__(self) -> str:
        lines = [f"{self.method}, {self.kind} error, {self.slope.n} paths", f"{'Δt':>10} {'error':>20} {'rate':>6}"]
        with np.errstate(divide="ignore", invalid="ignore"):
            rates = ["", *(f"{rate:6.2f}" for rate in self.rates)]
        for dt, error, stderr, rate in zip(self.dt, self.errors, self.stderrs, rates, strict=True):
            lines.append(f"{dt:10.3g} {error:10.3e} ± {stderr:7.1e} {rate}")
        return "\n".join([*lines, self._verdict()])

    def _verdict(self) -> str:
        if self.regime != "asymptotic":
            return f"no order: {self.regime}. {self.reason[0].upper()}{self.reason[1:]}."
        low, high = self.interval()
        line = f"order {self.order.mean:.3f} [{low:.3f}, {high:.3f}] at 99 %, declared {self.declared:g}"
        if low > self.declared:
            return f"{line}: higher, as where noise is simple, or so small that the drift's error leads on these steps"
        own = f"the slope towards the method's own limit, whatever the reference, is {self.own_slope.mean:.2f}"
        return line if high >= self.declared else f"{line}: lower; {own}"


def convergence(
    sde: SDE,
    x0: Float[Tensor, " n"],
    grid: TimeGrid | tuple[float, float],
    *,
    method: Method = "euler",
    paths: int | None = None,
    seed: int = 0,
    levels: Sequence[int] = (3, 4, 5, 6, 7),
    reference: Method | Exact = "milstein",
    refine: int = 2,
    kind: OrderKind = "strong",
    functional: Callable[[Float[Tensor, "paths n"]], Float[Tensor, " paths"]] | None = None,
    precision: float = 0.05,
    confidence: float = 0.99,
    max_paths: int = 2**17,
) -> Convergence:
    """Measure a method's order of convergence on an SDE.

    Parameters
    ----------
    sde : as for :func:`sdewm.solve`.
    x0 : ``(n,)``.
    grid : its ends alone are used, which may be given as (t0, t1); ``levels`` say how many steps there are.
    method : as for :func:`sdewm.solve`.
    paths : how many; ``None`` finds it, from a pilot run, such that the order's interval at ``confidence`` has a
        half-width of at most ``precision``. Rounded up to whole groups of 32.
    seed : determines every path.
    levels : at least three increasing numbers; level L has 2^L steps.
    reference : a method, whose limit is taken to be right, or a function that returns the exact solution at the final
        time ``(paths, n)``: of the Brownian motion W there, ``(paths, m)``, or of W and its Lévy areas over the whole
        time, ``(paths, m, m)``, A_kl = ½∫(W_k dW_l − W_l dW_k).
    refine : the reference method is run ``refine`` levels above each of ``levels``.
    kind, functional : "strong", or "weak" with φ: ``(paths, n)`` -> ``(paths,)``, by default |x|².

    Raises
    ------
    ValueError : names the argument that is wrong; ``precision``, if more than ``max_paths`` would be needed.

    >>> gbm = FunctionSDE(lambda t, x: 0.1 * x, lambda t, x: 0.5 * x)
    >>> found = convergence(gbm, torch.ones(1, dtype=torch.float64), (0.0, 1.0), method="milstein")
    >>> found.contains(1.0), found.contains(0.5)
    (True, False)
    """
    name = method if isinstance(method, str) else type(method).__name__
    found = compare_methods(
        sde, x0, grid,
        methods={name: method}, levels=levels, reference=reference, refine=refine, kind=kind, functional=functional,
        paths=paths, precision=precision, confidence=confidence, max_paths=max_paths, seed=seed,
    )  # fmt: skip
    return found[name]


def compare_methods(
    sde: SDE,
    x0: Float[Tensor, " n"],
    grid: TimeGrid | tuple[float, float],
    *,
    methods: Mapping[str, Method],
    paths: int | None = None,
    seed: int = 0,
    levels: Sequence[int] = (3, 4, 5, 6, 7),
    reference: Method | Exact = "milstein",
    refine: int = 2,
    kind: OrderKind = "strong",
    functional: Callable[[Float[Tensor, "paths n"]], Float[Tensor, " paths"]] | None = None,
    precision: float = 0.05,
    confidence: float = 0.99,
    max_paths: int = 2**17,
) -> dict[str, Convergence]:
    """:func:`convergence` for several methods by name, on the same paths and against the same reference solutions.

    ``methods`` are those methods by a name each, ``{name: method}``. Where ``paths`` is ``None`` there are enough for
    the least precise of the orders.

    >>> found = compare_methods(gbm, x0, (0.0, 1.0), methods={"euler": "euler", "milstein": "milstein"})
    >>> found["milstein"].order.mean
    1.0
    """
    ends = (grid.t0, grid.t1) if isinstance(grid, TimeGrid) else arguments.reals("grid", grid)
    if len(ends) != 2:
        raise ValueError(f"grid: expected a TimeGrid or (t0, t1), got {arguments.shown(grid)}")
    t0, t1 = ends
    levels = arguments.integers("levels", levels)
    if len(levels) < 3 or any(b <= a for a, b in itertools.pairwise(levels)) or levels[0] < 0:
        raise ValueError(f"levels: expected at least three increasing numbers from 0 on, got {list(levels)}")
    arguments.choice("kind", kind, ("strong", "weak"))
    if functional is not None and kind == "strong":
        raise ValueError('functional: expected None for kind "strong", got a function; strong errors are of the state')
    x0 = arguments.state(x0)
    precision, confidence = arguments.real("precision", precision, above=0.0), arguments.confidence(confidence)
    seed, max_paths = arguments.integer("seed", seed, 0), arguments.integer("max_paths", max_paths, 1)
    refine = arguments.integer("refine", refine)
    paths = None if paths is None else arguments.integer("paths", paths)
    if paths is not None and paths > 2**40:
        raise ValueError(f"paths: expected at most 2^40, got {paths}")
    by_method = isinstance(reference, str) or not callable(reference)
    if refine < 1:
        raise ValueError(f"refine: expected at least one level, got {refine}")
    finest = levels[-1] + (refine if by_method else 0)
    if finest > FINEST:
        raise ValueError(f"levels, refine: expected at most 2^{FINEST} steps in all, got 2^{finest}")
    if paths is not None and paths < 8 * GROUP:
        raise ValueError(f"paths: expected at least {8 * GROUP}, got {paths}")
    arguments.has("methods", methods, ("items", "values"), "methods by name")
    if not methods:
        raise ValueError("methods: expected at least one, got none")
    grid = TimeGrid(t0, t1, 2**finest)
    with gathered() as kinks:
        for method in methods.values():
            check_system(sde, x0, grid, method=method)
        errors = _Errors(sde, x0, grid, methods, levels, reference, refine, kind, functional, seed)
        table = _measured(errors, paths, precision, confidence, max_paths)
        found = {name: _convergence(name, errors, i, table[i]) for i, name in enumerate(methods)}
    for kink, category in sorted(kinks.items()):
        warn_nonsmooth(kink, category)  # once, and not at each step of each method
    return found


def _measured(errors: _Errors, paths: int | None, precision: float, confidence: float, max_paths: int) -> Array:
    """The errors of so many paths, or of as many as the precision takes: see :class:`_Errors`."""
    if paths is None:
        table = errors(0, PILOT)
        fits = [errors.fit(of_method) for of_method in table[:, : len(errors.levels)]]
        half_width = max(fit.order.half_width(confidence) for fit in fits)
        # A tenth more, as the pilot's own estimate of the spread is uncertain.
        more = (half_width / precision) ** 2 if half_width < math.inf else 1.0  # infinite where an error is exactly 0
        paths = max(PILOT, math.ceil(1.1 * PILOT * more))
        if paths > max_paths:
            raise ValueError(
                f"precision: expected a half-width that {max_paths} paths can give, got {precision}, which takes "
                f"{paths}; the first {PILOT} gave {half_width:.2g}"
            )
    else:
        table = errors(0, min(paths, BLOCK))
    while table.shape[-1] * GROUP < paths:
        done = table.shape[-1] * GROUP
        table = np.concatenate([table, errors(done, min(BLOCK, paths - done))], -1)
    return table


def _convergence(name: str, errors: _Errors, i: int, table: Array) -> Convergence:
    """What the rows of errors of the method in this place say."""
    from_reference, from_next = table[: len(errors.levels)], table[len(errors.levels) :]
    means, strong = from_reference.mean(1), errors.kind == "strong"
    spread = from_reference.std(1, ddof=1) / math.sqrt(table.shape[-1])
    size = np.sqrt(means) if strong else np.abs(means)
    stderrs = spread / (2 * np.maximum(size, 1e-300)) if strong else spread
    fit, own = errors.fit(from_reference), errors.fit(from_next)
    # Against a method of a lower order errors fall as slowly as that one's, and need not level off.
    lowest = errors.declared(errors.reference) / 2 if errors.reference is not None else math.inf
    if fit.slope.mean + SEEN * fit.slope.stderr < lowest:
        fit = errors.fit(from_reference, from_next)
    method = errors.methods[i]
    reason = f"{fit.reason}. {errors.at_fault(method)}" if fit.regime == "levelling off" else fit.reason
    return Convergence(
        name, errors.kind, errors.dt, size, stderrs, fit.order, fit.slope, own.slope, errors.declared(method),
        fit.regime, reason,
    )  # fmt: skip


class _Errors:
    """Means over groups of paths of the squared error (strong) or of the difference of φ (weak), level by level."""

    def __init__(
        self,
        sde: SDE,
        x0: Tensor,
        grid: TimeGrid,
        methods: Mapping[str, Method],
        levels: tuple[int, ...],
        reference: Method | Exact,
        refine: int,
        kind: OrderKind,
        functional: Callable[[Tensor], Tensor] | None,
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
            self.exact, self.takes_areas = reference, _required(reference) == 2
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

    def __call__(self, first: int, paths: int) -> Array:
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

    def fit(self, table: Array, successive: Array | None = None) -> OrderFit:
        """The order of errors ``(levels, groups)``; with those between successive levels, whether they level off."""
        return fit_order(
            self.dt[: len(table)], table, 0.5 if self.kind == "strong" else 1.0, paths=table.shape[1] * GROUP,
            seed=self.seed, size=self.size, rounding=self.rounding, successive=successive,
        )  # fmt: skip

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
            return self._final(self.reference, finest, level + self.refine)
        assert self.exact is not None
        whole = finest.coarsen(finest.steps)
        W = whole.values[0]
        made = self.exact(W, whole.stored[0]) if self.takes_areas else self.exact(W)  # type: ignore[call-arg]
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
