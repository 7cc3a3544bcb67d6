"""Summaries of several rows, in words."""

from __future__ import annotations

from collections.abc import Sequence

from sdewm.expansion.forms import Form
from sdewm.verdicts.judge import NEAR_ZERO, LeftOut, Status, Verdict


def grouped(verdicts: Sequence[Verdict]) -> dict[tuple[str, str, str], list[Verdict]]:
    """Verdicts by claim, system and quantity, in their order."""
    groups: dict[tuple[str, str, str], list[Verdict]] = {}
    for v in verdicts:
        groups.setdefault((v.claim, v.system, v.quantity), []).append(v)
    return groups


def overall(verdicts: Sequence[Verdict], form: Form) -> Status | None:
    """The joint status of several readings or routes; ``None`` if there are none.

    A printed claim is refuted only if every reading is, and verified if one reading is. A corrected claim is verified
    only if every route is, and refuted if one route is. Either is indistinguishable from 0 if one reading or route is
    and no other is inconclusive.
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
    """Corrected rows that are not verified; those indistinguishable from 0 only if no row of their claim is verified.

    A row that is indistinguishable from 0 is evidence neither for its claim nor against it. This is no failure if
    another row of the same claim is verified.
    """
    corrected = [v for v in verdicts if v.form == "corrected"]
    seen = {v.claim for v in corrected if v.status == "verified"}
    return [v for v in corrected if v.status != "verified" and (v.status != NEAR_ZERO or v.claim not in seen)]


def in_words(verdicts: Sequence[Verdict]) -> str:
    """The result of a claim's rows, for readers who do not know the statuses.

    >>> in_words(rows)
    'wrong as printed; holds as corrected'
    """
    printed = {overall(g, "printed") for g in grouped([v for v in verdicts if v.form == "printed"]).values()}
    corrected = [v for v in verdicts if v.form == "corrected"]
    open_or_wrong = {v.status for v in failures(verdicts)}
    said = []
    if printed == {"refuted"}:
        said.append("wrong as printed")
    elif "refuted" in printed:
        said.append("wrong in part as printed")
    elif printed == {"vacuous"}:
        said.append("cannot be wrong as printed: a constant is free")
    elif printed and printed <= {"verified", "vacuous"}:
        said.append("holds as printed")
    elif printed:
        said.append("undecided as printed")
    if "refuted" in open_or_wrong:
        said.append("wrong as corrected")
    elif open_or_wrong:
        said.append("undecided as corrected")
    elif corrected:
        said.append("holds as corrected")
    return "; ".join(said)


def summary(verdicts: Sequence[Verdict], left_out: Sequence[LeftOut]) -> list[str]:
    """The number of rows of each status, and by name the failures, the rows close to 0 and those left out."""
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
    """A verdict in one line: what it is about, its numbers, and its reason if there is one."""
    about = ", ".join(p for p in (f"{v.claim} on {v.system}", v.quantity, v.reading) if p)
    numbers = f"{v.statistic:+.3e} ± {v.stderr:.1e}, numerical {v.numerical:.1e}, margin {v.margin:.1e}"
    return f"{about}: {numbers}" + (f"; {v.reason}" if v.reason else "")
