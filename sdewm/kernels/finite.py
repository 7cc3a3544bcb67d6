"""What a program leaves out, and what would go unseen with it: infinities, what is no number, and the sign of a zero.

A product with an exact 0 is 0 for every number, and no row is made of it. Torch makes it: where the other factor is
infinite the product is no number, and the sign of a zero that is lost shows where something is divided by it. So a row
is watched that is 0 as long as all is well, and no number from where that could differ. Most of what could differ needs
no watch: where it is not finite the new state is not finite either, and stays so.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sdewm.kernels.program import Builder, Term

# Operations whose result is not finite where an operand is not: inf·0 is no number, exp(−inf) is 0.
CATCHING = {"DOTS", "PRODUCTS", "SUMS"} | {
    f"OP_{name}" for name in "neg abs sqrt log log1p sinh cosh sin cos tan asinh floor add sub mul".split()
}


def watch(builder: Builder, result: Sequence[int], states: int, before: int) -> int | None:
    """The number of a row that is 0, or no number where plain torch may have another state than the program.

    ``result`` are the rows of the new state, ``before`` is that row's own after the step before. Of coefficients beyond
    the first ``states`` rows of the state, those that the result does not rest on are left out for good: they are
    beyond the order that is carried. ``None`` where there is nothing to be watched.
    """
    needed = _behind(builder.terms, [*result])
    own = [row for row in builder.left_out if row in needed or _of_values(builder.terms, row, len(result), states)]
    quotients = list[int]()
    for row in sorted(_behind(builder.terms, [*result, *own])):
        op, rows = builder.terms[row].op, builder.terms[row].rows
        if op in ("OP_div", "OP_pow"):
            quotients.append(row)
        elif op == "OP_atan2":  # on its cut
            y, x = rows
            cut = builder.binary("maximum", builder.unary("abs", y), x)
            quotients.append(builder.made("OP_div", (builder.row(builder.zero), cut)))
    seen = _caught(builder.terms, result)
    watched = [row for row in dict.fromkeys([*own, *quotients]) if row not in seen]
    return builder.made("DOTS", (before, *watched), (builder.zero,) * (1 + len(watched))) if watched else None


def _behind(terms: Sequence[Term], rows: Iterable[int]) -> set[int]:
    """Rows, and all that they are made of."""
    found, waiting = set[int](), [row for row in rows if row >= 0]
    while waiting:
        row = waiting.pop()
        if row not in found:
            found.add(row)
            waiting += terms[row].rows
    return found


def _of_values(terms: Sequence[Term], row: int, rows: int, states: int) -> bool:
    """Whether a row is made of no coefficient of the state beyond the first ``states``."""
    return not any(states <= other < rows for other in _behind(terms, [row]))


def _caught(terms: Sequence[Term], result: Sequence[int]) -> set[int]:
    """Rows that, where they are not finite, leave states that are not finite, at all later steps."""
    lasting = set(range(len(result)))
    while True:
        found, waiting = set[int](), [result[i] for i in lasting]
        while waiting:
            row = waiting.pop()
            if row >= 0 and row not in found:
                found.add(row)
                op, rows = terms[row].op, terms[row].rows
                waiting += rows if op in CATCHING else rows[:1] if op == "OP_div" else ()
        if lasting <= found:
            return found
        lasting &= found
