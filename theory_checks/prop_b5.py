"""Proposition B.5: f(x^ε) = f(x⁰) + ε ∇f·∂x + ε²(…) + O(ε³), path by path, equation (33).

As printed the second-order term is ε²(∇f·∂²x + ½ ∂xᵀ∇²f ∂x); what holds has ½ before ∂²x too. The remainder's root
mean square over paths falls like ε³ if the term is right, like ε² if it is wrong.
"""

from sdewm.verification.comparisons import rate_rows
from sdewm.verification.curves import remainder_curves
from sdewm.verification.evidence import gather
from sdewm.verification.report import Curve
from sdewm.verification.settings import Settings
from sdewm.verification.verdicts import Row
from theory_checks.systems import BY_DEFAULT, WHEN_QUICK, system

CLAIM = "prop_b5"
SYSTEMS, QUICK = BY_DEFAULT, WHEN_QUICK


def check(name: str, settings: Settings) -> list[Row]:
    evidence = gather(system(name), settings)
    return [
        *rate_rows(CLAIM, evidence, "full", "loss", "printed"),
        *rate_rows(CLAIM, evidence, "full", "loss", "corrected"),
    ]


def curves(name: str, settings: Settings) -> list[Curve]:
    return list(remainder_curves(CLAIM, gather(system(name), settings), "loss"))


if __name__ == "__main__":
    import sys

    from theory_checks.run import main

    raise SystemExit(main([CLAIM, *sys.argv[1:]]))
