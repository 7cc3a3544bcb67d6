"""The samples for all claims about the expansion, made once per system."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float64

from sdewm.arrays import Array
from sdewm.estimate.samples import Sample, pool, richardson
from sdewm.expansion.forms import Form
from sdewm.expansion.power_series import TRUST, second_coefficient
from sdewm.expansion.taylor import pool_tests, taylor_tests
from sdewm.expansion.taylor_result import TaylorTest
from sdewm.expansion.unreached import Known, unreached
from sdewm.expansion.variation_of_constants import TERMS
from sdewm.jets import nonsmooth_met
from sdewm.systems.losses import SummedLoss
from sdewm.verification.once import once_for_system
from sdewm.verification.pilot import BY_DEFAULT, round_sizes
from sdewm.verification.samples import (
    CASES,
    STENCIL,
    VARIATION,
    channels,
    sample_routes,
    sample_terms,
    sampler,
    term_grids,
    variants,
    without_drift_error,
)
from sdewm.verification.settings import Settings
from sdewm.verification.system import Sizes, System

# A term counts as 0 if it is below this many units in the last digit of the loss.
ROUNDING = 1e3
LossCaseForm = tuple[str, str, str]


@dataclass(frozen=True)
class RouteCoefficients:
    """The coefficients of ε and ε² of one loss by one route, as replicate means, without and with drift error."""

    zero_drift: tuple[Array, Array]
    full: tuple[Array, Array]


@dataclass(frozen=True)
class SystemSamples:
    """Everything sampled on one system.

    ``corrected[loss]`` and ``corrected_on_grid[loss]`` come from the large sample. ``paired[loss][route]`` comes from
    the small sample, in which all routes share their noise; it is extrapolated if the system has a limit. ``numerical``
    has the numerical errors, {(loss, route): largest change by the last extrapolation}. ``kinks`` are the operations
    met that are not twice continuously differentiable, and ``h`` is the distance between the ε of differences.
    """

    system: System
    settings: Settings
    large: Sample
    small: Sample
    corrected: dict[str, RouteCoefficients]
    corrected_on_grid: dict[str, RouteCoefficients]
    paired: dict[str, dict[str, RouteCoefficients]]
    paired_on_grid: dict[str, dict[str, RouteCoefficients]]
    numerical: dict[tuple[str, str], dict[str, float]]
    taylor: dict[LossCaseForm, TaylorTest]
    kinks: frozenset[str]
    sizes: Sizes
    h: float
    seconds: dict[str, float]
    config: dict[str, object]

    def size(self, loss: str, case: str, order: int) -> tuple[float, bool]:
        """The root mean square over paths of the loss's coefficient of that order, and whether it is 0 up to rounding.

        If it is 0, the size returned is an extrapolation: what it would be if each term were a fifth of the one before.
        """
        test = self.taylor[loss, case, "corrected"]
        first, found = test.size(0), test.size(order)
        largest = test.eps[0]
        if found * largest**order > ROUNDING * torch.finfo(test.dtype).eps * first:
            return found, False
        return first / (5 * largest) ** order, True

    def radius(self, loss: str) -> float:
        """The largest |ε| at which each term of the loss is at most a quarter of the one before, root mean square."""
        sizes = [self.size(loss, "full", k) for k in range(4)]
        ratios = [a / b for (a, _), (b, zero) in itertools.pairwise(sizes[1:]) if not zero]
        return TRUST * min(ratios, default=math.inf)

    def summary(self) -> list[str]:
        """The expansion of each loss in a line."""
        lines = []
        for loss in self.system.losses:
            first, second = self.corrected_on_grid[loss].full
            parts = [
                self.large.estimate(f"{loss}|jets|loss0/0"),
                self.large.estimate(first),
                self.large.estimate(second),
            ]
            series = " + ".join(f"({e}){power}" for e, power in zip(parts, ("", " ε", " ε²"), strict=True))
            radius = self.radius(loss)
            reach = "at every ε" if math.isinf(radius) else f"for |ε| up to {radius:.2g}"
            lines.append(f"  E L{f' of {loss}' if loss else ''} = {series}, a guide {reach}")
        return lines

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes on terms that rest on few paths, and on what rounding hides."""
        found = []
        for loss in self.system.losses:
            carried = [t for t in ("loss0", *TERMS) if self.large.estimate(f"{loss}|jets|{t}/0").flags]
            if carried:
                found.append(
                    f"{self.system.named(loss)}: few paths carry the spread of {', '.join(carried)}; there may be "
                    "larger values that the sample has not seen. Draw more paths, or bound the loss"
                )
        hidden = any(r.outcome == "below roundoff" for t in self.taylor.values() for r in t.rates.values())
        if hidden:
            dtype = str(self.system.x0.dtype).removeprefix("torch.")
            found.append(f"rounding in {dtype} hides some remainders; .double() on the model and x0 shows them")
        return tuple(found)

    @property
    def terms(self) -> list[dict[str, object]]:
        """E L(x⁰) and the six corrected terms on the system's grid, one record each."""
        return [
            {
                "system": self.system.named(loss),
                "term": term,
                "mean": (e := self.large.estimate(f"{loss}|jets|{term}/0")).mean,
                "stderr": e.stderr,
                "paths": e.n,
                "seed": e.seed,
            }
            for loss in self.system.losses
            for term in ("loss0", *TERMS)
        ]


