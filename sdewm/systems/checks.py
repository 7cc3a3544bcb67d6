"""Systems and losses held against a few states before any work is done."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from sdewm import arguments
from sdewm.jets import Jet
from sdewm.jets.written import as_written
from sdewm.noise.grid import TimeGrid
from sdewm.systems.pilot import Visit, pilot
from sdewm.systems.row_checks import (
    call_by_name,
    check_again,
    check_finite,
    check_halves,
    check_later,
    check_rows,
    evaluated,
    largest_gap,
    plain,
)
from sdewm.systems.sde import SDE


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
                check_rows(name + kind, at[0], values, same, other)
                for function in at[1:]:
                    check_later(name + kind, function, values, same, other)
        visits = visits_of(sde, start.reshape(-1, same.shape[1]), grid, channels[first])
        last, far = (visits[-1].t, visits[-1].x) if visits else (t, start.reshape(-1, same.shape[1])[:0])
        for name, (part, coefficients) in found.items():
            for kind, values in coefficients.items():
                for visit in visits:  # at other times than those above, which something in between would pass
                    check_halves(name + kind, partial(getattr(part, kind), visit.t), visit.x, values.shape[2:])
            for when, x in (*((when, other) for when in (t, *later)), (last, far)):
                if len(x) and _defined(part, when, x):
                    _check_methods(name, part, stages, when, x)
                    _check_additive(name, part, when, x)
        for name, (part, coefficients) in found.items():
            for kind, values in coefficients.items():
                # All that was asked in between shows what changes slowly, or late.
                check_again(name + kind, partial(getattr(part, kind), t), values, same, other)
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
    values = plain(sde.g(t, x.clone()))
    gap = largest_gap(values, values[:, :1].expand_as(values))
    if gap is not None:
        raise ValueError(
            f"{name}noise_type: declared 'additive', but g differs by up to {gap:.3g} between states; declare "
            "'general', or 'scalar' for one channel, or make g a function of time alone"
        )


def _time(grid: TimeGrid, i: int, like: Tensor) -> Tensor:
    return torch.as_tensor(grid.time(i), dtype=like.dtype, device=like.device)


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
        held.append(evaluated(name, function, probe.same, shape, "one number per path, "))
        check_finite(name, held[-1], None, "the initial state")
        check_rows(name, function, held[-1], probe.same, probe.other, shape, "one number per path, ")
        check_halves(name, function, probe.far)
    for function, values in zip(at, held, strict=True):
        check_again(name, function, values, probe.same, probe.other)


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
    f = evaluated(name + "f", lambda y: sde.f(t, y), x, lambda paths: (paths, n))
    channels: int | None = n if diagonal else 1 if sde.noise_type == "scalar" else None
    if hasattr(sde, "noise_channels"):
        declared = call_by_name(name + "noise_channels", lambda y: sde.noise_channels(t, y), x)
        channels = arguments.integer(name + "noise_channels", declared, 0)

    def shape(paths: int) -> tuple[int, ...]:
        return (paths, n) if diagonal else (paths, n, -1 if channels is None else channels)

    g = evaluated(name + "g", lambda y: sde.g(t, y), x, shape, hint=f" for noise_type {sde.noise_type!r}")
    for kind, value in (("f", f), ("g", g)):
        check_finite(name + kind, value, -1 if kind == "f" or diagonal else -2, f"t = {float(t):g}")
    return sde, {"f": f, "g": g}


def _check_methods(name: str, sde: SDE, stages: Any, t: Tensor, x: Tensor) -> None:
    """g_prod, f_stage, g_prod_stage and noise_channels against f and g."""
    f, g = plain(sde.f(t, x.clone())), plain(sde.g(t, x.clone()))
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
        value = evaluated(name + method, call, x, lambda paths: (paths, expected_value.shape[-1]))  # noqa: B023
        gap = largest_gap(value, expected_value)
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
