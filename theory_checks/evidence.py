"""The numbers that Theorem 3.7 and Corollary 3.8 are judged by, gathered once per system."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
from torch import Tensor

from sdewm.estimate.estimates import Values
from sdewm.estimate.samples import Sample, pool, richardson, sample
from sdewm.expansion.power_series import check_problem, corrected_terms, second_coefficient
from sdewm.expansion.taylor import TaylorTest, pool_tests, taylor_tests
from sdewm.expansion.variation_of_constants import CORRECTED, READINGS, TERMS, formula_terms
from sdewm.noise.grid import TimeGrid
from sdewm.noise.increments import Increments
from sdewm.solvers.loop import trajectory
from sdewm.systems.losses import SummedLoss, as_summed
from sdewm.systems.perturbed import Magnitude, PerturbedSDE
from sdewm.systems.sde import SDE
from theory_checks.settings import Settings
from theory_checks.systems import SYSTEMS, System

VARIATION = "variation of constants"
VARIANTS = {**READINGS, VARIATION: CORRECTED}
LossCaseForm = tuple[str, str, str]
# Central differences over seven points: exact for polynomials of degree six.
STENCIL = (-3, -2, -1, 1, 2, 3)


@dataclass(frozen=True)
class Coefficients:
    """Replicate means of what one route gives for one loss: coefficients of ε and ε², without and with drift error."""

    zero_drift: tuple[Values, Values]
    full: tuple[Values, Values]


@dataclass(frozen=True)
class Evidence:
    """Everything sampled on one system.

    ``corrected[loss]`` and ``corrected_on_grid[loss]`` come from the large sample; ``paired[loss][route]`` from the
    smaller one on which all routes share their noise, extrapolated where the system is continuous. Numbers beside
    them are numerical errors, {(loss, route): largest change of the last extrapolation}.
    """

    system: System
    settings: Settings
    large: Sample
    small: Sample
    corrected: dict[str, Coefficients]
    corrected_on_grid: dict[str, Coefficients]
    paired: dict[str, dict[str, Coefficients]]
    numerical: dict[tuple[str, str], dict[str, float]]
    taylor: dict[LossCaseForm, TaylorTest]
    seconds: dict[str, float]
    config: dict[str, object]

    def size(self, loss: str, case: str, order: int) -> float:
        """Root mean square over paths of the loss's coefficient of that order."""
        return float(self.taylor[loss, case, "corrected"].sample[f"loss scale/{order}"].mean()) ** 0.5

    @property
    def terms(self) -> list[dict[str, object]]:
        """E L(x⁰) and the six corrected terms on the system's grid, one record each."""
        return [
            {
                "system": f"{self.system.name} {loss}".strip(),
                "term": term,
                "mean": (e := self.large.estimate(f"{loss}|jets|{term}/0")).mean,
                "stderr": e.stderr,
                "paths": e.n,
                "seed": e.seed,
            }
            for loss in self.system.losses
            for term in ("loss0", *TERMS)
        ]


