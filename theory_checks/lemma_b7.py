"""Lemma B.7: E sup_t ‖(x^ε − x⁰ − ε∂x − ε²∂²x)/ε³‖² is bounded.

With ½ε²∂²x it is: the root mean square of the supremum falls like ε³. As printed it falls like ε², and the quotient
grows like 1/ε, wherever ∂²x is not zero.
"""

from sdewm.verification.comparisons import rate_rows
from sdewm.verification.curves import remainder_curves
from sdewm.verification.evidence import gather
from sdewm.verification.report import Curve
from sdewm.verification.settings import Settings
from sdewm.verification.verdicts import Row
from theory_checks.systems import BY_DEFAULT, WHEN_QUICK, system

CLAIM = "lemma_b7"
SYSTEMS, QUICK = BY_DEFAULT, WHEN_QUICK


def check(name: str, settings: Settings) -> list[Row]:
    evidence = gather(system(name), settings)
    return [
        *rate_rows(CLAIM, evidence, "full", "strong", "printed"),
        *rate_rows(CLAIM, evidence, "full", "strong", "corrected"),
    ]


def curves(name: str, settings: Settings) -> list[Curve]:
    return list(remainder_curves(CLAIM, gather(system(name), settings), "strong"))


if __name__ == "__main__":
    import sys

    from theory_checks.run import main

    raise SystemExit(main([CLAIM, *sys.argv[1:]]))
