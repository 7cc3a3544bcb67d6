"""Tables 1–11 against each other and against the text: exact comparisons of what is printed.

Table 2 summarizes Tables 6–11 and must agree with them to rounding; separate experiments must not share their
numbers; and what Sections 1 and 5 say of a table must be what it shows.
"""

from collections.abc import Callable, Iterator

from sdewm.paper import consistency
from sdewm.paper.consistency import TableRelation
from sdewm.verdicts.judge import Row
from sdewm.verification.settings import Settings
from theory_checks.claim import Claim, Part
from theory_checks.rows import Rows, exact

FINDINGS: dict[str, Callable[[], Iterator[TableRelation]]] = {
    "batch-sizes": consistency.moderate_batches,
    "summary": consistency.table_2_against_details,
    "repeated": consistency.repeated_means,
    "regularized": consistency.regularized_is_better,
    "extended": consistency.faster_convergence,
    "parameters": consistency.stated_parameters,
}
# The rows of Table 2, and the table that each summarizes.
DETAILS = {
    "Table 6": "Walker, mask",
    "Table 7": "Walker, full",
    "Table 8": "Walker, rotation",
    "Table 9": "Quad, mask",
    "Table 10": "Quad, full",
    "Table 11": "Quad, rotation",
}


def check(rows: Rows, settings: Settings) -> Iterator[Row]:
    for f in FINDINGS[rows.system]():
        value, notes = f.value, f.notes
        if f.relation == "=":
            # Two printed numbers agree where they differ by no more than rounding can do.
            value, notes = abs(f.value), {"difference": float(f.value), **f.notes}
        statistic = exact(float(value), consistency.TRIALS)
        yield rows.at_most(f.quantity, f.form, f.reading, statistic, float(f.slack), config=notes)


CLAIM = Claim(
    "tables",
    (
        Part("Table 2", "summary"),
        Part("Table 1", "batch-sizes"),
        Part("Table 4", "extended"),
        *(Part(table, "summary", f"Table 2, {row}, less {table}") for table, row in DETAILS.items()),
        *(Part(table, "repeated") for table in ("Table 6", "Table 7")),
        Part("Table 6", "regularized"),
        *(Part(table, "parameters") for table in ("Table 9", "Table 10")),
    ),
    tuple(FINDINGS),
    check,
)
