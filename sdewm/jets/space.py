"""Truncated polynomial spaces: which Taylor coefficients a jet stores, and how products combine them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from itertools import combinations_with_replacement
from math import comb, factorial, prod
from typing import ClassVar

from sdewm.jets.memory import keep_freed_memory

MultiIndex = tuple[int, ...]


def _degree(indices: range, parameters: int) -> list[MultiIndex]:
    return [
        tuple(chosen.count(i) for i in range(parameters))
        for degree in indices
        for chosen in combinations_with_replacement(range(parameters), degree)
    ]


def _runs(pairs: list[tuple[int, int]]) -> list[tuple[slice, slice]]:
    """Group (source, target) rows into pairs of contiguous slices, so that few operations move all of them."""
    runs: list[list[int]] = []
    for source, target in pairs:
        if runs and runs[-1][0] + runs[-1][2] == source and runs[-1][1] + runs[-1][2] == target:
            runs[-1][2] += 1
        else:
            runs.append([source, target, 1])
    return [(slice(s, s + n), slice(t, t + n)) for s, t, n in runs]


class _Cached(type):
    """A metaclass that makes equal spaces the same object, so that they can be compared by identity."""

    _made: ClassVar[dict[tuple[int, int], JetSpace]] = {}

    def __call__(cls, parameters: int, order: int) -> JetSpace:
        if parameters < 1 or order < 0:
            raise ValueError(f"a jet space needs parameters >= 1 and order >= 0, got {parameters} and {order}")
        key = (parameters, order)
        if key not in _Cached._made:
            keep_freed_memory()
            _Cached._made[key] = super().__call__(parameters=parameters, order=order)
        return _Cached._made[key]


@dataclass(frozen=True, eq=False)
class JetSpace(metaclass=_Cached):
    """Polynomials in `parameters` variables, truncated above total degree `order`.

    `JetSpace(2, 2)` stores the coefficients of (0,0), (1,0), (0,1), (2,0), (1,1), (0,2). Spaces with equal
    arguments are the same object. Raises ValueError unless parameters >= 1 and order >= 0.
    """

    parameters: int
    order: int

    @cached_property
    def indices(self) -> tuple[MultiIndex, ...]:
        """Multi-indices with total degree at most `order`, graded, in the order of the coefficients."""
        return tuple(_degree(range(self.order + 1), self.parameters))

    def __len__(self) -> int:
        return self.size(self.order)

    def __reduce__(self) -> tuple[type[JetSpace], tuple[int, int]]:
        return JetSpace, (self.parameters, self.order)

    def size(self, degree: int) -> int:
        """Number of coefficients with total degree at most `degree`."""
        return comb(self.parameters + degree, degree)

    def lower(self, order: int) -> JetSpace:
        """The space in the same parameters, truncated at `order`."""
        return JetSpace(self.parameters, order)

    def position(self, alpha: MultiIndex) -> int:
        """Row of a multi-index. Raises KeyError with the stored indices when it is not one of them."""
        try:
            return self._positions[tuple(alpha)]
        except KeyError:
            raise KeyError(f"{tuple(alpha)} is not a multi-index of {self}; it stores {self.indices}") from None

    @cached_property
    def _positions(self) -> dict[MultiIndex, int]:
        return {alpha: row for row, alpha in enumerate(self.indices)}

    @cached_property
    def factorials(self) -> tuple[int, ...]:
        """α! for every stored multi-index."""
        return tuple(prod(map(factorial, alpha)) for alpha in self.indices)

    @cache  # noqa: B019 (spaces are few and live for ever)
    def shift(self, i: int) -> tuple[tuple[slice, slice], ...]:
        """(source, target) rows of the multiplication by parameter i; sources have degree below `order`."""
        moved = (
            [
                (row, self._positions[(*alpha[:i], alpha[i] + 1, *alpha[i + 1 :])])
                for row, alpha in enumerate(self.indices[: self.size(self.order - 1)])
            ]
            if self.order
            else []
        )
        return tuple(_runs(moved))

    @cache  # noqa: B019
    def factors(self, row: int) -> tuple[tuple[int, int], ...]:
        """Pairs of rows, both of degree at least one, whose product adds to this row."""
        alpha = self.indices[row]
        rests = ((i, tuple(a - b for a, b in zip(alpha, beta, strict=True))) for i, beta in enumerate(self.indices))
        return tuple(
            (i, self._positions[rest]) for i, rest in rests if i and self._positions.get(rest, 0) and min(rest) >= 0
        )

    @cache  # noqa: B019
    def inner(self, degree: int) -> tuple[tuple[int, slice, slice], ...]:
        """Products of two coefficients of degree at least one, up to total `degree`.

        Entries (i, rows, target): row i of the left factor times `rows` of the right one adds to `target`.
        The products with a zeroth coefficient are left out: one operation computes them for all rows.
        """
        plan: list[tuple[int, slice, slice]] = []
        for i, alpha in enumerate(self.indices[: self.size(degree)]):
            if sum(alpha) == 0:
                continue
            pairs = [
                (j, self._positions[tuple(a + b for a, b in zip(alpha, beta, strict=True))])
                for j, beta in enumerate(self.indices)
                if sum(beta) > 0 and sum(alpha) + sum(beta) <= degree
            ]
            plan += [(i, rows, target) for rows, target in _runs(pairs)]
        return tuple(plan)
