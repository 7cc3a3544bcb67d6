"""The figure of a report: the distance of each row from its claim, in units of its margin."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes

from sdewm.drawing import CORRECTED, GUIDE, MEASURED, OTHER, PRINTED, Look, drawn_on
from sdewm.verdicts.judge import Verdict

LOOKS: dict[str, Look] = {
    "verified": CORRECTED,
    "refuted": PRINTED,
    "indistinguishable from 0": OTHER[1],
    "inconclusive": OTHER[0],
    "vacuous": MEASURED,
}
DEVIATIONS = 3.29  # standard errors to either side, for 99.9 %
LONGEST = 64  # the most letters of a row's name
FAR = 4.0  # margins, beyond which the scale is logarithmic


def draw_rows(verdicts: Sequence[Verdict], axes: Axes | None, title: str) -> Axes:
    """Draw the corrected rows that have a margin or a bound; see ``Report.plot``."""
    rows = [v for v in verdicts if v.form == "corrected" and _unit(v) > 0 and math.isfinite(v.statistic)]
    alone = axes is None
    with drawn_on(axes, 7.2, 1.2 + 0.19 * len(rows)) as axes:
        axes.axvspan(-1, 1, color="#888888", alpha=0.15, lw=0, label="near enough")
        axes.axvline(0.0, **GUIDE)
        reach = 1.0
        for status, look in LOOKS.items():
            those = [(i, v) for i, v in enumerate(rows) if v.status == status]
            if not those:
                continue
            at = [_place(v) for _, v in those]
            bars = [(DEVIATIONS * v.stderr + v.numerical) / _unit(v) for _, v in those]
            reach = max(reach, *(abs(x) + bar for x, bar in zip(at, bars, strict=True)))
            points: dict[str, Any] = {
                "linestyle": "none",
                "marker": look.marker,
                "color": look.color,
                "elinewidth": 0.9,
            }
            axes.errorbar(at, [i for i, _ in those], xerr=bars, **points, label=f"{status} ({len(those)})")
        if reach > FAR:
            axes.set_xscale("symlog", linthresh=1.0)
        axes.set_xlim(-1.1 * reach, 1.1 * reach)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.set_yticks(range(len(rows)), [_name(v) for v in rows])
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.set_xlabel("distance from what is claimed, in margins;\nof a bound, in parts of it (bars: 99.9 %)")
        axes.set_title(title)
        if alone:
            axes.figure.legend(loc="outside lower center", ncols=3)
        else:
            axes.legend()
    return axes


def _unit(v: Verdict) -> float:
    """The unit of a row's distance: the margin of an equality, or the bound of an inequality."""
    return v.margin if v.relation == "=" else v.expected


def _place(v: Verdict) -> float:
    if v.relation == "=":
        return (v.statistic - v.expected) / v.margin
    return max(v.statistic, 0.0) / v.expected


def _name(v: Verdict) -> str:
    name = ", ".join(part for part in (v.claim, v.quantity, v.reading) if part)
    return name if len(name) <= LONGEST else name[: LONGEST - 1] + "…"
