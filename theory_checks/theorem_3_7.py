"""Theorem 3.7: the effect of a zero-drift error, E L(x^ε) = E L(x⁰) + εP + ε²(Q + ½S) + O(ε³), (10)–(13).

Coefficients of ε and ε² against the truth, in every reading of the printed formulas and by two corrected routes; then
the rate of the remainder, and its limit against the predicted third-order coefficient.
"""

from sdewm.verdicts.judge import Row
from sdewm.verification.comparisons import coefficient_rows, rate_rows, third_order_rows
from sdewm.verification.samples import VARIATION
from sdewm.verification.settings import Settings
from theory_checks.claim import Part
from theory_checks.expansion import FIRST, SECOND, expansion_claim, samples_of
from theory_checks.rows import Rows


def check(rows: Rows, settings: Settings) -> list[Row]:
    found = samples_of(rows.system, settings)
    return [
        *coefficient_rows(rows.claim, found, "zero drift"),
        *rate_rows(rows.claim, found, "zero drift", "loss", "corrected"),
        *rate_rows(rows.claim, found, "zero drift", "weak", "corrected"),
        *third_order_rows(rows.claim, found, "zero drift"),
    ]


CLAIM = expansion_claim(
    "theorem_3_7",
    (
        "Theorem 3.7",
        "Theorem B.4",
        *(Part(statement, quantity=FIRST) for statement in ("(11)", "(29)")),
        *(Part(statement, quantity=SECOND) for statement in ("(10)", "(12)", "(13)", "(28)", "(30)", "(31)")),
        Part("(a)", quantity=FIRST, reading=VARIATION),
        Part("(b)", quantity=SECOND, reading=VARIATION),
    ),
    check=check,
)
