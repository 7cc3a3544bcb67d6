"""Programs for the machine that walks paths: rows of numbers, one a path, made from rows and scalars."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int32]


def _numpy(function: Callable[..., Any]) -> Callable[..., float]:
    """What numpy makes of numbers: as torch does, and unlike Python, it has infinities, and raises nothing."""

    def computed(*values: float) -> float:
        with np.errstate(all="ignore"):
            return float(function(*values))

    return computed


# C expressions of x and y, and the same in Python for what is known beforehand.
UNARY: dict[str, tuple[str, Callable[[float], float]]] = {
    "neg": ("-x", lambda x: -x),
    "abs": ("fabs(x)", abs),
    "sqrt": ("sqrt(x)", _numpy(np.sqrt)),
    "exp": ("exp(x)", _numpy(np.exp)),
    "expm1": ("expm1(x)", _numpy(np.expm1)),
    "log": ("log(x)", _numpy(np.log)),
    "log1p": ("log1p(x)", _numpy(np.log1p)),
    "tanh": ("tanh(x)", math.tanh),
    "sinh": ("sinh(x)", _numpy(np.sinh)),
    "cosh": ("cosh(x)", _numpy(np.cosh)),
    "sin": ("sin(x)", _numpy(np.sin)),
    "cos": ("cos(x)", _numpy(np.cos)),
    "tan": ("tan(x)", _numpy(np.tan)),
    "atan": ("atan(x)", math.atan),
    "asinh": ("asinh(x)", math.asinh),
    "erf": ("erf(x)", math.erf),
    "erfc": ("erfc(x)", math.erfc),
    "sigmoid": ("1 / (1 + exp(-x))", _numpy(lambda x: 1 / (1 + np.exp(-x)))),
    "floor": ("floor(x)", _numpy(np.floor)),
    "isnan": ("x != x", lambda x: float(x != x)),
}
BINARY: dict[str, tuple[str, Callable[[float, float], float]]] = {
    "add": ("x + y", lambda x, y: x + y),
    "sub": ("x - y", lambda x, y: x - y),
    "mul": ("x * y", lambda x, y: x * y),
    "div": ("x / y", _numpy(np.divide)),
    "pow": ("pow(x, y)", _numpy(np.power)),
    "atan2": ("atan2(x, y)", math.atan2),
    # As torch has them: not a number where either is not.
    "maximum": ("x > y || x != x ? x : y", _numpy(np.maximum)),
    "minimum": ("x < y || x != x ? x : y", _numpy(np.minimum)),
    "lt": ("x < y", lambda x, y: float(x < y)),
    "le": ("x <= y", lambda x, y: float(x <= y)),
    "gt": ("x > y", lambda x, y: float(x > y)),
    "ge": ("x >= y", lambda x, y: float(x >= y)),
    "eq": ("x == y", lambda x, y: float(x == y)),
    "ne": ("x != y", lambda x, y: float(x != y)),
}
OPERATIONS = ("FILL", "DOTS", "PRODUCTS", "SUMS", "WHERE", *(f"OP_{name}" for name in (*UNARY, *BINARY)))
CODES = {name: code for code, name in enumerate(OPERATIONS)}


def machine_source(template: str) -> str:
    """The machine's C source with a case for each operation."""
    cases = [f"EACH(OP_{name}, {c})" for name, (c, _) in UNARY.items()]
    cases += [f"PAIR(OP_{name}, {c})" for name, (c, _) in BINARY.items()]
    return template.replace("/* OPERATIONS */", ", ".join(OPERATIONS[5:])).replace("/* CASES */", "\n".join(cases))


@dataclass(frozen=True)
class Term:
    """How a row is made: an operation of rows, or of rows and scalars. Negative numbers are scalars, −1 the first."""

    op: str
    rows: tuple[int, ...] = ()
    scalars: tuple[int, ...] = ()


