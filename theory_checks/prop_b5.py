"""Proposition B.5: f(x^ε) = f(x⁰) + ε ∇f·∂x + ε²(…) + O(ε³), path by path, equation (33).

As printed the second-order term is ε²(∇f·∂²x + ½ ∂xᵀ∇²f ∂x); what holds has ½ before ∂²x too. The remainder's root
mean square over paths falls like ε³ if the term is right, like ε² if it is wrong.
"""

from sdewm.verify.report import Curve
from sdewm.verify.verdicts import Row
from theory_checks.curves import remainder_curves
from theory_checks.evidence import gather
from theory_checks.rows import rate_rows
from theory_checks.settings import Settings
from theory_checks.systems import BY_DEFAULT, WHEN_QUICK

CLAIM = "prop_b5"
SYSTEMS, QUICK = BY_DEFAULT, WHEN_QUICK


def check(system: str, settings: Settings) -> list[Row]:
    evidence = gather(system, settings)
    return [
        *rate_rows(CLAIM, evidence, "full", "loss", "printed"),
        *rate_rows(CLAIM, evidence, "full", "loss", "corrected"),
    ]


def curves(system: str, settings: Settings) -> list[Curve]:
    return list(remainder_curves(CLAIM, gather(system, settings), "loss"))


if __name__ == "__main__":
    import sys

    from theory_checks.run import main

    raise SystemExit(main([CLAIM, *sys.argv[1:]]))