@once_for_system
def sample_system(system: System, settings: Settings) -> SystemSamples:
    """Sample one system, adding to the rounds of the look before. The result is kept for all claims that use it.

    ``ArithmeticError`` if no path reaches the states where a loss is not constant.
    """
    before = sample_system(system, settings.before) if settings.before else None
    with nonsmooth_met() as kinks:
        started = time.perf_counter()
        taylor = _taylor_tests(system, settings, before.taylor if before else {})
        taylor_done = time.perf_counter()
        # A twentieth of the radius that the coefficients suggest: differences then err by about 20⁻⁶.
        h = min(taylor[loss, "full", "corrected"].eps[0] for loss in system.losses) / 4
        sizes = round_sizes(system, settings.first, h)
        widen, block = sizes.widen, sizes.block
        new = [
            sample_terms(system, sampler(system, settings, sizes.paths, r, widen=widen, block=block))
            for r in settings.new_rounds
        ]
        # What so many paths left in doubt more of them may not.
        large = pool([replace(before.large, doubts={}), *new] if before else new, settings.seed)
        for loss, summed in system.losses.items():
            doubt = _unreached(system, loss, summed, large, widen)
            if doubt:
                own = {name: doubt for name in large.values if str(name).startswith(f"{loss}|")}
                large = replace(large, doubts={**large.doubts, **own})
        large_done = time.perf_counter()
        new = [
            sample_routes(system, sampler(system, settings, sizes.paired, r, purpose=1, widen=widen), h)
            for r in settings.new_rounds
        ]
        small = pool([before.small, *new] if before else new, settings.seed)
        small_done = time.perf_counter()

    numerical: dict[tuple[str, str], dict[str, float]] = {}
    corrected: dict[str, RouteCoefficients] = {}
    on_grid: dict[str, RouteCoefficients] = {}
    paired: dict[str, dict[str, RouteCoefficients]] = {}
    paired_on_grid: dict[str, dict[str, RouteCoefficients]] = {}
    for loss in system.losses:
        on_grids = [from_terms(large.values, f"{loss}|jets", i, "corrected") for i in range(term_grids(system))]
        on_grid[loss] = on_grids[0]
        corrected[loss] = _extrapolate(on_grids, numerical.setdefault((loss, "large"), {}))
        paired[loss], paired_on_grid[loss] = {}, {}
        for route in ("jets", *variants(system)):
            form: Form = "corrected" if route in ("jets", VARIATION) else "printed"
            on_grids = [from_terms(small.values, f"{loss}|{route}", i, form) for i in range(system.grids)]
            paired_on_grid[loss][route] = on_grids[0]
            paired[loss][route] = _extrapolate(on_grids, numerical.setdefault((loss, route), {}))
        if system.truth is None:
            error = numerical.setdefault((loss, "measured"), {})
            rounding = {case: _rounding(taylor[loss, case, "corrected"]) for case in CASES}
            on_grids = [_measured(small.values, loss, i, h, rounding, error) for i in range(system.grids)]
            paired_on_grid[loss]["measured"] = on_grids[0]
            paired[loss]["measured"] = _extrapolate(on_grids, error)
    return SystemSamples(
        system=system,
        settings=settings,
        large=large,
        small=small,
        corrected=corrected,
        corrected_on_grid=on_grid,
        paired=paired,
        paired_on_grid=paired_on_grid,
        numerical=numerical,
        taylor=taylor,
        sizes=sizes,
        h=h,
        kinks=frozenset(kinks) | (before.kinks if before else frozenset()),
        seconds={
            "taylor": taylor_done - started,
            "large": large_done - taylor_done,
            "small": small_done - large_done,
        },
        config={
            "steps": system.grid.steps,
            "grids": system.grids,
            "horizon": system.grid.t1 - system.grid.t0,
            "method": system.method,
            "paths": large.paths,
            "paired paths": small.paths,
            "precision": settings.precision,
        },
    )


