"""One function of states, held against a few of them: what shape its values have, and whose state each row is from.

A coefficient and a loss are functions of their row: path p's value depends on path p's state and on nothing else. A sum
or a mean over paths, dropout, batch normalization in training mode, or a constant of a fixed length give numbers all
the same, and they are wrong. So each function is evaluated on two batches that share their first row and differ in
length and in the other rows: the first row's values must be the same. It is also evaluated far out, on the states that
a pilot walk ends at: the paths of each half must have the values that they have among all. And a value may not depend
on what was asked before: what a function remembers of other states has no derivatives.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from sdewm import arguments
from sdewm.jets import Jet, shape_of
from sdewm.systems.user_functions import FROM_INSIDE, named

# On so many rows randomness shows that leaves most rows alone, as dropout with a small probability does.
MANY = 256


def check_halves(
    name: str,
    function: Callable[[Float[Tensor, "paths n"]], Any],
    far: Float[Tensor, "paths n"],
    trailing: tuple[int, ...] = (),
) -> None:
    """Half of the paths must have the values that they have among all, of the states' dtype and a row for each."""
    half = len(far) // 2
    if not half:
        return
    try:
        with torch.no_grad():
            values = [function(x.clone()) for x in (far, far[:half], far[half:], far)]
    except Exception:  # such states need not be in the function's domain
        return
    for x, value in zip((far, far[:half], far[half:], far), values, strict=True):
        wanted = (len(x), *trailing)
        if not isinstance(value, Tensor) or shape_of(value) != wanted or value.dtype != x.dtype:
            raise ValueError(f"{name}: expected {wanted} of {x.dtype} wherever paths go, got {arguments.shown(value)}")
    whole, *halves, again = map(plain, values)
    random = largest_gap(again, whole)
    if random is not None:
        raise changing(name, random)
    for part, there in zip(halves, (whole[:, :half], whole[:, half:]), strict=True):
        gap = largest_gap(part, there)
        if gap is not None:
            raise mixed(name, gap)


def mixed(name: str, gap: float) -> ValueError:
    """What is raised where a path's row changes with the rows beside it."""
    return ValueError(
        f"{name}: expected one row per path, each from that path's state alone; got a row that changes by {gap:.3g} "
        "with the states beside it. Reduce over the last axis, not over paths; call .eval() on modules with batch "
        "normalization"
    )


def check_again(
    name: str,
    function: Callable[[Float[Tensor, "paths n"]], Any],
    before: Float[Tensor, "coefficients paths ..."],
    same: Float[Tensor, "3 n"],
    other: Float[Tensor, "2 n"],
) -> None:
    """The value at the states of the first call must be what it was, with as many others asked for in between."""
    trailing = tuple(before.shape[2:])
    with suppress(*FROM_INSIDE), torch.no_grad():  # they need not be in its domain
        function(torch.cat([other, other[-1:]]))
    gap = largest_gap(evaluated(name, function, same, lambda paths: (paths, *trailing)), before)
    if gap is not None:
        raise changing(name, gap)


def changing(name: str, gap: float) -> ValueError:
    """What is raised where one state has two values."""
    return ValueError(
        f"{name}: expected the same value whenever it is asked, got two at one state that differ by {gap:.3g}. If it "
        "draws random numbers, or holds modules in training mode (dropout), call .eval() or fix the noise; if it keeps "
        "something from one call to the next, as a count of its calls, make that a part of the state or of the time"
    )


def check_later(
    name: str,
    function: Callable[[Float[Tensor, "paths n"]], Any],
    at_start: Float[Tensor, "coefficients paths ..."],
    same: Float[Tensor, "3 n"],
    other: Float[Tensor, "2 n"],
) -> None:
    """At another time: shape, dtype and rows. The numbers may be others, and need not be finite at these states."""
    trailing = tuple(at_start.shape[2:])
    values = evaluated(name, function, same, lambda paths: (paths, *trailing))
    check_rows(name, function, values, same, other)


def check_rows(
    name: str,
    function: Callable[[Float[Tensor, "paths n"]], Any],
    before: Float[Tensor, "coefficients paths ..."],
    same: Float[Tensor, "3 n"],
    other: Float[Tensor, "2 n"],
    shape: Callable[[int], tuple[int, ...]] | None = None,
    expected: str = "",
) -> None:
    """The first row of ``function(other)`` must be that of ``before``, ``function(same)``, wherever it stands."""
    trailing = tuple(before.shape[2:])
    wanted = shape or (lambda paths: (paths, *trailing))
    try:
        value = evaluated(name, function, other, wanted, expected)
    except ValueError:
        # The second row may have left the function's domain, where it is asked for nothing.
        other = same[:1].expand(2, -1)
        value = evaluated(name, function, other, wanted, expected)
    gap = largest_gap(value[:, :1], before[:, :1])
    if gap is None:
        # What looks at the first row, or at rows before its own, shows where that row stands last.
        gap = largest_gap(evaluated(name, function, other.flip(0), wanted, expected)[:, -1:], before[:, :1])
    stream = torch.get_rng_state()
    random = largest_gap(evaluated(name, function, other, wanted, expected), value)
    if random is None and not torch.equal(stream, torch.get_rng_state()):
        many = same[:1].expand(MANY, -1)
        one, two = (evaluated(name, function, many, wanted, expected) for _ in range(2))
        random = largest_gap(one, two)
    if random is not None:
        raise changing(name, random)
    if gap is not None:
        later = largest_gap(evaluated(name, function, same, wanted, expected), before)
        raise mixed(name, gap) if later is None else changing(name, later)


