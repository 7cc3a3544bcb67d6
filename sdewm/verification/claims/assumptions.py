"""Assumptions 3.1 and 3.2 on the coefficients: are they bounded, of linear growth, and of class C³?

Sampling can find violations, but cannot prove that there are none: "verified" means that none was found.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

from sdewm.divergence.assumptions import JUMP, NO_GROWTH, AssumptionReport, check_assumptions
from sdewm.estimate.estimates import Estimate
from sdewm.expansion.forms import Form
from sdewm.verdicts.judge import Inequality, LeftOut, Row
from sdewm.verification.once import once_for_system
from sdewm.verification.settings import Settings
from sdewm.verification.system import System

CLAIM = "assumptions"
GROWTH, SMOOTH = "growth of the coefficients", "largest jump of a derivative"


def check(system: System, settings: Settings) -> Iterator[Row]:
    """Rows for the assumptions as printed, and for linear growth, which is what the proofs use.

    They do not decide whether the expansion holds on this system: violations become warnings of the report.
    """
    if system.x0.dtype != torch.float64:
        reason = f"jumps cannot be told from rounding in {system.x0.dtype}: use .double() on the model and x0"
        yield LeftOut(CLAIM, system.name, SMOOTH, "printed", "", reason)
        return
    found = assumptions_of(system, settings.seed)
    yield growth_row(CLAIM, system.name, "printed", "bounded", found, 0.0)
    yield growth_row(CLAIM, system.name, "printed", "linear growth", found, 1.0)
    yield smooth_row(CLAIM, system.name, "printed", "C³", found)


@once_for_system
def assumptions_of(system: System, seed: int) -> AssumptionReport:
    """What :func:`~sdewm.divergence.assumptions.check_assumptions` finds at the initial state and time."""
    return check_assumptions(system.family, system.x0, t=system.grid.t0, seed=seed)


def growth_row(claim: str, system: str, form: Form, reading: str, report: AssumptionReport, power: float) -> Inequality:
    """Whether the fastest of the coefficients grows like r^power at most."""
    return _row(claim, system, GROWTH, form, reading, max(0.0, *report.growth.values()), power + NO_GROWTH, report)


def smooth_row(claim: str, system: str, form: Form, reading: str, report: AssumptionReport) -> Inequality:
    """Whether no derivative up to the third jumps."""
    return _row(claim, system, SMOOTH, form, reading, max(report.jumps.values()), JUMP, report)


def _row(
    claim: str,
    system: str,
    quantity: str,
    form: Form,
    reading: str,
    value: float,
    bound: float,
    report: AssumptionReport,
) -> Inequality:
    config = {"lines": report.lines, "violations": [str(v) for v in report.violations]}
    return Inequality(
        claim, system, quantity, form, reading, Estimate(value, 0.0, report.lines), bound, 0.0, value, config=config
    )