def _unreached(system: System, loss: str, summed: SummedLoss, large: Sample, widen: float) -> str:
    """Why rare paths that were not drawn may carry a loss's mean or terms; ``ArithmeticError`` if all others agree."""
    keys = {term: f"{loss}|jets|{term}/0" for term in ("loss0", *TERMS)}
    found = {term: Known(large.moments[key], large.estimate(key).stderr, widen) for term, key in keys.items()}
    doubts = unreached(
        found, summed, system.family, system.x0, system.grid, channels=channels(system), method=system.method
    )
    moments = found["loss0"].moments
    if "loss0" in doubts and moments.spread <= 1e-14 * moments.rms:  # there is nothing to compare
        raise ArithmeticError(f"loss {loss}".strip() + f": {doubts['loss0']}")
    return next(iter(doubts.values()), "")


def _taylor_tests(
    system: System, settings: Settings, before: Mapping[LossCaseForm, TaylorTest]
) -> dict[LossCaseForm, TaylorTest]:
    rounds = [before] if before else []
    sizes = system.sizes or BY_DEFAULT
    for r in settings.new_rounds:
        # All rounds use the ladder of ε of the first one: remainders at different ε cannot be pooled.
        ladders = {case: test.eps for (_, case, _), test in rounds[0].items()} if rounds else {}
        tests: dict[LossCaseForm, TaylorTest] = {}
        for case, family in zip(CASES, (without_drift_error(system.family), system.family), strict=True):
            found = taylor_tests(
                family,
                system.losses,
                system.x0,
                system.grid,
                eps=ladders.get(case),
                method=system.method,
                seed=settings.stream(r),
                sampler=sampler(system, settings, sizes.taylor, r, widen=sizes.widen),
            )
            tests |= {(loss, case, form): test for (loss, form), test in found.items()}
        rounds.append(tests)
    return {key: pool_tests([r[key] for r in rounds]) for key in rounds[0]}


def from_terms(
    values: Mapping[str, Float64[np.ndarray, " replicates"]], prefix: str, halvings: int, form: Form
) -> RouteCoefficients:
    """The paper's sums of its terms: R = εP + ε²(Q + ½S) as printed, ½ε²(Q + S) corrected; and R̃."""
    term = {name: values[f"{prefix}|{name}/{halvings}"] for name in TERMS}
    second = second_coefficient(term, form)
    return RouteCoefficients(
        zero_drift=(term["P"], second - term["Q~"] - term["S~"]),
        full=(term["P"] + term["P~"], second),
    )


def _rounding(test: TaylorTest) -> float:
    """The root mean square of rounding in a path's loss: the remainder at an ε far below the ladder."""
    left = math.sqrt(float(test.sample[f"loss/1/{len(test.eps)}"].mean())) * test.units.loss
    return max(left, torch.finfo(test.dtype).eps * test.size(0))


def _measured(
    values: Mapping[str, Array],
    loss: str,
    halvings: int,
    h: float,
    rounding: Mapping[str, float],
    error: dict[str, float],
) -> RouteCoefficients:
    """First and second coefficient by central differences; ``error`` gathers five points against seven, and rounding"""
    at_zero = values[f"{loss}|jets|loss0/{halvings}"]
    weights = np.linalg.inv(np.vander([*STENCIL, 0], 7, increasing=True))
    cases = {}
    for case in CASES:
        seven = np.stack([*(values[f"{loss}|{case}|{k}/{halvings}"] for k in STENCIL), at_zero])
        fit = np.linalg.solve(np.vander([*STENCIL, 0], 7, increasing=True), seven)
        inner = [i for i, k in enumerate(STENCIL) if abs(k) < 3]
        five = np.linalg.solve(np.vander([*(STENCIL[i] for i in inner), 0], 5, increasing=True), seven[[*inner, -1]])
        cases[case] = (fit[1] / h, fit[2] / h**2)
        for quantity, k in (("first", 1), ("second", 2)):
            key = f"{case} {quantity}"
            change = float(abs((fit[k] - five[k]).mean())) / h**k
            change += rounding[case] * float(np.abs(weights[k]).sum()) / h**k
            error.setdefault(f"{key} difference on the grid", change)  # which comes first
            error[f"{key} difference"] = max(error.get(f"{key} difference", 0.0), change)
    return RouteCoefficients(zero_drift=cases["zero drift"], full=cases["full"])


def _extrapolate(on_grids: list[RouteCoefficients], numerical: dict[str, float]) -> RouteCoefficients:
    def one(pick: Callable[[RouteCoefficients], Array], key: str) -> Array:
        value, change = richardson([pick(c) for c in on_grids])
        numerical[key] = change if len(on_grids) > 1 else 0.0
        return value

    return RouteCoefficients(
        zero_drift=(
            one(lambda c: c.zero_drift[0], "zero drift first"),
            one(lambda c: c.zero_drift[1], "zero drift second"),
        ),
        full=(one(lambda c: c.full[0], "full first"), one(lambda c: c.full[1], "full second")),
    )
