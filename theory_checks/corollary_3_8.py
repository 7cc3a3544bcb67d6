"""Corollary 3.8: the effect of an error with drift, E L(x^ε) = E L(x⁰) + R + R̃ + O(ε³), (14)–(17).

As :mod:`theory_checks.theorem_3_7`, with both the drift and the diffusion error.
"""

from sdewm.verification.comparisons import coefficient_rows, rate_rows, third_order_rows
from sdewm.verification.curves import loss_curves, term_curves
from sdewm.verification.evidence import gather
from sdewm.verification.report import Curve
from sdewm.verification.settings import Settings
from sdewm.verification.verdicts import Row
from theory_checks.systems import BY_DEFAULT, WHEN_QUICK, system

CLAIM = "corollary_3_8"
SYSTEMS, QUICK = BY_DEFAULT, WHEN_QUICK


def check(name: str, settings: Settings) -> list[Row]:
    evidence = gather(system(name), settings)
    return [
        *coefficient_rows(CLAIM, evidence, "full"),
        *rate_rows(CLAIM, evidence, "full", "loss", "corrected"),
        *rate_rows(CLAIM, evidence, "full", "weak", "corrected"),
        *third_order_rows(CLAIM, evidence, "full"),
    ]


def curves(name: str, settings: Settings) -> list[Curve]:
    evidence = gather(system(name), settings)
    return [*term_curves(CLAIM, evidence), *loss_curves(CLAIM, evidence)]


if __name__ == "__main__":
    import sys

    from theory_checks.run import main

    raise SystemExit(main([CLAIM, *sys.argv[1:]]))
