"""Corollary 3.8: the effect of an error with drift, E L(x^ε) = E L(x⁰) + R + R̃ + O(ε³), (14)–(17).

As :mod:`theory_checks.theorem_3_7`, with both the drift and the diffusion error.
"""

from sdewm.verdicts.judge import Row
from sdewm.verdicts.record import Curve
from sdewm.verification.comparisons import coefficient_rows, rate_rows, third_order_rows
from sdewm.verification.curves import loss_curves, term_curves
from sdewm.verification.settings import Settings
from theory_checks.claim import Part
from theory_checks.expansion import FIRST, SECOND, expansion_claim, samples_of
from theory_checks.rows import Rows


def check(rows: Rows, settings: Settings) -> list[Row]:
    found = samples_of(rows.system, settings)
    return [
        *coefficient_rows(rows.claim, found, "full"),
        *rate_rows(rows.claim, found, "full", "loss", "corrected"),
        *rate_rows(rows.claim, found, "full", "weak", "corrected"),
        *third_order_rows(rows.claim, found, "full"),
    ]


def curves(rows: Rows, settings: Settings) -> list[Curve]:
    found = samples_of(rows.system, settings)
    return [*term_curves(rows.claim, found), *loss_curves(rows.claim, found)]


CLAIM = expansion_claim(
    "corollary_3_8",
    (
        "Corollary 3.8",
        Part("(15)", quantity=FIRST),
        *(Part(statement, quantity=SECOND) for statement in ("(14)", "(16)", "(17)")),
    ),
    check=check,
    curves=curves,
)
