"""Corollary 3.8: the effect of an error with drift, E L(x^ε) = E L(x⁰) + R + R̃ + O(ε³), (14)–(17).

As :mod:`theory_checks.theorem_3_7`, with both the drift and the diffusion error.
"""

from sdewm.verify.report import Curve
from sdewm.verify.verdicts import Row
from theory_checks.curves import loss_curves, term_curves
from theory_checks.evidence import gather
from theory_checks.rows import coefficient_rows, rate_rows, third_order_rows
from theory_checks.settings import Settings
from theory_checks.systems import BY_DEFAULT, WHEN_QUICK

CLAIM = "corollary_3_8"
SYSTEMS, QUICK = BY_DEFAULT, WHEN_QUICK


def check(system: str, settings: Settings) -> list[Row]:
    evidence = gather(system, settings)
    return [
        *coefficient_rows(CLAIM, evidence, "full"),
        *rate_rows(CLAIM, evidence, "full", "loss", "corrected"),
        *rate_rows(CLAIM, evidence, "full", "weak", "corrected"),
        *third_order_rows(CLAIM, evidence, "full"),
    ]


def curves(system: str, settings: Settings) -> list[Curve]:
    evidence = gather(system, settings)
    return [*term_curves(CLAIM, evidence), *loss_curves(CLAIM, evidence)]


if __name__ == "__main__":
    import sys

    from theory_checks.run import main

    raise SystemExit(main([CLAIM, *sys.argv[1:]]))