def evaluated(
    name: str,
    function: Callable[[Float[Tensor, "paths n"]], Any],
    x: Float[Tensor, "paths n"],
    shape: Callable[[int], tuple[int, ...]],
    expected: str = "",
    hint: str = "",
) -> Float[Tensor, "coefficients paths ..."]:
    """The value at x, ``(coefficients, paths, …)``, having checked what it is; ``-1`` in a shape is any number."""
    given = x.clone()
    written = given._version
    value = call_by_name(name, function, given)
    wanted = shape(len(x))
    text = f"{expected}shape {_shape(wanted, len(x))}"
    if not isinstance(value, Tensor):
        raise ValueError(
            f"{name}: expected a tensor, {text}, got {arguments.shown(value)}; torch.full_like(x, value) makes one of "
            "a number"
        )
    fits = len(value.shape) == len(wanted) and all(w in (-1, v) for v, w in zip(value.shape, wanted, strict=True))
    if not fits:
        axis = " Reduce over the last axis only: a mean over paths is taken later." if not value.shape else ""
        raise ValueError(f"{name}: expected {text}{hint}, got {_shape(tuple(value.shape), len(x))}.{axis}")
    if (value.dtype, value.device) != (x.dtype, x.device):
        raise ValueError(
            f"{name}: expected {x.dtype} on {x.device}, as x0 has, got {value.dtype} on {value.device}; "
            "functions such as torch.full_like(x, value) keep to x, and module.to(x0) converts a module"
        )
    # A write that changes nothing here, such as a clamp inside its limits, changes states elsewhere.
    if given._version != written or not torch.equal(given, x):
        raise ValueError(f"{name}: expected the states that it is given to be left alone, but it changed them in place")
    return plain(value)


def plain(value: Float[Tensor, "paths ..."]) -> Float[Tensor, "coefficients paths ..."]:
    """The coefficients of a jet, ``(coefficients, paths, …)``; a plain tensor has one."""
    return value.coefficients if isinstance(value, Jet) else value.unsqueeze(0)


def call_by_name(name: str, function: Callable[[Float[Tensor, "paths n"]], Any], x: Float[Tensor, "paths n"]) -> Any:
    """What the function returns at x; its errors say its name, see :func:`~sdewm.systems.user_functions.named`."""
    with named(f"{name}: expected a function of states {tuple(x.shape)} of {x.dtype}"):
        return function(x)


def check_finite(name: str, value: Float[Tensor, "coefficients paths ..."], axis: int | None, where: str) -> None:
    """Refuse numbers that are not finite; ``axis`` is that of the components, which the message then names."""
    bad = ~torch.isfinite(value)
    if bool(bad.any()):
        which = "" if axis is None else f", component {int(bad.nonzero()[0][axis])} is not"
        came = "" if axis is not None else f", got {value[0].tolist()}"
        raise ValueError(f"{name}: expected finite numbers{which}{came} at {where}")


def largest_gap(a: Float[Tensor, "coefficients paths ..."], b: Float[Tensor, "coefficients paths ..."]) -> float | None:
    """The largest difference, ``None`` where rounding explains it. Kernels for other batch sizes round otherwise."""
    if torch.equal(a, b):  # of nearly all that is held
        return None
    length = max(len(a), len(b))
    a, b = (
        torch.cat([v, v.new_zeros(length - len(v), *v.shape[1:])]) if len(v) < length else v for v in (a, b)
    )  # a plain value beside a jet
    if not a.numel():
        return None
    a, b = a.detach(), b.detach()
    gap, size = (a - b).abs(), torch.maximum(a.abs(), b.abs())
    small = torch.finfo(a.dtype).eps ** 0.75 * size.nan_to_num(0.0, 0.0).amax()
    off = ~((gap <= small) | ((a == b) | (a.isnan() & b.isnan())))
    return float(gap[off].nan_to_num(math.inf, math.inf).max()) if bool(off.any()) else None


def _shape(shape: tuple[int, ...], paths: int) -> str:
    names = ["paths" if i == 0 and size == paths else "m" if size == -1 else str(size) for i, size in enumerate(shape)]
    return f"({', '.join(names)}{',' * (len(names) == 1)})"
