"""Proposition B.5: f(x^ε) = f(x⁰) + ε ∇f·∂x + ε²(…) + O(ε³), path by path, equation (33).

As printed the second-order term is ε²(∇f·∂²x + ½ ∂xᵀ∇²f ∂x); what holds has ½ before ∂²x too. The remainder's root
mean square over paths falls like ε³ if the term is right, like ε² if it is wrong.
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
        *rate_rows(rows.claim, found, "full", "loss", "printed"),
        *rate_rows(rows.claim, found, "full", "loss", "corrected"),
    ]


def curves(rows: Rows, settings: Settings) -> list[Curve]:
    return list(remainder_curves(rows.claim, samples_of(rows.system, settings), "loss"))


CLAIM = expansion_claim("prop_b5", ("Proposition B.5", "(33)"), check=check, curves=curves)
