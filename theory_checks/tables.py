"""Tables 1–11 against each other and against the text: exact comparisons of what is printed.

Table 2 summarizes Tables 6–11 and must agree with them to rounding; separate experiments must not share their
numbers; and what Sections 1 and 5 say of a table must be what it shows.
"""

from collections.abc import Callable, Iterator

from sdewm.montecarlo import Estimate
from sdewm.paper import consistency
from sdewm.paper.consistency import Finding
from sdewm.verdicts import Claimed, Comparison, Inequality
from theory_checks.settings import Settings

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
    # Rounding is numerical error: a difference within it is none.
    slack = float(f.slack)
    statistic = Estimate(float(f.value), 0.0, consistency.TRIALS)
    if f.relation == "≤":
        return Inequality(
            CLAIM, system, f.quantity, f.form, f.reading, statistic, 0.0, slack, abs(float(f.value)), config=f.notes
        )
    return Comparison(
        CLAIM, system, f.quantity, f.form, f.reading, statistic, 0.0, slack, 2 * slack, abs(float(f.value)),
        config=f.notes,
    )  # fmt: skip


if __name__ == "__main__":
    import sys

    from theory_checks.run import main

    raise SystemExit(main([CLAIM, *sys.argv[1:]]))
