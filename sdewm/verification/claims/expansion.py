"""E L(x^ε) as a power series in ε: its coefficients by independent routes, and its remainders."""

from __future__ import annotations

from collections.abc import Iterator

from sdewm.verdicts.judge import LeftOut, Row
from sdewm.verdicts.record import Curve
from sdewm.verification.comparisons import ErrorCase, coefficient_rows, rate_rows, third_order_rows
from sdewm.verification.curves import loss_curves, remainder_curves, term_curves
from sdewm.verification.settings import Settings
from sdewm.verification.system import System
from sdewm.verification.system_samples import SystemSamples, sample_system

CLAIM = "expansion"
ALONE = "expansion, diffusion error alone"


def check(system: System, settings: Settings) -> Iterator[Row]:
    """Rows for the coefficients of ε, ε² and ε³ and the rates of remainders, also for the error's diffusion alone."""
    samples = sample_system(system, settings)
    yield from _rows(CLAIM, samples, "full")
    yield from rate_rows(CLAIM, samples, "full", "strong", "corrected")
    if not system.has_limit:
        quantity = "coefficients by variation of constants"
        yield LeftOut(CLAIM, system.name, quantity, "corrected", "", system.without_limit)
    with_drift, with_diffusion = (
        any(samples.large[f"{loss}|jets|{term}/0"].any() for loss in system.losses for term in terms)
        for terms in (("P~", "Q~", "S~"), ("P", "Q", "S"))
    )
    if with_drift and with_diffusion:
        yield from _rows(ALONE, samples, "zero drift")


def _rows(claim: str, samples: SystemSamples, case: ErrorCase) -> Iterator[Row]:
    yield from coefficient_rows(claim, samples, case)
    yield from rate_rows(claim, samples, case, "loss", "corrected")
    yield from rate_rows(claim, samples, case, "weak", "corrected")
    yield from third_order_rows(claim, samples, case)


def curves(samples: SystemSamples) -> list[Curve]:
    """The loss against ε, simulated and predicted; remainders; and terms by each route."""
    return [
        *loss_curves(CLAIM, samples),
        *remainder_curves(CLAIM, samples, "loss"),
        *term_curves(CLAIM, samples),
    ]
