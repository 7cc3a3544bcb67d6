"""Theorem 3.7: the effect of a zero-drift error, E L(x^ε) = E L(x⁰) + εP + ε²(Q + ½S) + O(ε³), (10)–(13).

Coefficients of ε and ε² against the truth, in every reading of the printed formulas and by two corrected routes; then
the rate of the remainder, and its limit against the predicted third-order coefficient.
"""

from sdewm.verification.comparisons import coefficient_rows, rate_rows, third_order_rows
from sdewm.verification.evidence import gather
from sdewm.verification.settings import Settings
from sdewm.verification.verdicts import Row
from theory_checks.systems import BY_DEFAULT, WHEN_QUICK, system

CLAIM = "theorem_3_7"
SYSTEMS, QUICK = BY_DEFAULT, WHEN_QUICK


def check(name: str, settings: Settings) -> list[Row]:
    evidence = gather(system(name), settings)
    return [
        *coefficient_rows(CLAIM, evidence, "zero drift"),
        *rate_rows(CLAIM, evidence, "zero drift", "loss", "corrected"),
        *rate_rows(CLAIM, evidence, "zero drift", "weak", "corrected"),
        *third_order_rows(CLAIM, evidence, "zero drift"),
    ]


if __name__ == "__main__":
    import sys

    from theory_checks.run import main

    raise SystemExit(main([CLAIM, *sys.argv[1:]]))
