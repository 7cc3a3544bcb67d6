"""Coefficients and losses held against a few states before any work is done.

A coefficient and a loss are functions of their row: path p's value depends on path p's state and on nothing else. A sum
or a mean over paths, dropout, batch normalization in training mode, or a constant of a fixed length give numbers all
the same, and they are wrong. So each function is evaluated on two batches that share their first row and differ in
length and in the other rows; the first row's values must be the same. And on the states that a pilot walk ends at, far
out, where the paths of each half must have the values that they have among all. Nor may a value depend on what was
asked before: what a function remembers of other states has no derivatives.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from sdewm import arguments
from sdewm.jets import Jet, shape_of
from sdewm.jets.written import as_written
from sdewm.noise.grid import TimeGrid
from sdewm.systems.pilot import Visit, pilot
from sdewm.systems.sde import FROM_INSIDE, SDE

# On so many rows randomness shows that leaves most rows alone, as dropout with a small probability does.
MANY = 256


@dataclass(frozen=True, eq=False)
class Probe:
    """Two batches of states, ``same`` ``(3, n)`` and ``other`` ``(2, n)``, with one row in common, and their time.

    All rows of ``same`` are the initial state, or initial states. The second row of ``other`` is where a first step of
    one standard deviation leads: a state of the kind that paths meet, where coefficients are defined. ``visits`` are
    those of a pilot walk, most of it with three times the noise; none where it cannot be made.
    """

    t: Float[Tensor, ""]
    same: Float[Tensor, "3 n"]
    other: Float[Tensor, "2 n"]
    visits: Sequence[Visit]
    channels: int = 0

    @property
    def far(self) -> Float[Tensor, "paths n"]:
        """The states ``(paths, n)`` that the pilot walk ends at."""
        return self.visits[-1].x if self.visits else self.same[:0]


def check_coefficients(sde: SDE, x0: Float[Tensor, "*paths n"], grid: TimeGrid) -> Probe:
    """Hold every coefficient of an SDE, and of the parts that it is made of, against x0 at the initial time.

    Each must return a tensor of the right shape, of x0's dtype and device, finite, the same whenever it is asked, one
    row per path, and leave the states that it is given alone; optional methods must agree with f and g, and a diffusion
    that is declared additive must be the same at all states. That is held against x0 in the middle and at the last step
    too, since a coefficient may be another one there.
    Raises ``ValueError`` or ``TypeError`` that starts with the coefficient's name, such as "f" or "error.g".
    """
    start = (x0.value if isinstance(x0, Jet) else x0).detach()
    rows = start[:3] if start.ndim == 2 else start[None]
    same = torch.cat([rows, rows[:1].expand(3 - len(rows), -1)])
    t = torch.as_tensor(grid.t0, dtype=same.dtype, device=same.device)
    stages = getattr(sde, "stages", None)
    # Compiled code would be compiled for batches that no solve has.
    with as_written():
        found = {name: _coefficients(name, part, t, same) for name, part in parts(sde)}
        channels = {name: coefficients["g"].shape[-1] for name, (_, coefficients) in found.items()}
        if stages is not None:
            _check_stages(stages, same.shape[1])
        for name, (part, _) in found.items():
            _check_methods(name, part, stages, t, same)
        first = next(iter(channels))
        for name, m in channels.items():
            if m != channels[first]:
                raise ValueError(
                    f"{name}g: expected {channels[first]} channels, as {first}g has, got {m}; an error rides on the "
                    "noise of its base, channel by channel"
                )
        move = torch.zeros_like(same[:1])
        for part, coefficients in found.values():
            f, g = (values[0, :1] for values in coefficients.values())
            noise = g if part.noise_type == "diagonal" else g.sum(-1)
            move = move + f.detach() * grid.dt + noise.detach() * math.sqrt(grid.dt)
        other = torch.cat([same[:1], same[-1:] + torch.nan_to_num(move, 0.0, 0.0, 0.0)])
        later = [_time(grid, i, t) for i in sorted({grid.steps // 2, grid.steps - 1} - {0})]
        for name, (part, coefficients) in found.items():
            for kind, values in coefficients.items():
                at = [partial(getattr(part, kind), when) for when in (t, *later)]
                _check_rows(name + kind, at[0], values, same, other)
                for function in at[1:]:
                    _check_later(name + kind, function, values, same, other)
        visits = visits_of(sde, start.reshape(-1, same.shape[1]), grid, channels[first])
        last, far = (visits[-1].t, visits[-1].x) if visits else (t, start.reshape(-1, same.shape[1])[:0])
        for name, (part, coefficients) in found.items():
            for kind, values in coefficients.items():
                for visit in visits:  # at other times than those above, which something in between would pass
                    _check_halves(name + kind, partial(getattr(part, kind), visit.t), visit.x, values.shape[2:])
            for when, x in (*((when, other) for when in (t, *later)), (last, far)):
                if len(x) and _defined(part, when, x):
                    _check_methods(name, part, stages, when, x)
                    _check_additive(name, part, when, x)
        for name, (part, coefficients) in found.items():
            for kind, values in coefficients.items():
                # All that was asked in between shows what changes slowly, or late.
                _check_again(name + kind, partial(getattr(part, kind), t), values, same, other)
    return Probe(t, same, other, visits, channels[first])


def visits_of(sde: SDE, start: Float[Tensor, "paths n"], grid: TimeGrid, channels: int) -> list[Visit]:
    """Where a pilot walk goes."""
    try:
        with torch.no_grad():
            return pilot(sde, start, grid, channels=channels, generator=torch.Generator().manual_seed(0))
    except Exception:  # a run might never go where a coefficient raises an error of its user's own
        return []


def _defined(sde: SDE, t: Tensor, x: Tensor) -> bool:
    """Whether an SDE can be asked at states that it was not given; they need not be in its domain."""
    try:
        sde.f(t, x.clone())
        sde.g(t, x.clone())
    except Exception:
        return False
    return True


def _check_additive(name: str, sde: SDE, t: Tensor, x: Tensor) -> None:
    """What is declared additive is the same at all states: to_ito, and methods, leave its derivatives out."""
    if sde.noise_type != "additive":
        return
    values = _plain(sde.g(t, x.clone()))
    gap = _gap(values, values[:, :1].expand_as(values))
    if gap is not None:
        raise ValueError(
            f"{name}noise_type: declared 'additive', but g differs by up to {gap:.3g} between states; declare "
            "'general', or 'scalar' for one channel, or make g a function of time alone"
        )


def _check_halves(name: str, function: Callable[[Tensor], Any], far: Tensor, trailing: tuple[int, ...] = ()) -> None:
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
    whole, *halves, again = map(_plain, values)
    random = _gap(again, whole)
    if random is not None:
        raise changing(name, random)
    for part, there in zip(halves, (whole[:, :half], whole[:, half:]), strict=True):
        gap = _gap(part, there)
        if gap is not None:
            raise mixed(name, gap)


def mixed(name: str, gap: float) -> ValueError:
    """What is raised where a path's row changes with the rows beside it."""
    return ValueError(
        f"{name}: expected one row per path, each from that path's state alone; got a row that changes by {gap:.3g} "
        "with the states beside it. Reduce over the last axis, not over paths; call .eval() on modules with batch "
        "normalization"
    )


