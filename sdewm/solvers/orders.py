"""The order of convergence of a method, or of several on the same paths, measured on an SDE."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from jaxtyping import Float
from torch import Tensor

from sdewm import arguments
from sdewm.arrays import Array
from sdewm.jets.registry import gathered, warn_nonsmooth
from sdewm.noise.grid import TimeGrid
from sdewm.solvers.coupled_errors import GROUP, PILOT, CoupledErrors, Exact, OrderKind
from sdewm.solvers.loop import check_system
from sdewm.solvers.methods import Method, stepper
from sdewm.solvers.order_regime import SEEN
from sdewm.solvers.order_report import Convergence
from sdewm.systems.sde import SDE

BLOCK = 1024  # paths at a time
FINEST = 20  # the noise of a block is kept at its finest level: gigabytes beyond this one


def convergence(
    sde: SDE,
    x0: Float[Tensor, " n"],
    grid: TimeGrid | tuple[float, float],
    *,
    method: Method = "euler",
    paths: int | None = None,
    seed: int = 0,
    levels: Sequence[int] = (3, 4, 5, 6, 7),
    reference: Method | Exact | None = None,
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
    reference : a method, whose limit is taken to be right, and whose order is no lower than what is measured: by
        default "milstein", or the method itself if it declares a higher order. Or a function that returns the exact
        solution at the final time ``(paths, n)``: of the Brownian motion W there, ``(paths, m)``, or of W and its Lévy
        areas over the whole time, ``(paths, m, m)``, A_kl = ½∫(W_k dW_l − W_l dW_k).
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
    reference: Method | Exact | None = None,
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
    arguments.has("methods", methods, ("items", "values"), "methods by name")
    if not methods:
        raise ValueError("methods: expected at least one, got none")
    by_method = isinstance(reference, str) or not callable(reference)
    if refine < 1:
        raise ValueError(f"refine: expected at least one level, got {refine}")
    finest = levels[-1] + (refine if by_method else 0)
    if finest > FINEST:
        raise ValueError(f"levels, refine: expected at most 2^{FINEST} steps in all, got 2^{finest}")
    if paths is not None and paths < 8 * GROUP:
        raise ValueError(f"paths: expected at least {8 * GROUP}, got {paths}")
    grid = TimeGrid(t0, t1, 2**finest)
    with gathered() as kinks:
        for method in methods.values():
            check_system(sde, x0, grid, method=method)
        if reference is None:
            reference = _usual_reference(sde, methods.values(), kind)
        errors = CoupledErrors(sde, x0, grid, methods, levels, reference, refine, kind, functional, seed)
        table = _measured(errors, paths, precision, confidence, max_paths)
        found = {name: _convergence(name, errors, i, table[i]) for i, name in enumerate(methods)}
    for kink, category in sorted(kinks.items()):
        warn_nonsmooth(kink, category)  # once, and not at each step of each method
    return found


def _usual_reference(sde: SDE, methods: Iterable[Method], kind: OrderKind) -> Method:
    """Milstein's scheme, or the method with the highest declared order if that is above Milstein's."""

    def order(method: Method) -> float:
        used = stepper(method, sde)
        return used.strong_order if kind == "strong" else used.weak_order

    return max(["milstein", *methods], key=order)


def _measured(errors: CoupledErrors, paths: int | None, precision: float, confidence: float, max_paths: int) -> Array:
    """The errors of so many paths, or of as many as the precision takes: see :class:`CoupledErrors`."""
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


def _convergence(name: str, errors: CoupledErrors, i: int, table: Array) -> Convergence:
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
