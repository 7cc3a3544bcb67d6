"""Tables 1–11 against each other and against the text: exact comparisons of what is printed.

Table 2 summarizes Tables 6–11 and must agree with them to rounding; separate experiments must not share their
numbers; and what Sections 1 and 5 say of a table must be what it shows.
"""

from collections.abc import Callable, Iterator

from sdewm.estimate.estimates import Estimate
from sdewm.paper import consistency
from sdewm.paper.consistency import Finding
from sdewm.verification.settings import Settings
from sdewm.verification.verdicts import Claimed, Inequality

CLAIM = "tables"
FINDINGS: dict[str, Callable[[], Iterator[Finding]]] = {
    "batch-sizes": consistency.moderate_batches,
    "summary": consistency.table_2_against_details,
    "repeated": consistency.repeated_means,
    "regularized": consistency.regularized_is_better,
    "extended": consistency.faster_convergence,
    "parameters": consistency.stated_parameters,
}
SYSTEMS = QUICK = tuple(FINDINGS)


def check(system: str, settings: Settings) -> list[Claimed]:
    return [_row(system, finding) for finding in FINDINGS[system]()]


def _row(system: str, f: Finding) -> Claimed:
    if f.relation == "=":
        # Two printed numbers agree where they differ by no more than rounding can do.
        value, bound, notes = abs(f.value), f.slack, {"difference": float(f.value), **f.notes}
    else:
        value, bound, notes = f.value, f.slack, f.notes
    statistic = Estimate(float(value), 0.0, consistency.TRIALS)
    return Inequality(
        CLAIM, system, f.quantity, f.form, f.reading, statistic, float(bound), 0.0, abs(float(value)), config=notes
    )


if __name__ == "__main__":
    import sys

    from theory_checks.run import main

    raise SystemExit(main([CLAIM, *sys.argv[1:]]))
