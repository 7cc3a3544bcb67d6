"""The paper's statements and its errata as tables on a terminal, with the numbers of a report beside them.

``python -m theory_checks.listings > docs/statements.md`` writes the statements as Markdown.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sdewm.paper.errata import ERRATA, KINDS, measured
from sdewm.paper.records import REPORT, Evidence, Record, load, verdicts
from sdewm.paper.statements import STATEMENTS
from theory_checks.claim import Claim
from theory_checks.discovery import claims


def covering(statement: str) -> list[Claim]:
    """The claims that cover a statement: first those that name it first."""
    found = [claim for claim in claims().values() if statement in claim.covered]
    return sorted(found, key=lambda claim: claim.covered.index(statement))


def evidence(statement: str) -> list[Evidence]:
    """The records that bear on a statement."""
    return [found for claim in covering(statement) for found in claim.evidence(statement)]


def checks(statement: str) -> list[str]:
    """The names of the claims that cover a statement."""
    return [claim.name for claim in covering(statement)]


def print_statements(records: Sequence[Record], console: Console) -> None:
    """Every statement, the checks that cover it or why none does, and what the report says."""
    table = Table(pad_edge=False, header_style="bold")
    columns = ["statement", "section", "says", "kind", "checks"]
    for name in columns + (["as printed", "as corrected"] if records else []):
        table.add_column(name)
    for s in STATEMENTS:
        covered = ", ".join(checks(s.id)) or s.reason
        cells = [s.id, s.where, s.says, s.kind, covered, *(verdicts(evidence(s.id), records) if records else ())]
        table.add_row(*map(escape, cells))
    console.print(table)
    every_claim = [s for s in STATEMENTS if s.kind == "claim"]
    covered_claims = [s for s in every_claim if checks(s.id)]
    console.print(
        f"{len(STATEMENTS)} statements; {len(covered_claims)} of {len(every_claim)} claims covered by a check.",
        highlight=False,
    )


def print_errata(records: Sequence[Record], console: Console) -> None:
    """Every finding, what is printed and what holds, and how it is known."""
    table = Table(pad_edge=False, header_style="bold", show_lines=True)
    for name in ("", "where", "kind", "as printed", "what holds", "evidence"):
        table.add_column(name)
    for e in ERRATA:
        known = "; ".join(map(str, e.evidence)).replace("`", "") or "by argument"
        if records and e.evidence:
            known += f": {measured(e, records)}"
        table.add_row(*map(escape, (e.id, e.where, e.kind, e.printed, e.corrected, known)))
    console.print(table)
    for kind, meaning in KINDS.items():
        console.print(f"{sum(e.kind == kind for e in ERRATA):3} {kind}: {meaning}", highlight=False)


def markdown(records: Sequence[Record]) -> str:
    """The statements as a Markdown document."""
    lines = [
        "# The paper's statements",
        "",
        "Every numbered statement, and the check that covers it. Written by `python -m theory_checks.listings` from",
        f"`{REPORT}`; the checks are in `theory_checks/`, what is wrong with a statement is in [errata](errata.md).",
    ]
    section = ""
    for s in STATEMENTS:
        if s.where != section:
            section = s.where
            lines += ["", f"## Section {section}", "", "| | kind | says | check | as printed | as corrected |"]
            lines += ["|---|---|---|---|---|---|"]
        check = ", ".join(f"`{c}`" for c in checks(s.id)) or s.reason
        cells = (s.id, s.kind, s.says, check, *verdicts(evidence(s.id), records))
        lines.append("| " + " | ".join(c.replace("|", "\\|") for c in cells) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(markdown(load()), end="")
