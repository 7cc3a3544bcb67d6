"""The loop that applies a stepper. It works on tensors and on jets alike."""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Literal, Protocol, runtime_checkable

import torch
from torch import Tensor

from sdewm import arguments
from sdewm.jets import Jet
from sdewm.jets.written import as_written
from sdewm.noise.drawn import Drawn, given_or_drawn
from sdewm.noise.grid import TimeGrid
from sdewm.noise.increments import Increments, as_increments
from sdewm.solvers.base import NonFiniteState, Stepper
from sdewm.solvers.methods import Method, carrying_jets, stepper
from sdewm.solvers.registry import lists_methods, names, quoted, without_areas
from sdewm.solvers.structure import Audit
from sdewm.systems.checks import Probe, check_coefficients, named
from sdewm.systems.sde import SDE, check_protocol


@runtime_checkable
class IncrementsWithAreas(Protocol):
    """Increments that come with Lévy areas, such as ``BrownianPath(...).at(level, finest=level)``.

    ``areas`` yields increments ``(paths, m)`` and areas ``(paths, m, m)``, step by step.
    """

    def areas(self) -> Iterator[tuple[Tensor, Tensor]]: ...


@runtime_checkable
class IncrementsWithTimeAreas(Protocol):
    """Increments that come with integrals over time, as those of ``BrownianPath(...).at(level, finest=level)``.

    ``time_areas`` yields increments and the integrals of B(s) − B(t) over each step, both ``(paths, m)``.
    """

    def time_areas(self) -> Iterator[tuple[Tensor, Tensor]]: ...


def trajectory(
    sde: SDE, x0: Tensor, grid: TimeGrid, method: Method, noise: Increments
) -> Iterator[tuple[int, Tensor, Tensor]]:
    """Yield (i, t_i, x_i) for i = 0..steps, holding one state at a time. ``x0`` is ``(n,)`` or ``(paths, n)``.

    Raises :class:`NonFiniteState` at the end of the grid if a state is not finite there, ``ValueError`` if the method
    needs Lévy areas and the noise has none, and :class:`~sdewm.solvers.structure.OtherStructure` where it
    meets states at which the noise has not the structure that the method found before the first step.
    """
    with named(f"sde: expected coefficients that have the derivatives that {method!r} takes"):
        chosen = stepper(method, sde).prepare(sde, x0, grid).begin()
    # A row of its own for each path: what torch.func's forward mode differentiates may not share memory.
    x = start = x0 if x0.ndim == 2 else x0.expand(noise.paths, *x0.shape).clone()
    t = torch.as_tensor(grid.t0, dtype=x0.dtype, device=x0.device)
    yield 0, t, x
    structure, audit = chosen.structure, None
    for i, increment in enumerate(_increments(chosen, noise, method, x0)):
        if i == 0 and structure is not None:
            audit = Audit(structure, grid, increment[0])
        with named(f"sde: expected coefficients that are defined at the states of step {i}, from t = {float(t):g}"):
            if audit is not None and i in audit.steps:
                audit.hold(sde, t, x)
            x = chosen.step(sde, t, grid.dt, x, *increment)
        t = torch.as_tensor(grid.time(i + 1), dtype=x0.dtype, device=x0.device)
        if i + 1 == grid.steps and not arguments.finite(x):
            # What is not finite stays so; only then is it worth walking again to see where it began.
            _locate(sde, start, grid, chosen, _increments(chosen, noise, method, x0))
        yield i + 1, t, x


