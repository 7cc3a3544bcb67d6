"""Corollary 3.8: the effect of an error with drift, E L(x^ε) = E L(x⁰) + R + R̃ + O(ε³), (14)–(17).

As :mod:`theory_checks.theorem_3_7`, with both the drift and the diffusion error.
"""

from sdewm.verdicts import Comparison
from theory_checks.evidence import Settings, gather
from theory_checks.rows import coefficient_rows, rate_rows, third_order_rows

CLAIM = "corollary_3_8"


def check(system: str, settings: Settings) -> list[Comparison]:
    evidence = gather(system, settings)
    return [
        *coefficient_rows(CLAIM, evidence, "full"),
        *rate_rows(CLAIM, evidence, "full", "loss", "corrected"),
        *rate_rows(CLAIM, evidence, "full", "weak", "corrected"),
        *third_order_rows(CLAIM, evidence, "full"),
    ]


if __name__ == "__main__":
    import sys

    from theory_checks.run import main

    raise SystemExit(main([CLAIM, *sys.argv[1:]]))
