"""Tables of verdicts on the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from sdewm.verdicts.judge import LARGEST_PART, NEAR_ZERO, LeftOut, Status, Verdict
from sdewm.verdicts.words import grouped, in_words, overall

MARKS: dict[Status, str] = {
    "verified": "✓ verified",
    "refuted": "✗ refuted",
    NEAR_ZERO: f"≈ {NEAR_ZERO}",
    "vacuous": "○ vacuous",
    "inconclusive": "? inconclusive",
}
STYLES: dict[Status, str] = {
    "verified": "green",
    "refuted": "bold red",
    NEAR_ZERO: "yellow",
    "vacuous": "yellow",
    "inconclusive": "yellow",
}


CAPTION = (
    "As printed: quantities on systems, refuted where every reading is. As corrected: rows. "
    "Vacuous: true because a constant is free."
)


def print_terms(terms: Sequence[Mapping[str, Any]], console: Console) -> None:
    """The corrected expansion of each system: E L(x⁰) and six terms, with their standard errors."""
    names = list(dict.fromkeys(t["term"] for t in terms))
    table = Table(title="terms of the corrected expansion, on the grid", title_justify="left", pad_edge=False)
    table.add_column("system")
    for name in names:
        table.add_column("E L(x⁰)" if name == "loss0" else name.replace("~", "̃"), justify="right")
    for system in dict.fromkeys(t["system"] for t in terms):
        cells = {t["term"]: f"{t['mean']:+.4g} ± {t['stderr']:.0e}" for t in terms if t["system"] == system}
        table.add_row(system, *(cells[name] for name in names))
    console.print(table)


def print_claims(
    verdicts: Sequence[Verdict],
    left_out: Sequence[LeftOut],
    statements: Mapping[str, Sequence[str]],
    seconds: Mapping[str, float],
    console: Console,
) -> None:
    """Print one row for each claim: its statements, its verdicts, the rows left out, the seconds, and a summary.

    Verdicts on printed formulas are counted per quantity and system, all readings together; those on corrected formulas
    are counted per row, as in the summary line.
    """
    table = Table(pad_edge=False, header_style="bold", caption=CAPTION, caption_justify="left")
    for name in ("claim", "statements", "as printed", "as corrected"):
        table.add_column(name)
    table.add_column("left out", justify="right")
    table.add_column("s", justify="right")
    table.add_column("result")
    for claim in dict.fromkeys([*(v.claim for v in verdicts), *(row.claim for row in left_out)]):
        rows = [v for v in verdicts if v.claim == claim]
        printed = grouped([v for v in rows if v.form == "printed"]).values()
        out = sum(row.claim == claim for row in left_out)
        table.add_row(
            claim,
            _few(statements.get(claim, ())),
            _counts([overall(group, "printed") for group in printed]),
            _counts([v.status for v in rows if v.form == "corrected"]),
            str(out or ""),
            f"{seconds.get(claim, 0.0):.1f}",
            in_words(rows),
        )
    console.print(table)


def _few(statements: Sequence[str], most: int = 3) -> str:
    more = f" and {len(statements) - most} more" if len(statements) > most else ""
    return ", ".join(statements[:most]) + more


def _counts(statuses: Sequence[Status | None]) -> str:
    counts = {status: statuses.count(status) for status in MARKS}
    return ", ".join(f"[{STYLES[status]}]{n} {status}[/]" for status, n in counts.items() if n) or "–"


def print_table(verdicts: Sequence[Verdict], console: Console) -> None:
    """Print one row for each claim, system and quantity: as printed, as corrected, and the numbers."""
    table = Table(title=None, show_lines=False, pad_edge=False, header_style="bold")
    for name in ("claim", "system", "quantity", "as printed", "as corrected"):
        table.add_column(name)
    table.add_column("deviation of the printed", justify="right")
    table.add_column("deviation of the corrected", justify="right")
    table.add_column("within", justify="right")
    table.add_column("seen from", justify="right")
    table.add_column("s", justify="right")
    last: tuple[str, str] | None = None
    for (claim, system, quantity), group in grouped(verdicts).items():
        if last not in (None, (claim, system)):
            table.add_section()
        last = (claim, system)
        printed = [v for v in group if v.form == "printed"]
        corrected = [v for v in group if v.form == "corrected"]
        table.add_row(
            claim,
            system,
            quantity,
            _status(printed),
            _status(corrected),
            _deviation(_least_refuted(printed)),
            _deviation(_worst(corrected)),
            _within(corrected),
            f"{max(v.detectable for v in group):.1g}",
            f"{max(v.seconds for v in group):.1f}",
        )
    console.print(table)
    console.print(_explanation(verdicts), highlight=False)


def _status(verdicts: list[Verdict]) -> str:
    if not verdicts:
        return "–"
    status = overall(verdicts, verdicts[0].form)
    assert status is not None
    text = f"[{STYLES[status]}]{MARKS[status]}[/]"
    if len(verdicts) > 1 and verdicts[0].form == "printed":
        agreeing = sum(v.status == status for v in verdicts)
        text += f" {agreeing}/{len(verdicts)} readings"
    return text


def _within(verdicts: list[Verdict]) -> str:
    """The largest distance of a verified interval from the truth, relative to the quantity."""
    parts = [v.reach / v.scale for v in verdicts if v.relation == "=" and v.status == "verified" and v.scale > 0]
    return f"{100 * max(parts):.1g} %" if parts else ""


def _least_refuted(verdicts: list[Verdict]) -> Verdict | None:
    """The refuted reading that comes closest to the truth."""
    return min(verdicts, key=_excess, default=None)


def _excess(v: Verdict) -> float:
    deviation = v.statistic - v.expected
    return abs(deviation) if v.relation == "=" else deviation


def _worst(verdicts: list[Verdict]) -> Verdict | None:
    return max(verdicts, key=lambda v: (v.standard_errors, _excess(v)), default=None)


def _deviation(v: Verdict | None) -> str:
    if v is None:
        return ""
    if v.stderr == 0:
        return f"{v.statistic - v.expected:+.2e}"
    text = f"{v.statistic - v.expected:+.2e} ± {v.stderr:.0e}"
    if v.status != "refuted":
        return text
    return f"{text} ({v.standard_errors:.0f} se)" if v.standard_errors < 1e4 else f"{text} ({v.standard_errors:.0e} se)"


def _explanation(verdicts: Sequence[Verdict]) -> str:
    lines = [
        "A deviation is the claimed value less the true one (for a rate, less the expected one; for a bound, what is",
        "bounded less the bound, so that it should be negative), with its standard error. Of the readings of a printed",
        "formula the one closest to the truth is shown, and a claim counts as refuted only where every reading is.",
        f"Verified: the whole 99.9 % interval is within the margin, which is at most {LARGEST_PART:g} of the quantity",
        "itself; «within» says what part of it the interval reaches to. Indistinguishable from 0: what is claimed",
        "agrees with the truth at this precision, and 0 in its place would too. Vacuous: a constant is free, and the",
        "number is the smallest that will do. «seen from»: the smallest deviation that the run would have seen with",
        "probability 0.95.",
        f"Each row is a test at the significance {verdicts[0].significance:.1e}, "
        f"all together {sum(v.significance for v in verdicts):.1e}.",
    ]
    return "\n".join(lines)