@lists_methods
def solve(
    sde: SDE,
    x0: Tensor,
    grid: TimeGrid,
    *,
    method: Method = "euler",
    paths: int | None = None,
    seed: int = 0,
    noise: Increments | Tensor | Drawn | None = None,
    save: Literal["final", "path"] | Callable[[Tensor, Tensor], Tensor] = "final",
) -> Tensor:
    """Integrate an SDE.

    Parameters
    ----------
    sde : see :mod:`sdewm.systems.sde`; ``PerturbedSDE.at(eps)`` is one.
    x0 : one state ``(n,)``, or one for each path ``(paths, n)``: a tensor, a jet, or what numpy makes an array of.
        Floating-point tensors and arrays keep their dtype, in which everything is computed; lists and whole numbers
        become float64.
    grid : the time grid.
    method : a :class:`Stepper`, or one of these names:

        {methods}
    paths, seed : how many Brownian paths are drawn, and the integer that determines them. On grids of 2^k steps they
        are the same paths for every k, those of ``BrownianPath(seed, paths, m, t0, t1)``, and have Lévy areas where the
        method takes them.
    noise : in place of ``paths``, Brownian increments ``(steps, paths, m)`` or an :class:`~sdewm.noise.Increments`,
        which are converted to the dtype of x0. A method that needs Lévy areas where the diffusion vectors do not
        commute takes them from ``BrownianPath(seed, paths, m, t0, t1).at(level, finest=level)``.
    save : "final" gives ``(paths, n)``; "path" ``(steps + 1, paths, n)``; a function of (t, x) is called at every
        time and its results stacked.

    Raises
    ------
    ValueError : names the argument whose shape or value is wrong, before any step is made; the method, if it is not
        meant for the SDE's calculus; the noise, if it lacks the areas that the method needs.
    NonFiniteState : names the time and the component.
    OtherStructure : a ``ValueError``; the noise is not what the method took it to be before the first step.

    >>> gbm = FunctionSDE(lambda t, x: 0.1 * x, lambda t, x: 0.3 * x)
    >>> grid = TimeGrid(0.0, 1.0, 100)
    >>> x = solve(gbm, torch.ones(1), grid, paths=5000, seed=0)
    >>> y = solve(gbm, torch.ones(1), grid, noise=torch.randn(100, 5000, 1) * grid.dt**0.5)
    """
    if not callable(save) and not (isinstance(save, str) and save in ("final", "path")):
        raise ValueError(f'save: expected "final", "path" or a function of (t, x), got {save!r}')
    x0 = arguments.state(x0, many=True)
    steps = walk(sde, x0, grid, method, given_or_drawn(noise, paths, seed))
    eager = stepper(method, sde).differentiates or _carries_jets(sde, x0, grid)
    # Compiled code sees neither a jet's coefficients nor its right tangents; the modules behind it do.
    with as_written() if eager else nullcontext():
        if isinstance(save, str) and save == "final":
            [(_, _, final)] = deque(steps, maxlen=1)
            return final
        if isinstance(save, str):
            return torch.stack([x for _, _, x in steps])
        saved = [_saved(save, t, x) for _, t, x in steps]
        shapes = list(dict.fromkeys(tuple(y.shape) for y in saved))
        if len(shapes) > 1:
            raise ValueError(f"save: expected a tensor of one shape at every time, got {shapes[0]} and {shapes[1]}")
        return torch.stack(saved)


def walk(
    sde: SDE, x0: Tensor, grid: TimeGrid, method: Method, noise: Increments | Tensor | Drawn
) -> Iterator[tuple[int, Tensor, Tensor]]:
    """:func:`trajectory`, its arguments checked at the call. For one walk along some paths; an estimate checks once and
    walks often."""
    probe = check_system(sde, x0, grid, method)
    if _carries_jets(sde, x0, grid):
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
    return trajectory(sde, x0, grid, method, increments)


def check_system(sde: SDE, x0: Tensor, grid: TimeGrid, method: Method) -> Probe:
    """Hold an SDE, a method and a grid against each other and against x0, before any work is done.

    Returns the states that coefficients were held against, and the number of noise channels; see
    :func:`sdewm.systems.checks.check_coefficients`.
    """
    check_protocol("sde", sde)
    arguments.instance("grid", grid, TimeGrid, "a TimeGrid(t0, t1, steps)")
    _warn_of_another_model(sde, grid, stepper(method, sde))
    _check_times(grid, x0.dtype)
    return check_coefficients(sde, x0, grid)


def _saved(save: Callable[[Tensor, Tensor], Tensor], t: Tensor, x: Tensor) -> Tensor:
    with named("save: expected a function of (t, x)"):
        # Copies, since what it writes into would be walked on, and drawn on at the next time.
        return arguments.instance("save", save(t.clone(), x.clone()), Tensor, "a function that returns a tensor")


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


def _carries_jets(sde: SDE, x0: Tensor, grid: TimeGrid) -> bool:
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


def _locate(sde: SDE, x: Tensor, grid: TimeGrid, chosen: Stepper, increments: Iterator[tuple[Tensor, ...]]) -> None:
    chosen = chosen.begin()
    for i, increment in enumerate(increments):
        t = torch.as_tensor(grid.time(i), dtype=x.dtype, device=x.device)
        x = chosen.step(sde, t, grid.dt, x, *increment)
        values = x.coefficients if isinstance(x, Jet) else x.unsqueeze(0)
        bad = ~torch.isfinite(values).all(0)
        if bool(bad.any()):
            component = int(bad.any(0).nonzero()[0])
            raise NonFiniteState(grid.time(i + 1), component, int(bad.any(1).sum()), len(bad))