@cache
def gather(name: str, settings: Settings) -> Evidence:
    """Sample one system, on top of the rounds of the look before; kept for the claims that share it."""
    system = SYSTEMS[name]()
    before = gather(name, settings.before) if settings.before else None
    started = time.perf_counter()
    taylor = _taylor_tests(system, settings, before.taylor if before else {})
    taylor_done = time.perf_counter()
    new = [_large_sample(system, settings, r) for r in settings.new_rounds]
    large = pool([before.large, *new] if before else new, settings.seed)
    large_done = time.perf_counter()
    # A twentieth of the radius that the coefficients suggest: differences then err by about 20⁻⁶.
    h = min(taylor[loss, "full", "corrected"].eps[0] for loss in system.losses) / 4
    new = [_small_sample(system, settings, r, h) for r in settings.new_rounds]
    small = pool([before.small, *new] if before else new, settings.seed)
    small_done = time.perf_counter()

    numerical: dict[tuple[str, str], dict[str, float]] = {}
    corrected: dict[str, Coefficients] = {}
    on_grid: dict[str, Coefficients] = {}
    paired: dict[str, dict[str, Coefficients]] = {}
    for loss in system.losses:
        levels = [from_terms(large.values, f"{loss}|jets", i, "corrected") for i in _large_levels(system)]
        on_grid[loss] = levels[0]
        corrected[loss] = _extrapolate(levels, numerical.setdefault((loss, "large"), {}))
        paired[loss] = {}
        for route in _routes(system):
            form = "corrected" if route in ("jets", VARIATION) else "printed"
            levels = [from_terms(small.values, f"{loss}|{route}", i, form) for i in range(system.grids)]
            paired[loss][route] = _extrapolate(levels, numerical.setdefault((loss, route), {}))
        if system.truth is None:
            error = numerical.setdefault((loss, "measured"), {})
            levels = [_measured(small.values, loss, i, h, error) for i in range(system.grids)]
            paired[loss]["measured"] = _extrapolate(levels, error)
    return Evidence(
        system=system,
        settings=settings,
        large=large,
        small=small,
        corrected=corrected,
        corrected_on_grid=on_grid,
        paired=paired,
        numerical=numerical,
        taylor=taylor,
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


def without_drift_error(family: PerturbedSDE) -> PerturbedSDE:
    """The same family with σ = 0, the zero-drift case of Theorem 3.7."""
    return _ZeroDrift(family.base, family.error)


class _ZeroDrift(PerturbedSDE):
    def at(self, eps: Magnitude, eps_drift: Magnitude | None = None) -> SDE:
        return super().at(eps, 0.0)


def _routes(system: System) -> list[str]:
    return ["jets", *VARIANTS] if system.continuous else ["jets"]


def _taylor_tests(
    system: System, settings: Settings, before: Mapping[LossCaseForm, TaylorTest]
) -> dict[LossCaseForm, TaylorTest]:
    rounds = [before] if before else []
    for r in settings.new_rounds:
        # The ladders stay those of the first round: remainders at different ε cannot be pooled.
        ladders = {case: test.eps for (_, case, _), test in rounds[0].items()} if rounds else {}
        tests: dict[LossCaseForm, TaylorTest] = {}
        for case, family in (("zero drift", without_drift_error(system.family)), ("full", system.family)):
            found = taylor_tests(
                family, system.losses, system.x0, system.grid,
                eps=ladders.get(case), method=system.method, seed=settings.stream(r),
                sampler=settings.draw(system.taylor_paths, r, widen=system.widen),
            )  # fmt: skip
            tests |= {(loss, case, form): test for (loss, form), test in found.items()}
        rounds.append(tests)
    return {key: pool_tests([r[key] for r in rounds]) for key in rounds[0]}


def _large_levels(system: System) -> range:
    # Coarser grids are for the limit Δt → 0, and that is compared with what is exactly known.
    return range(system.grids if system.truth is not None else 1)


def summed(system: System) -> dict[str, SummedLoss]:
    return {name: as_summed(loss, system.grid) for name, loss in system.losses.items()}


def channels(system: System) -> int:
    return check_problem(system.family, summed(system), system.x0, system.grid, system.method, system.grids)


def _large_sample(system: System, settings: Settings, round: int) -> Sample:
    losses = summed(system)

    def evaluate(noise: Increments) -> dict[str, Tensor]:
        values: dict[str, Tensor] = {}
        for level in _large_levels(system):
            grid = system.grid.coarsen(2**level)
            terms = corrected_terms(system.family, losses, system.x0, grid, noise.coarsen(2**level), system.method)
            values |= {f"{loss}|jets|{term}/{level}": v for (loss, term), v in terms.items()}
        return values

    drawn = settings.draw(settings.paths(system.paths), round, widen=system.widen, block=system.block)
    return sample(evaluate, drawn, channels(system), system.grid, system.x0)


def _small_sample(system: System, settings: Settings, round: int, h: float) -> Sample:
    """All routes on common noise: jets, the formulas, and losses at several ε where there is no exact truth."""
    losses = summed(system)

    def evaluate(noise: Increments) -> dict[str, Tensor]:
        values: dict[str, Tensor] = {}
        for level in range(system.grids):
            grid, increments = system.grid.coarsen(2**level), noise.coarsen(2**level)
            terms = corrected_terms(
                system.family,
                losses,
                system.x0,
                grid,
                increments,
                system.method,
            )
            values |= {f"{loss}|jets|{term}/{level}": v for (loss, term), v in terms.items()}
            if system.continuous:
                formulas = formula_terms(system.family, losses, system.x0, grid, increments, VARIANTS)
                values |= {f"{loss}|{route}|{term}/{level}": v for (loss, route, term), v in formulas.items()}
            if system.truth is None:
                for case in ("zero drift", "full"):
                    for k in STENCIL:
                        eps = (k * h, 0.0 if case == "zero drift" else k * h)
                        for loss, v in losses_at(system, losses, eps, grid, increments).items():
                            values[f"{loss}|{case}|{k}/{level}"] = v
        return values

    # Paired differences vary little, so that a small sample shows them even where the precision asks for less.
    paths = max(system.paired_paths, settings.paths(system.paired_paths))
    drawn = settings.draw(paths, round, purpose=1, widen=system.widen)
    return sample(evaluate, drawn, channels(system), system.grid, system.x0)


def losses_at(
    system: System, losses: Mapping[str, SummedLoss], eps: tuple[float, float], grid: TimeGrid, noise: Increments
) -> dict[str, Tensor]:
    weights = {name: loss.on(grid) for name, loss in losses.items()}
    total: dict[str, Tensor] = {}
    for i, t, x in trajectory(system.family.at(*eps), system.x0, grid, system.method, noise):
        for name, loss in losses.items():
            if i in weights[name]:
                total[name] = total.get(name, 0.0) + weights[name][i] * loss.fn(t, x)
    return total


def from_terms(values: Mapping[str, Values], prefix: str, level: int, form: str) -> Coefficients:
    """The paper's sums of its terms: R = εP + ε²(Q + ½S) as printed, ½ε²(Q + S) corrected; and R̃."""
    term = {name: values[f"{prefix}|{name}/{level}"] for name in TERMS}
    second = second_coefficient(term, form)  # type: ignore[arg-type]
    return Coefficients(
        zero_drift=(term["P"], second - term["Q~"] - term["S~"]),
        full=(term["P"] + term["P~"], second),
    )


def _measured(values: Mapping[str, Values], loss: str, level: int, h: float, error: dict[str, float]) -> Coefficients:
    """First and second coefficient by central differences; ``error`` gathers five points against seven."""
    at_zero = values[f"{loss}|jets|loss0/{level}"]
    cases = {}
    for case in ("zero drift", "full"):
        seven = np.stack([*(values[f"{loss}|{case}|{k}/{level}"] for k in STENCIL), at_zero])
        fit = np.linalg.solve(np.vander([*STENCIL, 0], 7, increasing=True), seven)
        inner = [i for i, k in enumerate(STENCIL) if abs(k) < 3]
        five = np.linalg.solve(np.vander([*(STENCIL[i] for i in inner), 0], 5, increasing=True), seven[[*inner, -1]])
        cases[case] = (fit[1] / h, fit[2] / h**2)
        for quantity, k in (("first", 1), ("second", 2)):
            key = f"{case} {quantity}"
            change = float(abs((fit[k] - five[k]).mean())) / h**k
            error[f"{key} difference"] = max(error.get(f"{key} difference", 0.0), change)
    return Coefficients(zero_drift=cases["zero drift"], full=cases["full"])


def _extrapolate(levels: list[Coefficients], numerical: dict[str, float]) -> Coefficients:
    def one(pick: Callable[[Coefficients], Values], key: str) -> Values:
        value, change = richardson([pick(c) for c in levels])
        numerical[key] = change if len(levels) > 1 else 0.0
        return value

    return Coefficients(
        zero_drift=(
            one(lambda c: c.zero_drift[0], "zero drift first"),
            one(lambda c: c.zero_drift[1], "zero drift second"),
        ),
        full=(one(lambda c: c.full[0], "full first"), one(lambda c: c.full[1], "full second")),
    )
