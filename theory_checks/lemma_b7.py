"""Lemma B.7: E sup_t ‖(x^ε − x⁰ − ε∂x − ε²∂²x)/ε³‖² is bounded.

With ½ε²∂²x it is: the root mean square of the supremum falls like ε³. As printed it falls like ε², and the quotient
grows like 1/ε, wherever ∂²x is not zero.
"""

from sdewm.verify.report import Curve
from sdewm.verify.verdicts import Row
from theory_checks.curves import remainder_curves
from theory_checks.evidence import gather
from theory_checks.rows import rate_rows
from theory_checks.settings import Settings
from theory_checks.systems import BY_DEFAULT, WHEN_QUICK

CLAIM = "lemma_b7"
SYSTEMS, QUICK = BY_DEFAULT, WHEN_QUICK


def check(system: str, settings: Settings) -> list[Row]:
    evidence = gather(system, settings)
    return [
        *rate_rows(CLAIM, evidence, "full", "strong", "printed"),
        *rate_rows(CLAIM, evidence, "full", "strong", "corrected"),
    ]


def curves(system: str, settings: Settings) -> list[Curve]:
    return list(remainder_curves(CLAIM, gather(system, settings), "strong"))


if __name__ == "__main__":
    import sys

    from theory_checks.run import main

    raise SystemExit(main([CLAIM, *sys.argv[1:]]))
