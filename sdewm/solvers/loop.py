"""The loop that applies a stepper. It works on tensors and on jets alike."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from functools import partial
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from sdewm import arguments
from sdewm.jets import Jet
from sdewm.jets.paths import evaluated_on
from sdewm.jets.written import as_written
from sdewm.noise.drawn import Drawn
from sdewm.noise.grid import TimeGrid
from sdewm.noise.increments import Increments, as_increments
from sdewm.solvers.base import NonFiniteState, Stepper
from sdewm.solvers.held_structure import HeldStructure
from sdewm.solvers.methods import Method, carrying_jets, stepper
from sdewm.solvers.registry import names, quoted, remedy, without_areas
from sdewm.solvers.rounding import warn_of_rounding
from sdewm.solvers.rows import Rows, difference
from sdewm.systems.checks import Probe, check_coefficients
from sdewm.systems.row_checks import changing
from sdewm.systems.sde import SDE, check_protocol
from sdewm.systems.user_functions import FROM_INSIDE, named


@runtime_checkable
class IncrementsWithAreas(Protocol):
    """Increments that come with Lévy areas, such as ``BrownianPath(...).at(level, finest=level)``.

    ``areas`` yields increments ``(paths, m)`` and areas ``(paths, m, m)``, step by step.
    """

    def areas(self) -> Iterator[tuple[Float[Tensor, "paths channels"], Float[Tensor, "paths channels channels"]]]: ...


@runtime_checkable
class IncrementsWithMomentAreas(Protocol):
    """Increments that come with areas that are right in the mean alone, as some estimates draw them.

    ``moment_areas`` yields increments ``(paths, m)`` and areas ``(paths, m, m)``, step by step.
    """

    def moment_areas(
        self,
    ) -> Iterator[tuple[Float[Tensor, "paths channels"], Float[Tensor, "paths channels channels"]]]: ...


@runtime_checkable
class IncrementsWithTimeAreas(Protocol):
    """Increments that come with integrals over time, as those of ``BrownianPath(...).at(level, finest=level)``.

    ``time_areas`` yields increments and the integrals of B(s) − B(t) over each step, both ``(paths, m)``.
    """

    def time_areas(self) -> Iterator[tuple[Float[Tensor, "paths channels"], Float[Tensor, "paths channels"]]]: ...


def trajectory(
    sde: SDE, x0: Float[Tensor, "*paths n"], grid: TimeGrid, *, method: Method, noise: Increments
) -> Iterator[tuple[int, Float[Tensor, ""], Float[Tensor, "paths n"]]]:
    """Yield (i, t_i, x_i) for i = 0..steps, holding one state at a time. ``x0`` is ``(n,)`` or ``(paths, n)``.

    Raises :class:`NonFiniteState` at the end of the grid if a state is not finite there, ``ValueError`` if the method
    needs Lévy areas and the noise has none, and :class:`~sdewm.solvers.held_structure.OtherStructure` where it
    meets states at which the noise has not the structure that the method found before the first step.
    """
    with named(f"sde: expected coefficients that have the derivatives that {method!r} takes"):
        chosen = stepper(method, sde).prepare(sde, x0, grid).begin()
    # A row of its own for each path: what torch.func's forward mode differentiates may not share memory.
    x = start = x0 if x0.ndim == 2 else x0.expand(noise.paths, *x0.shape).clone()
    t = torch.as_tensor(grid.t0, dtype=x0.dtype, device=x0.device)
    yield 0, t, x
    structure, held, rows = chosen.structure, None, None
    stream = torch.get_rng_state()
    for i, increment in enumerate(_increments(chosen, noise, method, x0)):
        if i == 0 and structure is not None:
            held = HeldStructure(structure, grid, increment[0])
        if i == 0 and chosen.begin() is chosen:  # a step that hands something on is not made twice
            rows = Rows(grid, increment[0])
        before, numbers = x, x.coefficients if isinstance(x, Jet) else x
        written = numbers._version
        try:
            if held is not None and i in held.steps:
                held.hold(sde, t, x)
            with evaluated_on(len(x)):
                x = chosen.step(sde, t, grid.dt, x, *increment)
            if rows is not None and i in rows.steps:
                rows.hold(partial(chosen.step, sde, t, grid.dt), before, increment, x)
        except FROM_INSIDE:
            with named(f"sde: expected coefficients that are defined at the states of step {i}, from t = {float(t):g}"):
                raise
        if numbers._version != written:
            raise ValueError(
                f"sde: expected the states that coefficients are given to be left alone, but at t = {float(t):g} one "
                "of them changed them in place"
            )
        t = torch.full((), grid.time(i + 1), dtype=x0.dtype, device=x0.device)  # in half the time of as_tensor
        if i + 1 == grid.steps:
            if not arguments.finite(x):
                # What is not finite stays so; only then is it worth walking again to see where it began.
                _locate(sde, start, grid, chosen, _increments(chosen, noise, method, x0))
            if not torch.equal(stream, torch.get_rng_state()):
                _hold_again(sde, start, grid, chosen, _increments(chosen, noise, method, x0), x)
        yield i + 1, t, x


def walk(
    sde: SDE,
    x0: Float[Tensor, "*paths n"],
    grid: TimeGrid,
    *,
    method: Method,
    noise: Increments | Float[Tensor, "steps paths channels"] | Drawn,
) -> Iterator[tuple[int, Float[Tensor, ""], Float[Tensor, "paths n"]]]:
    """:func:`trajectory`, its arguments checked at the call. For one walk along some paths; an estimate checks once and
    walks often."""
    x0 = arguments.state(x0, many=True)
    return trajectory(sde, x0, grid, method=method, noise=checked(sde, x0, grid, method=method, noise=noise))


def checked(
    sde: SDE,
    x0: Float[Tensor, "*paths n"],
    grid: TimeGrid,
    *,
    method: Method,
    noise: Increments | Float[Tensor, "steps paths channels"] | Drawn,
) -> Increments:
    """The increments of a walk, once its arguments have been held against each other."""
    probe = check_system(sde, x0, grid, method=method)
    if carries_jets(sde, x0, grid):
        carrying_jets(method, sde)
    if isinstance(noise, Drawn):
        noise = noise.on(grid, probe.channels, x0.value if isinstance(x0, Jet) else x0)
    increments = as_increments(noise)
    if increments.steps != grid.steps:
        raise ValueError(f"noise: expected {grid.steps} steps, as the grid has, got {increments.steps}")
    own = getattr(increments, "grid", grid)  # a tensor of increments has no times of its own
    if (own.t0, own.t1) != (grid.t0, grid.t1):
        raise ValueError(
            f"noise: expected a path from {grid.t0:g} to {grid.t1:g}, as the grid has, got one from {own.t0:g} to "
            f"{own.t1:g}"
        )
    if increments.channels != probe.channels:
        raise ValueError(f"noise: expected {probe.channels} channels, as the diffusion has, got {increments.channels}")
    if x0.ndim == 2 and len(x0) != increments.paths:
        raise ValueError(f"x0: expected {increments.paths} states, as the noise has paths, got {len(x0)}")
    return increments


def check_system(sde: SDE, x0: Float[Tensor, "*paths n"], grid: TimeGrid, *, method: Method) -> Probe:
    """Hold an SDE, a method and a grid against each other and against x0, before any work is done.

    Returns the states that coefficients were held against, and the number of noise channels; see
    :func:`sdewm.systems.checks.check_coefficients`.
    """
    check_protocol("sde", sde)
    arguments.instance("grid", grid, TimeGrid, "a TimeGrid(t0, t1, steps)")
    _warn_of_another_model(sde, grid, stepper(method, sde))
    _check_times(grid, x0.dtype)
    probe = check_coefficients(sde, x0, grid)
    with as_written():
        warn_of_rounding(sde, grid, probe)
    return probe


def _warn_of_another_model(sde: SDE, grid: TimeGrid, chosen: Stepper) -> None:
    """With leak·Δt = 1 a step replaces each block, and only the sequential one is the recurrent model's own."""
    model = getattr(sde, "base", sde)
    replaces = hasattr(model, "stages") and abs(getattr(model, "leak", 0.0) * grid.dt - 1) < 1e-9
    if replaces and not chosen.sequential:
        warnings.warn(
            f"method: {type(chosen).__name__} with leak·Δt = 1 updates all blocks from their old values, which is "
            "another model than the recurrent one that its coefficients come from; method="
            f"{quoted(names(lambda s: s.sequential))} takes that model's own step, and a finer grid approximates the "
            "SDE",
            UserWarning,
            stacklevel=5,
        )


