"""The rows of orders: measured with more paths at each look, until they are decided."""

from __future__ import annotations

import torch
from support import F64

from sdewm import FunctionSDE, PerturbedSDE, System, TimeGrid
from sdewm.verdicts.judge import Inequality
from sdewm.verification.claims.orders import PATHS, check
from sdewm.verification.settings import Settings


def system() -> System:
    base = FunctionSDE(lambda t, x: -x, lambda t, x: 0.5 + 0.3 * torch.cos(x))
    error = FunctionSDE(lambda t, x: torch.sin(x), None)
    x0 = torch.tensor([1.0], dtype=F64)
    return System(PerturbedSDE(base, error), lambda x: (x**2).sum(-1), x0, TimeGrid(0.0, 1.0, 32), name="mine")


def test_a_later_look_has_more_paths_and_a_smaller_error() -> None:
    settings = Settings(1e-2)
    [first], [later] = (list(check("strong", system(), settings.at_look(look))) for look in (0, 3))
    assert isinstance(first, Inequality) and isinstance(later, Inequality)
    assert first.statistic.n == PATHS and later.statistic.n == 8 * PATHS
    assert later.statistic.stderr < 0.6 * first.statistic.stderr
