"""Proposition B.5: f(x^ε) = f(x⁰) + ε ∇f·∂x + ε²(…) + O(ε³), path by path, equation (33).

As printed the second-order term is ε²(∇f·∂²x + ½ ∂xᵀ∇²f ∂x); what holds has ½ before ∂²x too. The remainder's root
mean square over paths falls like ε³ if the term is right, like ε² if it is wrong.
"""

from sdewm.verdicts import Comparison
from theory_checks.evidence import Settings, gather
from theory_checks.rows import rate_rows

CLAIM = "prop_b5"


def check(system: str, settings: Settings) -> list[Comparison]:
    evidence = gather(system, settings)
    return [
        *rate_rows(CLAIM, evidence, "full", "loss", "printed"),
        *rate_rows(CLAIM, evidence, "full", "loss", "corrected"),
    ]


if __name__ == "__main__":
    import sys

    from theory_checks.run import main

    raise SystemExit(main([CLAIM, *sys.argv[1:]]))
