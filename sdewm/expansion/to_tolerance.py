"""The expansion to a tolerance: grids and paths are found that hold bias and sampling error within it together."""

from __future__ import annotations

import math
import time
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace

from jaxtyping import Float
from torch import Tensor

from sdewm import arguments
from sdewm.estimate.estimates import Estimate
from sdewm.expansion.expected_loss import expand
from sdewm.expansion.power_series import Expansion
from sdewm.noise.grid import TimeGrid
from sdewm.noise.samplers import QuasiMonteCarlo
from sdewm.solvers.compiled import Compile
from sdewm.solvers.methods import Method
from sdewm.systems.losses import Loss
from sdewm.systems.perturbed import PerturbedSDE

COEFFICIENTS = ("loss0", "first", "second")
GRIDS = 3  # extrapolated from so many, a bias falls like Δt³, and like Δt² what the last of them changed
PILOT = 2**10
WIDENINGS = (1.0, 1.4)  # of which the pilot takes the one with the smaller intervals
BIAS_PART = 0.25  # of the tolerance: steps are dearer than paths, as bias falls like Δt² and intervals like 1/√paths
SHOWN = 0.25  # of an interval: what the last grid changed, where it is less, is mostly noise itself
GROWTH = 8, 16  # a round has at most so many times the paths of the one before: after the pilot, and later
SAFETY = 0.8  # the next round is planned to come within so much of the tolerance


class ToleranceNotReached(ArithmeticError):
    """No sample within the budget has its errors within the tolerance, or its errors cannot be known.

    ``rounds`` has what was reached; the message says why it stopped, and what to do.

    >>> try:
    ...     expand_to(family, loss, x0, TimeGrid(0.0, 1.0, 4), tol=1e-9, budget=10**5)
    ... except ToleranceNotReached as error:
    ...     print(len(error.rounds))
    2
    """

    def __init__(self, message: str, rounds: tuple[Round, ...]) -> None:
        super().__init__(message)
        self.rounds = rounds


@dataclass(frozen=True)
class Round:
    """One expansion on the way: its ``steps`` on the finest grid, ``paths`` in all, and what errors it may have.

    ``sampling`` is the half-width of each coefficient's interval, ``bias`` what the last grid changed of it.
    ``path_steps`` counts the steps of all paths on all grids, and ``seconds`` is what they took.
    """

    steps: int
    paths: int
    widen: float
    sampling: dict[str, float]
    bias: dict[str, float]
    path_steps: int
    seconds: float

    @property
    def worst(self) -> tuple[str, float]:
        """The coefficient whose errors are largest, and their sum."""
        return max(((name, self.sampling[name] + self.bias[name]) for name in COEFFICIENTS), key=lambda item: item[1])


@dataclass(frozen=True)
class WithinTolerance:
    """An expansion whose coefficients err by no more than a tolerance, and what it took.

    ``expansion`` is that of the last of ``rounds``; ``tol`` and ``confidence`` are as asked for. Printed, it says what
    each round cost.

    >>> found = expand_to(family, loss, x0, TimeGrid(0.0, 1.0, 4), tol=1e-3)
    >>> found.rounds[-1].worst[1] <= 1e-3
    True
    """

    expansion: Expansion
    tol: float
    confidence: float
    rounds: tuple[Round, ...] = field(repr=False)

    def __str__(self) -> str:
        return "\n".join(
            [
                f"within {self.tol:g} with confidence {self.confidence:g}, bias and sampling error together",
                _table(self.rounds),
                str(self.expansion),
            ]
        )


