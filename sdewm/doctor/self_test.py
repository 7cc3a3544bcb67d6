"""A few seconds of work whose answers are known."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import torch

from sdewm.doctor.installation import Finding
from sdewm.exact import gbm_coefficients
from sdewm.expansion import expand, taylor_test
from sdewm.noise.grid import TimeGrid
from sdewm.solvers import solve
from sdewm.systems import FunctionSDE, PerturbedSDE

MU, SIGMA, STEPS = 0.1, 0.3, 16
STANDARD_ERRORS = 6.0  # a false alarm in a billion


def self_test() -> Iterator[Finding]:
    """Each check with the seconds that it took; a check that raises has failed."""
    for name, check in CHECKS.items():
        started = time.perf_counter()
        try:
            said, ok = check()
        except Exception as error:  # whatever breaks here is what is asked for
            said, ok = f"{type(error).__name__}: {error}", False
        yield Finding(name, f"{said}, {time.perf_counter() - started:.1f} s", ok)


def _family() -> PerturbedSDE:
    base = FunctionSDE(lambda t, x: MU * x, lambda t, x: SIGMA * x)
    return PerturbedSDE(base, FunctionSDE(lambda t, x: x, lambda t, x: x))


def _loss(x: torch.Tensor) -> torch.Tensor:
    return (x**2).sum(-1)


X0 = torch.ones(1, dtype=torch.float64)
GRID = TimeGrid(0.0, 1.0, STEPS)


def expansion_is_exact() -> tuple[str, bool]:
    """The coefficients of geometric Brownian motion against their closed form on the same grid."""
    found = expand(_family(), _loss, X0, GRID, paths=2**12)
    exact = gbm_coefficients(mu=MU, sigma=SIGMA, nu=1.0, tau=1.0, x0=1.0, horizon=1.0, steps=STEPS)
    truth = {"loss0": exact[0, 0], "first": exact[1, 0] + exact[0, 1]}
    truth["second"] = exact[2, 0] + exact[1, 1] + exact[0, 2]
    off = max(abs(getattr(found, name).mean - value) / getattr(found, name).stderr for name, value in truth.items())
    return f"{off:.1f} standard errors from the closed form", off < STANDARD_ERRORS


def remainders_fall() -> tuple[str, bool]:
    """The Taylor test of the same system."""
    test = taylor_test(_family(), _loss, X0, GRID, paths=2**9)
    return test.verdict.partition(":")[0], test.passed


def numbers_repeat() -> tuple[str, bool]:
    """Two solves with one seed, bit by bit."""
    once, again = (solve(_family().at(0.1), X0, GRID, method="milstein", paths=256, seed=1) for _ in range(2))
    same = torch.equal(once, again)
    return "bit by bit" if same else "not the same", same


CHECKS: dict[str, Callable[[], tuple[str, bool]]] = {
    "expansion": expansion_is_exact,
    "Taylor test": remainders_fall,
    "numbers repeat": numbers_repeat,
}
