"""The axes of a jet's value as axes of its stacked coefficients, whose first axis counts the coefficients."""

from __future__ import annotations

from typing import Any


def axis(dim: int, ndim: int) -> int:
    """Axis of the stacked coefficients for axis `dim` of a value with `ndim` axes."""
    if not -ndim <= dim < max(ndim, 1):
        raise IndexError(f"dimension out of range: {dim} for a jet with {ndim} axes")
    return dim + 1 if dim >= 0 else dim


def axes(dim: Any, ndim: int) -> tuple[int, ...]:
    """Axes of the stacked coefficients for one axis, several, or all (None)."""
    if dim is None or (not isinstance(dim, int) and len(dim) == 0):
        return tuple(range(1, ndim + 1))
    return (axis(dim, ndim),) if isinstance(dim, int) else tuple(axis(d, ndim) for d in dim)
