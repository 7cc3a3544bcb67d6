"""Samples that grow until each row is decided, or the budget is spent."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from sdewm.verdicts.judge import LeftOut, Row, RowKey, Verdict, share_of_look
from sdewm.verification.settings import Settings

# A true statement is refuted with this probability at most, however many looks it takes: some thousand judgements
# make a run of them all one in a thousand. `python -m benchmarks.false_refutations` measures it: 1e-6 where replicates
# have a skewness up to ½, as those of the closed forms do; 1e-5 at a skewness of 1, and 1e-4 at 4.
SIGNIFICANCE = 1e-6
# The budget of what stays open: looks at 1, 2, 4, 8 and 16 rounds of sampling.
LOOKS = 5


def decide(
    check: Callable[[Settings], Iterable[Row]], settings: Settings, seconds: float | None = None
) -> list[Verdict | LeftOut]:
    """Look at samples that double until every corrected row is decided, or the budget is spent.

    ``check`` makes the rows from the settings of a look. What a look decides stays decided: the next ones are for what
    is open, and may spend less of the significance. A look takes about as long as all before it: where ``seconds`` are
    given, there is none that would go beyond them. The numbers of a look do not depend on it.
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
    """A row that was open, or was left out, gives way to one that rests on more paths."""
    if isinstance(new, LeftOut):
        return False
    return isinstance(old, LeftOut) or (old.status == "inconclusive" and new.paths > old.paths)


def _open(row: Verdict) -> bool:
    return row.form == "corrected" and row.status == "inconclusive" and row.sampling_decides