def _check_again(name: str, function: Callable[[Tensor], Any], before: Tensor, same: Tensor, other: Tensor) -> None:
    """The value at the states of the first call must be what it was, with as many others asked for in between."""
    trailing = tuple(before.shape[2:])
    with suppress(*FROM_INSIDE), torch.no_grad():  # they need not be in its domain
        function(torch.cat([other, other[-1:]]))
    gap = _gap(_evaluated(name, function, same, lambda paths: (paths, *trailing)), before)
    if gap is not None:
        raise changing(name, gap)


def changing(name: str, gap: float) -> ValueError:
    """What is raised where one state has two values."""
    return ValueError(
        f"{name}: expected the same value whenever it is asked, got two at one state that differ by {gap:.3g}. If it "
        "draws random numbers, or holds modules in training mode (dropout), call .eval() or fix the noise; if it keeps "
        "something from one call to the next, as a count of its calls, make that a part of the state or of the time"
    )


def _time(grid: TimeGrid, i: int, like: Tensor) -> Tensor:
    return torch.as_tensor(grid.time(i), dtype=like.dtype, device=like.device)


def _check_later(name: str, function: Callable[[Tensor], Any], at_start: Tensor, same: Tensor, other: Tensor) -> None:
    """At another time: shape, dtype and rows. The numbers may be others, and need not be finite at these states."""
    trailing = tuple(at_start.shape[2:])
    values = _evaluated(name, function, same, lambda paths: (paths, *trailing))
    _check_rows(name, function, values, same, other)


