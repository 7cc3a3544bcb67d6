"""Lemma B.7: E sup_t ‖(x^ε − x⁰ − ε∂x − ε²∂²x)/ε³‖² is bounded.

With ½ε²∂²x it is: the root mean square of the supremum falls like ε³. As printed it falls like ε², and the quotient
grows like 1/ε, wherever ∂²x is not zero.
"""

from sdewm.verdicts.judge import Row
from sdewm.verdicts.record import Curve
from sdewm.verification.comparisons import rate_rows
from sdewm.verification.curves import remainder_curves
from sdewm.verification.settings import Settings
from theory_checks.expansion import expansion_claim, samples_of
from theory_checks.rows import Rows


def check(rows: Rows, settings: Settings) -> list[Row]:
    found = samples_of(rows.system, settings)
    return [
        *rate_rows(rows.claim, found, "full", "strong", "printed"),
        *rate_rows(rows.claim, found, "full", "strong", "corrected"),
    ]


def curves(rows: Rows, settings: Settings) -> list[Curve]:
    return list(remainder_curves(rows.claim, samples_of(rows.system, settings), "strong"))


CLAIM = expansion_claim("lemma_b7", ("Lemma B.7",), check=check, curves=curves)
