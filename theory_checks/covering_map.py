"""(22), the step of Proposition A.7 that carries P along a local diffeomorphism F: its mass, and F*η̄ = ω.

On the double cover of the circle, and on the identity. A ball is simply connected, so that a connected manifold covers
it only by a diffeomorphism, which the identity stands for.
"""

from __future__ import annotations

import numpy as np

from sdewm.arrays import Array
from sdewm.estimate.transport import pushforward_density_on_circle
from sdewm.expansion.forms import Form
from sdewm.verdicts.judge import Comparison, Row
from sdewm.verification.settings import Settings
from theory_checks.claim import Claim
from theory_checks.rows import Rows, exact

SHEETS = {"one-sheet": 1, "two-sheets": 2}
ANGLES = 2 * np.pi * np.arange(256) / 256
# Trigonometric polynomials of low degree: the mean over equal angles is their integral, to rounding.
ROUNDING = 1e-12


def check(rows: Rows, settings: Settings) -> list[Row]:
    sheets = SHEETS[rows.system]
    pushed = pushforward_density_on_circle(density, sheets, ANGLES)
    # F*η̄ at θ is η̄(F(θ)) times F's derivative.
    pulled_back = sheets * pushforward_density_on_circle(density, sheets, sheets * ANGLES)
    moments = [integral(f(ANGLES) * pushed) - integral(f(sheets * ANGLES) * density(ANGLES)) for f in (np.cos, np.sin)]
    off = {
        reading: largest(pulled_back / divisor - density(ANGLES))
        for reading, divisor in (("1/|D| Σ", sheets), ("Σ", 1))
    }

    def zero(quantity: str, form: Form, reading: str, value: float) -> Comparison:
        found = exact(value, len(ANGLES))
        return rows.equal(quantity, form, reading, found, margin=2 * ROUNDING, numerical=ROUNDING)

    return [
        zero("∫η̄ − 1", "printed", "1/|D| Σ", integral(pushed / sheets) - 1),
        zero("∫η̄ − 1", "corrected", "Σ", integral(pushed) - 1),
        *(zero("largest |F*η̄ − ω|", "printed", reading, value) for reading, value in off.items()),
        zero("∫f dF_#P − ∫f∘F dP", "corrected", "Σ", max(moments, key=abs)),
    ]


def density(theta: Array) -> Array:
    """Of P: positive, and not the same on both sheets."""
    return (1 + 0.5 * np.cos(theta) + 0.3 * np.sin(2 * theta)) / (2 * np.pi)


def integral(values: Array) -> float:
    return float(2 * np.pi * values.mean())


def largest(values: Array) -> float:
    return float(np.abs(values).max())


CLAIM = Claim("covering_map", ("(22)", "Proposition A.7", "Assumption 3.5", "Assumption A.5"), tuple(SHEETS), check)
