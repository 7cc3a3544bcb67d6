"""Verdicts as a table for a reader, and as JSON for a program."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy
import scipy
import torch
from rich.console import Console
from rich.table import Table

import sdewm
from sdewm.verification.verdicts import LARGEST_PART, Form, LeftOut, Status, Verdict

NEAR_ZERO: Status = "indistinguishable from 0"
MARKS: dict[Status, str] = {
    "verified": "✓ verified",
    "refuted": "✗ refuted",
    NEAR_ZERO: f"≈ {NEAR_ZERO}",
    "vacuous": "○ vacuous",
    "inconclusive": "? inconclusive",
}
STYLES: dict[Status, str] = {
    "verified": "green", "refuted": "bold red", NEAR_ZERO: "yellow", "vacuous": "yellow", "inconclusive": "yellow"
}  # fmt: skip


@dataclass(frozen=True)
class Curve:
    """What a figure draws: ``y`` against ``x``, one standard error each where there is one.

    ``claim`` and ``system`` as in a verdict; ``label`` says which of their curves it is.
    """

    claim: str
    system: str
    label: str
    x: list[float]
    y: list[float]
    stderr: list[float] | None = None
    config: dict[str, Any] = field(default_factory=dict)


def environment(dtype: str = "float64") -> dict[str, Any]:
    """What a run's numbers depend on besides its seed."""
    return {
        "sdewm": sdewm.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "scipy": scipy.__version__,
        "threads per worker": torch.get_num_threads(),
        "dtype": dtype,
    }


def write_json(
    path: Path,
    verdicts: Sequence[Verdict],
    left_out: Sequence[LeftOut],
    terms: Sequence[Mapping[str, Any]],
    curves: Sequence[Curve],
    run: Mapping[str, Any],
    dtype: str = "float64",
) -> None:
    """Write ``{"run", "environment", "records", "left out", "terms", "curves"}``, replacing the file in one step.

    There is one record for each verdict.
    """
    records = [v.as_dict() for v in verdicts]
    text = json.dumps(
        {
            "run": run,
            "environment": environment(dtype),
            "records": records,
            "left out": [asdict(row) for row in left_out],
            "terms": list(terms),
            "curves": [asdict(c) for c in curves],
        },
        indent=1,
        ensure_ascii=False,
        default=str,
    )
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)


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


def print_table(verdicts: Sequence[Verdict], console: Console) -> None:
    """One row for each claim, system and quantity: as printed, as corrected, and the numbers behind them."""
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


def grouped(verdicts: Sequence[Verdict]) -> dict[tuple[str, str, str], list[Verdict]]:
    """Verdicts by claim, system and quantity, in the order in which they came."""
    groups: dict[tuple[str, str, str], list[Verdict]] = {}
    for v in verdicts:
        groups.setdefault((v.claim, v.system, v.quantity), []).append(v)
    return groups


def overall(verdicts: Sequence[Verdict], form: Form) -> Status | None:
    """The status of several readings or routes together; ``None`` where there are none.

    A printed claim is refuted only where every reading is, and verified where one reading is. A corrected claim is
    verified only where every route to it is, and refuted where one is. Either is indistinguishable from 0 where a
    reading or route is, and the others leave nothing open.
    """
    statuses = {v.status for v in verdicts}
    if not statuses:
        return None
    if len(statuses) == 1:
        return statuses.pop()
    if form == "printed":
        if "verified" in statuses:
            return "verified"
        return NEAR_ZERO if statuses == {NEAR_ZERO, "refuted"} else "inconclusive"
    if "refuted" in statuses:
        return "refuted"
    return NEAR_ZERO if statuses == {NEAR_ZERO, "verified"} else "inconclusive"


def failures(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Corrected rows that are refuted or inconclusive, and those that nothing verifies.

    A row that is indistinguishable from 0 says nothing for its claim or against it. That is no failure, as long as
    another row of the same claim is verified.
    """
    corrected = [v for v in verdicts if v.form == "corrected"]
    seen = {v.claim for v in corrected if v.status == "verified"}
    return [v for v in corrected if v.status != "verified" and (v.status != NEAR_ZERO or v.claim not in seen)]


def summary(verdicts: Sequence[Verdict], left_out: Sequence[LeftOut]) -> list[str]:
    """How many rows are of which status, and by name those that are neither verified nor refuted, or not there."""
    corrected = [v for v in verdicts if v.form == "corrected"]
    verified = sum(v.status == "verified" for v in corrected)
    near = [v for v in verdicts if v.status == NEAR_ZERO]
    corrected_near = sum(v.form == "corrected" for v in near)
    printed = grouped([v for v in verdicts if v.form == "printed"]).values()
    refuted = sum(overall(g, "printed") == "refuted" for g in printed)
    near_printed = sum(overall(g, "printed") == NEAR_ZERO for g in printed)
    lines = [
        f"{verified} of {len(corrected)} corrected statements verified, {corrected_near} {NEAR_ZERO}; "
        f"{refuted} of {len(printed)} printed ones refuted in every reading, {near_printed} {NEAR_ZERO}; "
        f"{len(left_out)} rows left out"
    ]
    lines += [f"  {v.status}: {describe(v)}" for v in failures(verdicts)]
    for form in ("corrected", "printed"):
        names = dict.fromkeys(f"{v.claim} on {v.system}, {v.quantity}" for v in near if v.form == form)
        lines += [f"  {NEAR_ZERO}, {form}: {name}" for name in names]
    lines += [f"  left out: {r.claim} on {r.system}, {r.quantity}, {r.form}: {r.reason}" for r in left_out]
    return lines


def describe(v: Verdict) -> str:
    """A verdict's row in one line: what it is about, its numbers, and its reason where it has one."""
    about = ", ".join(p for p in (f"{v.claim} on {v.system}", v.quantity, v.reading) if p)
    numbers = f"{v.statistic:+.3e} ± {v.stderr:.1e}, numerical {v.numerical:.1e}, margin {v.margin:.1e}"
    return f"{about}: {numbers}" + (f"; {v.reason}" if v.reason else "")


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
    """The part of the quantity that the widest of the verified intervals reaches from the truth."""
    parts = [v.reach / v.scale for v in verdicts if v.relation == "=" and v.status == "verified" and v.scale > 0]
    return f"{100 * max(parts):.1g} %" if parts else ""


def _least_refuted(verdicts: list[Verdict]) -> Verdict | None:
    """The reading that comes closest to the truth: the one a refutation has to beat."""
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
        f"Each judgement has a false-failure rate of {verdicts[0].level:.1e}, "
        f"all together {sum(v.level for v in verdicts):.1e}.",
    ]
    return "\n".join(lines)