def _check_times(grid: TimeGrid, dtype: torch.dtype) -> None:
    """Coefficients get the time in x0's dtype, where steps may be too small to be told apart."""
    rounding = torch.finfo(dtype).eps * max(abs(grid.t0), abs(grid.t1)) / 2
    if rounding > grid.dt / 8:
        raise ValueError(
            f"grid: expected steps that {dtype} tells apart at t = {max(grid.t0, grid.t1, key=abs):g}, got Δt = "
            f"{grid.dt:.3g}, where times round to {2 * rounding:.3g}. Count time from the start, or give x0 in float64"
        )


def carries_jets(sde: SDE, x0: Float[Tensor, "*paths n"], grid: TimeGrid) -> bool:
    if isinstance(x0, Jet):
        return True
    x = x0[:1] if x0.ndim == 2 else x0.unsqueeze(0)
    with as_written():  # a batch of one is none that a solve has
        return isinstance(sde.f(torch.as_tensor(grid.t0, dtype=x0.dtype, device=x0.device), x), Jet)


def _increments(chosen: Stepper, noise: Increments, method: Method, like: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """What a step takes of the noise: the increments, in the precision of x0, and the areas where it needs them."""
    dtype, device = like.dtype, like.device
    if chosen.needs_time_areas:
        if not isinstance(noise, IncrementsWithTimeAreas):
            raise ValueError(
                f"noise: {method!r} needs integrals of the noise over time, and {type(noise).__name__} has none. On a "
                "grid of 2^level steps paths and seed draw a noise that has them, as has "
                "sdewm.BrownianPath(seed, paths, m, t0, t1).at(level, finest=level)."
            )
        return ((dB.to(device, dtype), area.to(device, dtype)) for dB, area in noise.time_areas())
    if not chosen.needs_areas:
        return ((dB.to(device, dtype),) for dB in noise)
    if chosen.moments_suffice and isinstance(noise, IncrementsWithMomentAreas):
        return ((dB.to(device, dtype), area.to(device, dtype)) for dB, area in noise.moment_areas())
    if not isinstance(noise, IncrementsWithAreas):
        raise ValueError(
            f"noise: {method!r} needs Lévy areas, as the diffusion vectors do not commute, and {type(noise).__name__} "
            "has none. On a grid of 2^level steps paths and seed draw a noise that has them, as has "
            "sdewm.BrownianPath(seed, paths, m, t0, t1).at(level, finest=level); for an estimate, take "
            "sampler=sdewm.BrownianSampler(paths, seed); or use a method without areas: "
            f"{quoted(without_areas('ito'))} for Itô, {quoted(without_areas('stratonovich'))} for Stratonovich SDEs."
        )
    structure, drawn = chosen.structure, getattr(noise, "pairs", None)
    if structure is not None and drawn is not None and bool((structure.pairs & ~drawn.cpu()).any()):
        needed, there = (torch.triu(mask).nonzero().tolist() for mask in (structure.pairs, drawn))
        raise ValueError(f"pairs: expected areas of the pairs that do not commute, {needed}, got those of {there}")
    return ((dB.to(device, dtype), area.to(device, dtype)) for dB, area in noise.areas())


def _hold_again(
    sde: SDE, x: Tensor, grid: TimeGrid, chosen: Stepper, increments: Iterator[tuple[Tensor, ...]], end: Tensor
) -> None:
    """Walk once more, as somebody has drawn random numbers of the process: perhaps a coefficient, perhaps not."""
    chosen = chosen.begin()
    with torch.no_grad():
        for i, increment in enumerate(increments):
            t = torch.as_tensor(grid.time(i), dtype=x.dtype, device=x.device)
            x = chosen.step(sde, t, grid.dt, x, *increment)
        gap = difference(x, end)
    if gap:
        raise changing("sde", gap)


def _locate(sde: SDE, x: Tensor, grid: TimeGrid, chosen: Stepper, increments: Iterator[tuple[Tensor, ...]]) -> None:
    chosen = chosen.begin()
    for i, increment in enumerate(increments):
        t = torch.as_tensor(grid.time(i), dtype=x.dtype, device=x.device)
        x = chosen.step(sde, t, grid.dt, x, *increment)
        values = x.coefficients if isinstance(x, Jet) else x.unsqueeze(0)
        bad = ~torch.isfinite(values).all(0)
        if bool(bad.any()):
            component = int(bad.any(0).nonzero()[0])
            paths = int(bad.any(1).sum())
            raise NonFiniteState(grid.time(i + 1), component, paths, len(bad), remedy(sde, chosen))
