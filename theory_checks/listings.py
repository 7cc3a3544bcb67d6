"""The paper's statements and its errata as tables on a terminal, with the numbers of a report beside them."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sdewm.paper.errata import ERRATA, KINDS, measured
from sdewm.paper.records import Record
from sdewm.paper.statements import STATEMENTS, verdicts


def print_statements(records: Sequence[Record], console: Console, claims: Sequence[str]) -> None:
    """Every statement, the checks among ``claims`` that cover it or why none does, and what the report says."""
    table = Table(pad_edge=False, header_style="bold")
    columns = ["statement", "section", "says", "kind", "checks"]
    for name in columns + (["as printed", "as corrected"] if records else []):
        table.add_column(name)
    for s in STATEMENTS:
        here = [c for c in s.checks if c in claims]
        covered = ", ".join(here) or (s.reason or f"not covered yet ({', '.join(s.checks)})")
        cells = [s.id, s.where, s.says, s.kind, covered, *(verdicts(s, records) if records else ())]
        table.add_row(*map(escape, cells))
    console.print(table)
    covered_claims = [s for s in STATEMENTS if s.kind == "claim" and any(c in claims for c in s.checks)]
    every_claim = [s for s in STATEMENTS if s.kind == "claim"]
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