def expand_to(
    family: PerturbedSDE,
    loss: Loss,
    x0: Float[Tensor, " n"],
    grid: TimeGrid,
    *,
    tol: float,
    confidence: float = 0.95,
    method: Method = "euler",
    seed: int = 0,
    budget: int = 2**31,
    compile: Compile = "auto",
    executor: Executor | None = None,
) -> WithinTolerance:
    """The coefficients of E L(x^ε) at Δt → 0, each within ``tol`` of the truth.

    Every round extrapolates from three grids (Talay & Tubaro 1990) on randomized quasi-Monte Carlo points. A pilot
    shows how large bias and intervals are; rounds with finer grids and more paths follow, planned from the rates seen
    so far, until the sum of what the last grid changed and of the interval's half-width is within ``tol`` for loss0,
    first and second together. Each round has noise of its own, and none is averaged with another.

    Parameters
    ----------
    family, loss, x0, method, compile, executor : as for :func:`~sdewm.expand`.
    grid : the coarsest that is used; the first round's finest has four times its steps.
    tol : of each coefficient, in units of the loss.
    confidence : that all three are within it, as far as sampling goes.
    seed : the rounds have seeds of their own, from this one on.
    budget : the steps of all paths on all grids in all rounds, at most. A billion takes minutes on one core.

    Raises
    ------
    ValueError, TypeError : name the argument that is wrong, before any work is done.
    ToleranceNotReached : where the budget ends first; where estimates are flagged, so that their intervals cannot be
        believed; and where an operation has a kink, whose share no path shows.

    >>> found = expand_to(family, loss, x0, TimeGrid(0.0, 1.0, 4), tol=1e-3)
    >>> print(found.expansion.first)
    2.4 ± 0.0002
    """
    tol = arguments.real("tol", tol, above=0.0)
    confidence = arguments.confidence(confidence)
    seed, budget = arguments.integer("seed", seed, 0), arguments.integer("budget", budget, 1)
    if not isinstance(grid, TimeGrid):
        raise TypeError(f"grid: expected a TimeGrid, got {type(grid).__name__}")
    each = 1 - (1 - confidence) / len(COEFFICIENTS)
    rounds: list[Round] = []

    def walk(steps: int, paths: int, widen: float) -> Expansion:
        spent = sum(r.path_steps for r in rounds)
        sampler = QuasiMonteCarlo(paths, seed + len(rounds), widen=widen)
        asked = sampler.paths * _on_all_grids(steps)
        if spent + asked > budget:
            raise ToleranceNotReached(
                f"budget: the next round, {sampler.paths} paths of {steps} steps, would go beyond {budget} path-steps, "
                f"of which {spent} are spent; {_reached(rounds)} tol is {tol:g}. Ask for less, or give a larger budget",
                tuple(rounds),
            )
        started = time.perf_counter()
        found = expand(
            family, loss, x0, replace(grid, steps=steps), method=method, sampler=sampler, grids=GRIDS,
            compile=compile, executor=executor,
        )  # fmt: skip
        rounds.append(
            Round(
                steps,
                sampler.paths,
                widen,
                {name: _estimate(found, name).half_width(each) for name in COEFFICIENTS},
                {name: found.bias_left[name] for name in COEFFICIENTS},
                asked,
                time.perf_counter() - started,
            )
        )
        if found.kinks:
            raise ToleranceNotReached(
                f"loss or coefficients: kinks where paths come ({', '.join(found.kinks)}), and what is added there to "
                "ε and ε² shows on no path. Take smooth functions, or expand(), which names what is left out",
                tuple(rounds),
            )
        return found

    steps = grid.steps * 2 ** (GRIDS - 1)
    pilots = [walk(steps, PILOT, widen) for widen in WIDENINGS]
    best = min(range(len(pilots)), key=lambda i: max(rounds[i].sampling.values()))
    rounds.append(rounds.pop(best))  # the last is the one that ``expansion`` is of
    found, last, rate = pilots[best], rounds[-1], 0.5
    while last.worst[1] > tol or _flags(found):
        steps, paths = _next(last, tol, rate, GROWTH[len(rounds) > len(WIDENINGS)])
        found, before = walk(steps, paths, last.widen), last
        last = rounds[-1]
        rate = _rate(before, last)
        if _flags(found) and last.worst[1] <= tol:
            raise ToleranceNotReached(
                f"loss: the intervals cannot be believed: {'; '.join(_flags(found))}. {_reached(rounds)} A loss that a "
                "few paths carry has to be changed, for example to its logarithm",
                tuple(rounds),
            )
    return WithinTolerance(found, tol, confidence, tuple(rounds))


def _next(last: Round, tol: float, rate: float, most: int) -> tuple[int, int]:
    """Steps and paths of the next round: each part of the error is to come within its part of the tolerance."""
    bias, sampling = max(last.bias.values()), max(last.sampling.values())
    part = BIAS_PART * tol
    halvings = math.ceil(0.5 * math.log2(bias / part)) if bias > max(part, SHOWN * sampling) else 0
    left = SAFETY * max(tol - min(bias, part), 0.5 * tol)
    more = min(max((sampling / left) ** (1 / rate), 1.0 if halvings else 2.0), most)
    return last.steps * 2 ** min(halvings, 4), math.ceil(last.paths * more)


def _rate(before: Round, now: Round) -> float:
    """How intervals fell with the number of paths: like 1/√paths at least, and like 1/paths at most."""
    more = math.log(now.paths / before.paths)
    ratio = max(before.sampling.values()) / max(*now.sampling.values(), math.ulp(1.0))
    return min(max(math.log(ratio) / more, 0.5), 1.0) if more > 0 and ratio > 0 else 0.5


def _on_all_grids(steps: int) -> int:
    return sum(steps >> halvings for halvings in range(GRIDS))


def _estimate(expansion: Expansion, name: str) -> Estimate:
    found = getattr(expansion, name)
    assert isinstance(found, Estimate)
    return found


def _flags(expansion: Expansion) -> list[str]:
    return list(dict.fromkeys(flag for name in COEFFICIENTS for flag in _estimate(expansion, name).flags))


def _reached(rounds: list[Round]) -> str:
    if not rounds:
        return "nothing was walked;"
    name, error = rounds[-1].worst
    return f"{name} was within {error:.2g};"


def _table(rounds: tuple[Round, ...]) -> str:
    head = "  steps      paths  coefficient    sampling        bias    seconds"
    rows = [
        f"{r.steps:>7} {r.paths:>10}  {r.worst[0]:<11} {r.sampling[r.worst[0]]:>11.2g} {r.bias[r.worst[0]]:>11.2g} "
        f"{r.seconds:>10.2f}"
        for r in rounds
    ]
    return "\n".join([head, *rows])