def check_loss(
    name: str,
    loss: Callable[[Float[Tensor, "paths n"], Float[Tensor, "paths n"]], Any],
    times: Sequence[float],
    probe: Probe,
) -> None:
    """Hold a loss ``(t, x) -> (paths,)`` against a few states: one finite number per path, of that path alone.

    Held at the first of the times, in the middle and at the last, since a running loss and a terminal one may share a
    function; and the value at one time may not depend on what was asked at the others.
    """

    def shape(paths: int) -> tuple[int, ...]:
        return (paths,)

    chosen = [times[i] for i in sorted({0, len(times) // 2, len(times) - 1})]
    at = [partial(loss, torch.as_tensor(time, dtype=probe.t.dtype, device=probe.t.device)) for time in chosen]
    held = []
    for function in at:
        held.append(_evaluated(name, function, probe.same, shape, "one number per path, "))
        _check_finite(name, held[-1], None, "the initial state")
        _check_rows(name, function, held[-1], probe.same, probe.other, shape, "one number per path, ")
        _check_halves(name, function, probe.far)
    for function, values in zip(at, held, strict=True):
        _check_again(name, function, values, probe.same, probe.other)


def parts(sde: SDE, prefix: str = "") -> Iterator[tuple[str, SDE]]:
    """The SDEs that an SDE is a sum of, with the prefix of their coefficients' names; itself where it is none."""
    own = getattr(sde, "parts", None)
    if own is None:
        yield prefix, sde
        return
    for name, part in own.items():
        yield from parts(part, f"{prefix}{name}.")


def _coefficients(name: str, sde: SDE, t: Tensor, x: Tensor) -> tuple[SDE, dict[str, Tensor]]:
    """f and g at x, their coefficients as jets stacked in a leading axis; shapes and numbers checked."""
    n, diagonal = x.shape[1], sde.noise_type == "diagonal"
    f = _evaluated(name + "f", lambda y: sde.f(t, y), x, lambda paths: (paths, n))
    channels: int | None = n if diagonal else 1 if sde.noise_type == "scalar" else None
    if hasattr(sde, "noise_channels"):
        declared = _called(name + "noise_channels", lambda y: sde.noise_channels(t, y), x)
        channels = arguments.integer(name + "noise_channels", declared, 0)

    def shape(paths: int) -> tuple[int, ...]:
        return (paths, n) if diagonal else (paths, n, -1 if channels is None else channels)

    g = _evaluated(name + "g", lambda y: sde.g(t, y), x, shape, hint=f" for noise_type {sde.noise_type!r}")
    for kind, value in (("f", f), ("g", g)):
        _check_finite(name + kind, value, -1 if kind == "f" or diagonal else -2, f"t = {float(t):g}")
    return sde, {"f": f, "g": g}


def _check_methods(name: str, sde: SDE, stages: Any, t: Tensor, x: Tensor) -> None:
    """g_prod, f_stage, g_prod_stage and noise_channels against f and g."""
    f, g = _plain(sde.f(t, x.clone())), _plain(sde.g(t, x.clone()))
    if hasattr(sde, "noise_channels") and sde.noise_channels(t, x.clone()) != g.shape[-1]:
        raise ValueError(
            f"{name}noise_channels: expected {g.shape[-1]}, as g has at t = {float(t):g}, got "
            f"{sde.noise_channels(t, x.clone())}"
        )
    dB = torch.cos(torch.arange(len(x) * g.shape[-1], dtype=x.dtype, device=x.device)).view(len(x), g.shape[-1])
    product = g * dB if sde.noise_type == "diagonal" else (g * dB.unsqueeze(-2)).sum(-1)
    made: list[tuple[str, Callable[[Tensor], Any], Tensor, str]] = []
    if hasattr(sde, "g_prod"):
        applied = partial(_with_increments, partial(sde.g_prod, t), dB)
        made.append(("g_prod", applied, product, "g applied to the increments"))
    for i, stage in enumerate(stages or ()):
        block = f"the block {stage.block.start}:{stage.block.stop}"
        if hasattr(sde, "f_stage"):
            made.append((f"f_stage, stage {i}", partial(sde.f_stage, i, t), f[..., stage.block], f"f in {block}"))
        if hasattr(sde, "g_prod_stage"):
            applied = partial(_with_increments, partial(sde.g_prod_stage, i, t), dB)
            expected = f"g applied to the increments in {block}"
            made.append((f"g_prod_stage, stage {i}", applied, product[..., stage.block], expected))
    for method, call, expected_value, text in made:
        value = _evaluated(name + method, call, x, lambda paths: (paths, expected_value.shape[-1]))  # noqa: B023
        gap = _gap(value, expected_value)
        if gap is not None:
            raise ValueError(f"{name}{method}: expected {text}, got a difference of {gap:.3g} at t = {float(t):g}")


def _with_increments(method: Callable[[Tensor, Tensor], Any], dB: Tensor, x: Tensor) -> Any:
    return method(x, dB)


def _check_stages(stages: Any, n: int) -> None:
    covered = torch.zeros(n, dtype=torch.int64)
    for stage in stages:
        covered[stage.block] += 1
    if not bool((covered == 1).all()):
        raise ValueError(f"stages: expected blocks that cover each of {n} coordinates once, got {covered.tolist()}")


def _check_rows(
    name: str,
    function: Callable[[Tensor], Any],
    before: Tensor,
    same: Tensor,
    other: Tensor,
    shape: Callable[[int], tuple[int, ...]] | None = None,
    expected: str = "",
) -> None:
    """The first row of ``function(other)`` must be that of ``before``, ``function(same)``, wherever it stands."""
    trailing = tuple(before.shape[2:])
    wanted = shape or (lambda paths: (paths, *trailing))
    try:
        value = _evaluated(name, function, other, wanted, expected)
    except ValueError:
        # The second row may have left the function's domain, where it is asked for nothing.
        other = same[:1].expand(2, -1)
        value = _evaluated(name, function, other, wanted, expected)
    gap = _gap(value[:, :1], before[:, :1])
    if gap is None:
        # What looks at the first row, or at rows before its own, shows where that row stands last.
        gap = _gap(_evaluated(name, function, other.flip(0), wanted, expected)[:, -1:], before[:, :1])
    stream = torch.get_rng_state()
    random = _gap(_evaluated(name, function, other, wanted, expected), value)
    if random is None and not torch.equal(stream, torch.get_rng_state()):
        many = same[:1].expand(MANY, -1)
        one, two = (_evaluated(name, function, many, wanted, expected) for _ in range(2))
        random = _gap(one, two)
    if random is not None:
        raise changing(name, random)
    if gap is not None:
        later = _gap(_evaluated(name, function, same, wanted, expected), before)
        raise mixed(name, gap) if later is None else changing(name, later)


def _evaluated(
    name: str,
    function: Callable[[Tensor], Any],
    x: Tensor,
    shape: Callable[[int], tuple[int, ...]],
    expected: str = "",
    hint: str = "",
) -> Tensor:
    """The value at x, ``(coefficients, paths, …)``, having checked what it is; ``-1`` in a shape is any number."""
    given = x.clone()
    written = given._version
    value = _called(name, function, given)
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
    return _plain(value)


def _plain(value: Tensor) -> Tensor:
    """``(coefficients, paths, …)``: of a tensor there is one coefficient."""
    return value.coefficients if isinstance(value, Jet) else value.unsqueeze(0)


def _called(name: str, function: Callable[[Tensor], Any], x: Tensor) -> Any:
    with named(f"{name}: expected a function of states {tuple(x.shape)} of {x.dtype}"):
        return function(x)


@contextmanager
def named(where: str) -> Iterator[None]:
    """Errors from inside a function that a user wrote, as a ``ValueError`` that says which function it was.

    This library's own errors, which name an argument already, pass; so do exceptions of a user's own.
    """
    try:
        yield
    except FROM_INSIDE as error:
        frame = error.__traceback__
        while frame is not None and frame.tb_next is not None:
            frame = frame.tb_next
        raised_in = "" if frame is None else frame.tb_frame.f_globals.get("__name__", "")
        # Functions written in C, such as int, leave no frame of their own; our messages start with a name.
        ours = raised_in.startswith("sdewm") and isinstance(error, ValueError) and ":" in str(error)
        if ours or type(error).__module__.startswith("sdewm"):
            raise
        lines = str(error).strip().splitlines() or [""]
        raise ValueError(f"{where}, and it raised {type(error).__name__}: {lines[0]}") from error


def _check_finite(name: str, value: Tensor, axis: int | None, where: str) -> None:
    bad = ~torch.isfinite(value)
    if bool(bad.any()):
        which = "" if axis is None else f", component {int(bad.nonzero()[0][axis])} is not"
        came = "" if axis is not None else f", got {value[0].tolist()}"
        raise ValueError(f"{name}: expected finite numbers{which}{came} at {where}")


def _gap(a: Tensor, b: Tensor) -> float | None:
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
