"""What the paper's tables say of each other, and what its text says of them: exact comparisons of printed numbers.

Each :class:`TableRelation` is one printed statement about numbers that are printed too. Nothing is sampled, so it
holds or it does not; what rounding can do is its ``slack``.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

from sdewm.paper.tables import TABLES, number, unit

TRIALS = 5  # "rewards (averaged over 5 trials)", Section 5
# Where Table 2's columns are broken down, by task.
DETAILS = {"Walker": {"full": 7, "rotation": 8, "mask": 6}, "Quad": {"full": 10, "rotation": 11, "mask": 9}}
MEANS = {"With Jacobian": "mean (with Jac.)", "Baseline": "mean (baseline)"}
DEVIATIONS = ("stdev (with Jac.)", "stdev (baseline)")
MODERATE, EXTREME = ("16", "32"), ("8", "64")


@dataclass(frozen=True)
class TableRelation:
    """``value`` is to be 0 (relation "=") or at most 0 ("≤"), within ``slack`` for rounding.

    ``form`` is "printed" for what the paper says, "corrected" for what its numbers do support; ``reading`` says which
    cells are compared, and ``notes`` what else there is to know.
    """

    quantity: str
    form: Literal["printed", "corrected"]
    reading: str
    value: Decimal
    slack: Decimal
    relation: Literal["=", "≤"] = "="
    notes: dict[str, object] = field(default_factory=dict)


def table_2_against_details() -> Iterator[TableRelation]:
    """Table 2 less the means that Tables 6–11 give for its cells: the largest difference for each task and noise.

    Agreement is within one unit of the last digit, for the paper rounds some cells and cuts others.
    """
    for task, tables in DETAILS.items():
        for kind, n in tables.items():
            differences = {f"{model}, {strength}": d for model, strength, d in _differences(task, kind)}
            worst = max(differences, key=lambda cell: abs(differences[cell]))
            slack = Decimal("0.01")
            disagreeing: dict[str, object] = {c: float(d) for c, d in differences.items() if abs(d) > slack}
            quantity = f"Table 2, {task}, {kind}, less Table {n}"
            yield TableRelation(
                quantity,
                "printed",
                "largest difference",
                differences[worst],
                slack,
                notes={"cells": len(differences), "disagreeing": disagreeing},
            )
    for model, mean in MEANS.items():
        cell = number(TABLES[2][f"{model} (Quad)", "full 0.35"])
        other_row = _at_strength(TABLES[10].column(mean), "0.30")
        quantity = "Table 2, Quad, full 0.35, less row 0.30 of Table 10"
        yield TableRelation(quantity, "corrected", model, cell - other_row, unit(cell))


def repeated_means() -> Iterator[TableRelation]:
    """Tables 6–11 are separate experiments: no two of their columns of means should agree row by row.

    The value is the number of rows that agree to every digit, less the one that chance may be granted.
    """
    columns = [(n, mean) for n in range(6, 12) for mean in MEANS.values()]
    equal: dict[tuple[int, str, int, str], int] = {}
    for (n, a), (m, b) in itertools.combinations(columns, 2):
        rows = zip(TABLES[n].column(a).values(), TABLES[m].column(b).values(), strict=False)
        equal[n, a, m, b] = sum(x == y for x, y in rows)
    worst = max(equal, key=lambda pair: equal[pair])
    n, a, m, b = worst
    found = equal.pop(worst)
    yield TableRelation("rows in which two experiments agree, less one", "printed", f"Table {n} and Table {m}, {a}",
                  Decimal(found - 1), Decimal(0), "≤", {"equal": found, "rows": len(TABLES[m].rows)})  # fmt: skip
    quantity = "the same, all other pairs of experiments"
    yield TableRelation(quantity, "corrected", "", Decimal(max(equal.values()) - 1), Decimal(0), "≤")


def moderate_batches() -> Iterator[TableRelation]:
    """Section 1: batch sizes 16 and 32 do better on perturbed states than 8 and 64 (Table 1).

    The value is the best reward of the extreme sizes less the best, or the worst, of the moderate ones, in the
    perturbation where it is largest.
    """
    for reading, moderate in (("the better of 16 and 32", max), ("both 16 and 32", min)):
        leads = {
            column: max(reward[b] for b in EXTREME) - moderate(reward[b] for b in MODERATE)
            for column in TABLES[1].columns
            for reward in [TABLES[1].column(column)]
        }
        notes: dict[str, object] = {"leads": {c: float(lead) for c, lead in leads.items()}}
        quantity = "Table 1, lead of batch sizes 8 and 64"
        yield TableRelation(quantity, "printed", reading, max(leads.values()), Decimal(0), "≤", notes)
        others = max(lead for column, lead in leads.items() if column != "α = 20")
        quantity = "Table 1 but for α = 20, lead of batch sizes 8 and 64"
        yield TableRelation(quantity, "corrected", reading, others, Decimal(0), "≤")


def regularized_is_better() -> Iterator[TableRelation]:
    """Section 5: with Jacobian regularization the mean reward is higher than the baseline's "in all cases".

    The value is the largest lead of the baseline; its standard error, from the printed standard deviations of five
    trials, is in the notes. Table 7 is left out: its baseline is not its own (:func:`repeated_means`).
    """
    leads = {(n, row): lead for n in (6, 8, 9, 10, 11) for row, lead in _leads(n).items()}
    worst = max(leads, key=lambda cell: leads[cell])
    spread = [float(number(TABLES[worst[0]][worst[1], column])) for column in DEVIATIONS]
    notes: dict[str, object] = {
        "table and row": worst,
        "trials": TRIALS,
        "standard error of the lead": math.hypot(*spread) / math.sqrt(TRIALS),
    }
    quantity = "Tables 6, 8–11, largest lead of the baseline"
    yield TableRelation(quantity, "printed", "", leads.pop(worst), Decimal(0), "≤", notes)
    quantity = f"the same, but for the row {worst[1]} of Table {worst[0]}"
    yield TableRelation(quantity, "corrected", "", max(leads.values()), Decimal(0), "≤")


def steps_ahead() -> dict[str, float]:
    """How many thousand steps before the baseline each regularized model reaches the baseline's last reward (Table 4).

    Linear between the printed columns.
    """
    steps = [float(c.removesuffix("k")) for c in TABLES[4].columns]
    target = float(number(TABLES[4]["Baseline", TABLES[4].columns[-1]]))
    ahead: dict[str, float] = {}
    for row in TABLES[4].rows[:-1]:
        rewards = [float(number(TABLES[4][row, c])) for c in TABLES[4].columns]
        for (s, r), (s_next, r_next) in itertools.pairwise(zip(steps, rewards, strict=True)):
            if r < target <= r_next:
                reached = s + (target - r) / (r_next - r) * (s_next - s)
                ahead[row] = steps[-1] - reached
                break
    return ahead


def faster_convergence() -> Iterator[TableRelation]:
    """Section 5: the model with regularization "converges significantly faster (∼100K steps)" (Table 4).

    "∼100K" has one digit: 50k to 150k are taken to round to it. Faster is ahead at every column.
    """
    for row, ahead in steps_ahead().items():
        value = Decimal(str(round(ahead - 100.0, 2)))
        yield TableRelation("Table 4, thousands of steps ahead, less 100", "printed", row, value, Decimal(50))
    for row in TABLES[4].rows[:-1]:
        lead = max(number(TABLES[4]["Baseline", c]) - number(TABLES[4][row, c]) for c in TABLES[4].columns)
        form: Literal["printed", "corrected"] = "corrected" if "0.05" in row else "printed"
        yield TableRelation(f"Table 4, {row}, largest lead of the baseline", form, "", lead, Decimal(0), "≤")


def stated_parameters() -> Iterator[TableRelation]:
    """The perturbations of Sections 5 and D.2 against the tables' own headings."""
    text = {"μ2": Decimal("0.05"), "σ2²": Decimal("0.2")}  # "in Quadruped task, μ1 = 0, μ2 = 0.05, σ2² = 0.2"
    heading = {"μ2": Decimal("0.5"), "σ2²": Decimal("0.15")}  # Table 9: "β% mask, N(0.5, 0.15)"
    for name in text:
        yield TableRelation(
            f"Quadruped, mask noise, {name}: text less Table 9", "printed", "", text[name] - heading[name], Decimal(0)
        )
    for task, n in (("Walker", 7), ("Quadruped", 10)):
        least = min(Decimal(row) for row in TABLES[n].rows)
        form: Literal["printed", "corrected"] = "printed" if task == "Quadruped" else "corrected"
        quantity = f"{task}, least variance in Table {n} less the 0.05 of the text"
        yield TableRelation(quantity, form, "", least - Decimal("0.05"), Decimal(0))


def _leads(n: int) -> dict[str, Decimal]:
    with_jacobian, baseline = (TABLES[n].column(mean) for mean in MEANS.values())
    return {row: baseline[row] - with_jacobian[row] for row in TABLES[n].rows}


def _differences(task: str, kind: str) -> Iterator[tuple[str, str, Decimal]]:
    """Model, strength of the noise, and Table 2's cell less the detailed table's."""
    details = TABLES[DETAILS[task][kind]]
    for model, mean in MEANS.items():
        for column in TABLES[2].columns:
            if column.startswith(kind):
                strength = column.removeprefix(kind + " ")
                cell = number(TABLES[2][f"{model} ({task})", column])
                yield model, strength, cell - _at_strength(details.column(mean), strength)


def _at_strength(column: dict[str, Decimal], strength: str) -> Decimal:
    return next(value for row, value in column.items() if Decimal(row) == Decimal(strength))