@dataclass
class Builder:
    """Rows by number, as they are written down. Equal ones are made once, and products with exact zeros not at all.

    A number below 0 is a scalar: a constant, or an element of a tensor of weights, which is read when a walk begins.
    Rows in ``left_out`` are those that would have made a product no number where they are not finite.
    """

    inputs: int
    terms: list[Term] = field(default_factory=list)
    constants: dict[tuple[float, float, bool], int] = field(default_factory=dict)
    left_out: dict[int, None] = field(default_factory=dict)  # a set that keeps the order
    scalars: list[float | tuple[int, int]] = field(default_factory=list)
    _known: dict[tuple[object, ...], int] = field(default_factory=dict)
    _weights: dict[tuple[int, int], int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.terms = [Term("INPUT") for _ in range(self.inputs)]
        self.zero, self.one = self.constant(0.0), self.constant(1.0)

    def constant(self, value: float) -> int:
        value = float(value)
        key = (math.copysign(1.0, value), math.inf if math.isnan(value) else abs(value), math.isnan(value))
        if key not in self.constants:
            self.scalars.append(value)
            self.constants[key] = -len(self.scalars)
        return self.constants[key]

    def weight(self, tensor: int, place: int) -> int:
        key = (tensor, place)
        if key not in self._weights:
            self.scalars.append(key)
            self._weights[key] = -len(self.scalars)
        return self._weights[key]

    def known(self, number: int) -> float | None:
        """The value of a constant; ``None`` for all else."""
        value = self.scalars[-1 - number] if number < 0 else None
        return value if isinstance(value, float) else None

    def row(self, number: int) -> int:
        """A row that holds a scalar in each lane; a row itself."""
        return number if number >= 0 else self.made("FILL", (), (number,))

    def unary(self, op: str, a: int) -> int:
        value = self.known(a)
        if value is not None:
            return self.constant(UNARY[op][1](value))
        return self.made(f"OP_{op}", (self.row(a),))

    def binary(self, op: str, a: int, b: int) -> int:
        x, y = self.known(a), self.known(b)
        if x is not None and y is not None:
            if op == "div" and y == 0:
                self._leave_out(self.made("OP_div", (self.row(self.zero), self.row(self.zero))))
            return self.constant(BINARY[op][1](x, y))
        if op == "mul" and (x == 0 or y == 0):
            self._leave_out(b if x == 0 else a)
            return self.zero
        if op == "mul" and (x == 1 or y == 1):
            return b if x == 1 else a
        if op == "add" and (x == 0 or y == 0):
            return b if x == 0 else a
        if (op == "sub" and y == 0) or (op == "div" and y == 1):
            return a
        if op == "div" and x == 0:
            self._leave_out(self.made("OP_div", (self.row(a), self.row(b))))
            return self.zero
        if op in ("mul", "add", "maximum", "minimum") and a > b:
            a, b = b, a
        return self.made(f"OP_{op}", (self.row(a), self.row(b)))

    def where(self, condition: int, a: int, b: int) -> int:
        chosen = self.known(condition)
        if chosen is not None:
            return a if chosen else b
        if a == b:
            return a
        return self.made("WHERE", (self.row(condition), self.row(a), self.row(b)))

    def total(self, numbers: Sequence[int]) -> int:
        """The sum of some numbers."""
        rows = [n for n in numbers if n >= 0 or self.known(n) is None]
        constants = [v for n in numbers if (v := self.known(n)) is not None]
        finite = all(map(math.isfinite, constants))
        constant = self.constant(math.fsum(constants) if finite else sum(constants))
        if not rows:
            return constant
        found = self.row(rows[0]) if len(rows) == 1 else self.made("SUMS", tuple(self.row(r) for r in rows))
        return self.binary("add", found, constant)

    def dot(self, left: Sequence[int], right: Sequence[int]) -> int:
        """Σ left_i right_i."""
        pairs = []
        for a, b in zip(left, right, strict=True):
            if self.zero not in (a, b):
                pairs.append((a, b))
            elif self.binary("mul", a, b) != self.zero:  # 0 times what is known not to be finite
                return self.constant(math.nan)
        if all(a < 0 for a, _ in pairs):
            pairs = [(b, a) for a, b in pairs]
        if len(pairs) < 2 or all(a < 0 and b < 0 for a, b in pairs):
            return self.total([self.binary("mul", a, b) for a, b in pairs])
        if all(b < 0 <= a for a, b in pairs):
            return self.made("DOTS", tuple(a for a, _ in pairs), tuple(b for _, b in pairs))
        return self.made("PRODUCTS", (*(self.row(a) for a, _ in pairs), *(self.row(b) for _, b in pairs)))

    def _leave_out(self, number: int) -> None:
        """Scalars are looked at as such, when a walk begins."""
        if number >= 0:
            self.left_out[number] = None

    def made(self, op: str, rows: tuple[int, ...], scalars: tuple[int, ...] = ()) -> int:
        """The row that an operation makes of these."""
        key = (op, rows, scalars)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = len(self.terms)
            self.terms.append(Term(op, rows, scalars))
        return found


@dataclass(frozen=True)
class Program:
    """What the machine runs: instructions ``(k, 8)`` before the first step and at each step, tables, scalars.

    ``registers`` is how many rows there are; ``result`` the rows of the new state.
    """

    before: Ints
    body: Ints
    table: Ints
    scalars: list[float | tuple[int, int]]
    registers: int
    result: Ints


def assemble(builder: Builder, result: Sequence[int], inputs: Sequence[int], reserved: int) -> Program:
    """Order what the result rests on into instructions.

    ``inputs`` are the registers of the inputs. The first ``reserved`` registers are the caller's.
    """
    result = [builder.row(r) for r in result]
    needed: set[int] = set()
    waiting = list(result)
    while waiting:
        row = waiting.pop()
        if row not in needed:
            needed.add(row)
            waiting += builder.terms[row].rows
    moves = [False] * len(builder.terms)  # whether a row depends on an input
    depth = [0] * len(builder.terms)
    for i, term in enumerate(builder.terms):
        moves[i] = term.op == "INPUT" or any(moves[r] for r in term.rows)
        depth[i] = 1 + max((depth[r] for r in term.rows), default=0)
    # Rows of one depth do not look at each other: those of one kind are one instruction.
    kinds: dict[tuple[object, ...], list[int]] = {}
    for row in sorted(needed):
        term = builder.terms[row]
        if term.op != "INPUT":
            shared = term.rows if term.op == "DOTS" else ()
            kinds.setdefault((moves[row], depth[row], term.op, len(term.rows), shared), []).append(row)
    groups = [kinds[kind] for kind in sorted(kinds)]
    # What is made before the first step stays, and so does the result; all else until it has been looked at last.
    last = dict.fromkeys(result, len(groups))
    for i, group in enumerate(groups):
        for row in group:
            for r in builder.terms[row].rows:
                last[r] = max(last.get(r, i), i)
    registers = _Registers(reserved)
    register, table = dict(enumerate(inputs)), list[int]()
    halves: tuple[list[list[int]], list[list[int]]] = [], []
    ending: dict[int, list[tuple[int, int]]] = {}
    for i, group in enumerate(groups):
        out = registers.take(len(group))
        register |= {row: out + place for place, row in enumerate(group)}
        moving = moves[group[0]]
        halves[moving].extend(_instructions([builder.terms[r] for r in group], out, register, table))
        if moving:
            ending.setdefault(max(last[row] for row in group), []).append((out, len(group)))
        for free in ending.pop(i, []):
            registers.give_back(*free)
    before, body = (np.array(half, dtype=np.int32).reshape(-1, 8) for half in halves)
    places = np.array([register[r] for r in result], dtype=np.int32)
    return Program(before, body, np.array(table, dtype=np.int32), builder.scalars, registers.all, places)


class _Registers:
    """Blocks of registers, the lowest that are free first: what is used again soon is still in the cache."""

    def __init__(self, reserved: int) -> None:
        self.all = reserved
        self._free: list[tuple[int, int]] = []  # (first, how many), in order, no two adjacent

    def take(self, count: int) -> int:
        for i, (first, length) in enumerate(self._free):
            if length >= count:
                self._free[i : i + 1] = [(first + count, length - count)] if length > count else []
                return first
        self.all += count
        return self.all - count

    def give_back(self, first: int, count: int) -> None:
        merged: list[tuple[int, int]] = []
        for start, length in sorted([*self._free, (first, count)]):
            if merged and sum(merged[-1]) == start:
                merged[-1] = (merged[-1][0], merged[-1][1] + length)
            else:
                merged.append((start, length))
        self._free = merged


def _instructions(terms: list[Term], out: int, register: dict[int, int], table: list[int]) -> list[list[int]]:
    """One instruction for rows of one kind; two for scalar products of which not all fill groups of four."""
    op, code = terms[0].op, CODES[terms[0].op]

    def listed(numbers: Sequence[int]) -> int:
        table.extend(numbers)
        return len(table) - len(numbers)

    if op == "DOTS":
        inputs = [register[r] for r in terms[0].rows]
        made: list[list[int]] = []
        whole = len(terms) // 4 * 4
        for width, part, first in ((4, terms[:whole], out), (1, terms[whole:], out + whole)):
            if part:
                groups = [part[i : i + width] for i in range(0, len(part), width)]
                shared = listed(inputs * len(groups))
                scalars = listed([-1 - t.scalars[i] for group in groups for i in range(len(inputs)) for t in group])
                made.append([code, len(part), len(inputs), first, shared, scalars, 0, width])
        return made
    if op == "FILL":
        return [[code, len(terms), 1, out, listed([-1 - t.scalars[0] for t in terms]), 0, 0, 1]]
    rows = [[register[r] for r in t.rows] for t in terms]
    if op in ("SUMS", "PRODUCTS"):
        length = len(rows[0]) if op == "SUMS" else len(rows[0]) // 2
        a = listed([r for one in rows for r in one[:length]])
        b = listed([r for one in rows for r in one[length:]])
        return [[code, len(terms), length, out, a, b, 0, 1]]
    places = [listed([one[i] for one in rows]) for i in range(len(rows[0]))]
    return [[code, len(terms), 1, out, *places, *([0] * (3 - len(places))), 1]]
