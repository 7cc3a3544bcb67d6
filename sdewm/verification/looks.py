"""Samples that grow until each row is decided, or the budget is spent."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from sdewm.verdicts.judge import LeftOut, Row, RowKey, Verdict, share_of_look
from sdewm.verification.settings import Settings

# A true statement is refuted with this probability at most, over all looks at it. A full run has about a thousand
# rows, so that it refutes anything true with probability one in a thousand. `python -m benchmarks.false_refutations`
# measures the rate: 1e-6 if replicates have a skewness up to ½, as with closed forms; 1e-5 at 1, and 1e-4 at 4.
SIGNIFICANCE = 1e-6
# The number of looks at an undecided row: at 1, 2, 4, 8 and 16 rounds of sampling.
LOOKS = 5


def decide(
    check: Callable[[Settings], Iterable[Row]], settings: Settings, seconds: float | None = None
) -> list[Verdict | LeftOut]:
    """Judge rows on samples that double from look to look, until every corrected row is decided or the budget is spent.

    ``check`` makes the rows from the settings of a look. A decided row stays as it is; later looks are for open rows,
    with a smaller share of the significance each. A look takes about as long as all before it together. If ``seconds``
    are given, no look is begun that would exceed them; the numbers of the other looks do not depend on this.
    """
    rows: dict[RowKey, Verdict | LeftOut] = {}
    started = time.perf_counter()
    for look in range(LOOKS):
        found = _judged(check(settings.at_look(look)), share_of_look(look))
        grown = {key: row for key, row in found.items() if key not in rows or _supersedes(row, rows[key])}
        rows |= grown
        spent = seconds is not None and 2 * (time.perf_counter() - started) > seconds
        if spent or not any(isinstance(row, Verdict) and _open(row) for row in grown.values()):
            break
    return list(rows.values())


def _judged(rows: Iterable[Row], share: float) -> dict[RowKey, Verdict | LeftOut]:
    found: dict[RowKey, Verdict | LeftOut] = {}
    for row in rows:
        judged = row if isinstance(row, LeftOut) else row.judge(SIGNIFICANCE, share)
        if judged.key in found:
            raise ValueError(f"check: expected one row for each {tuple(judged.key)}")
        found[judged.key] = judged
    return found


def _supersedes(new: Verdict | LeftOut, old: Verdict | LeftOut) -> bool:
    """Whether the new row replaces the old one: the old one was left out, or was open and had fewer paths."""
    if isinstance(new, LeftOut):
        return False
    return isinstance(old, LeftOut) or (old.status == "inconclusive" and new.paths > old.paths)


def _open(row: Verdict) -> bool:
    return row.form == "corrected" and row.status == "inconclusive" and row.sampling_decides
