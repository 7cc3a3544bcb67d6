"""Walks of one SDE along one block of noise after another, compiled where that pays."""

from __future__ import annotations

import itertools
import threading
import warnings
from collections.abc import Collection, Iterator, Sequence
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from sdewm import arguments
from sdewm.jets import Jet, JetSpace, NonSmoothWarning, nonsmooth_met
from sdewm.jets.edges import nearly_met
from sdewm.jets.jet import constant
from sdewm.jets.written import as_written
from sdewm.kernels import CompiledStep, NoCompiler, NotLowered
from sdewm.noise.grid import TimeGrid
from sdewm.noise.increments import Increments, StoredIncrements
from sdewm.solvers.loop import trajectory
from sdewm.solvers.memory import remembered
from sdewm.solvers.methods import Method, stepper
from sdewm.systems.sde import SDE

Compile = bool | Literal["auto"]

CHECKED = 2048  # paths of the first block that are walked by both, compiled and not
STRETCH = 2**25  # bytes of increments that are handed over at a time, and of states that are handed back
# Coefficients × steps × paths from which tracing, a second or a few, is a small part of what it saves.
WORTH = 2**25


class NotCompiled(UserWarning):
    """A walk was asked to be compiled and was not; the message says why. Its numbers are those of plain torch."""


def pays(compile: Compile, paths: int, grid: TimeGrid, coefficients: int) -> bool:
    """Whether to compile: as asked, and with "auto" where the work is large."""
    if isinstance(compile, str):
        arguments.choice("compile", compile, ("auto",))
        return paths * grid.steps * coefficients >= WORTH
    if not isinstance(compile, bool):
        raise ValueError(f"compile: expected True, False or 'auto', got {arguments.shown(compile)}")
    return compile


class Walks:
    """The states of an SDE after some steps of a grid, for any block of noise.

    Parameters
    ----------
    sde, x0, grid, method : as for :func:`sdewm.solvers.loop.trajectory`; what is wrong with them is said there.
    at : the steps after which states are asked for.
    held : how many steps of the grid are walked by both; by default all.
    compile : whether to walk by a compiled step. The first block, up to some 2,000 paths of it, is walked by the plain
        one too, which looks for kinks along its paths, and whose states the compiled one has to give, in every
        coefficient to half of the digits. Where it does not, or cannot be made, or where those paths come so near to a
        kink that others may reach it, the plain step is taken: with ``loud`` :class:`NotCompiled` says why.

    Calling it with increments yields (i, t_i, x_i) for each of ``at``, in order. May be called from several threads.
    """

    def __init__(
        self,
        sde: SDE,
        x0: Float[Tensor, "*paths n"],
        grid: TimeGrid,
        method: Method,
        at: Collection[int],
        *,
        compile: bool,
        loud: bool,
        held: int | None = None,
    ) -> None:
        self.sde, self.x0, self.grid, self.method, self.loud = sde, x0, grid, method, loud
        self.at = sorted(set(at))
        self.held = grid.steps if held is None else min(held, grid.steps)
        self._made: _Made | None = None
        self._plain = not compile
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        """Another process compiles for itself."""
        return {**self.__dict__, "_made": None, "_lock": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__ |= state
        self._lock = threading.Lock()

    def __call__(self, noise: Increments) -> Iterator[tuple[int, Float[Tensor, ""], Float[Tensor, "paths n"]]]:
        with self._lock:
            if not self._plain and self._made is None:
                try:
                    self._made = self._compiled(noise)
                except _Unfit as reason:
                    self._plain = True
                    if self.loud:
                        message = f"compile: these walks are made by plain torch: {reason}"
                        warnings.warn(message, NotCompiled, stacklevel=2)
        if self._made is None:
            return self._walked(noise)
        return self._along(self._made, noise)

    def _walked(self, noise: Increments) -> Iterator[tuple[int, Tensor, Tensor]]:
        wanted = set(self.at)
        for i, t, x in trajectory(self.sde, self.x0, self.grid, method=self.method, noise=noise):
            if i in wanted:
                yield i, t, x

    def _along(self, made: _Made, noise: Increments) -> Iterator[tuple[int, Tensor, Tensor]]:
        for i, state in zip(self.at, made.states(self.x0, self.grid, noise, self.at), strict=True):
            if not arguments.finite(state):
                # Says where it leaves the numbers.
                yield from (found for found in self._walked(noise) if found[0] >= i)
                return
            x = Jet(state, made.space) if made.space is not None and i > 0 else state[0]
            yield i, torch.as_tensor(self.grid.time(i), dtype=self.x0.dtype), x

    def _compiled(self, noise: Increments) -> _Made:
        x0 = self.x0
        if type(x0) is not Tensor or x0.device.type != "cpu" or x0.dtype not in (torch.float64, torch.float32):
            raise _Unfit("the initial state is not a plain tensor of float64 or float32 on the CPU")
        chosen = stepper(self.method, self.sde).prepare(self.sde, x0, self.grid)
        if chosen.structure is not None or chosen.needs_time_areas or chosen.begin() is not chosen:
            raise _Unfit(f"steps of {self.method!r} look at more than the state, the time and the increment")
        one = (x0[:1] if x0.ndim == 2 else x0.unsqueeze(0)).detach()
        kept = []
        try:
            for _ in range(2):  # the first may fill caches
                after = chosen.step(
                    self.sde, one.new_tensor(self.grid.t0), self.grid.dt, one, one.new_zeros(1, noise.channels)
                )
                kept.append(remembered(self.sde))
        except Exception as error:
            raise _Unfit(f"the step cannot be made with one path: {_first_line(error)}") from error
        if changed := sorted(name for name in kept[0].keys() | kept[1] if kept[0].get(name) != kept[1].get(name)):
            raise _Unfit(f"calls of the coefficients change {', '.join(changed)}, which no compiled step would")
        if after.requires_grad or x0.requires_grad:
            raise _Unfit("gradients are asked for")
        space = after.space if isinstance(after, Jet) else None

        def step(state: Tensor, dB: Tensor, t: Tensor) -> Tensor:
            x = state[0] if space is None else Jet(state, space)
            y = chosen.step(self.sde, t, self.grid.dt, x, dB)
            return y.coefficients if isinstance(y, Jet) else y.unsqueeze(0)

        example = one.unsqueeze(0) if space is None else constant(one, space).coefficients
        try:
            with as_written(), warnings.catch_warnings():
                warnings.simplefilter("ignore", NonSmoothWarning)  # the plain walk has said so
                made = _Made(CompiledStep(step, example, noise.channels), space)
        except (NotLowered, NoCompiler) as error:
            raise _Unfit(str(error)) from error
        except Exception as error:  # tracing runs what the user wrote, and may end in anything
            raise _Unfit(f"the step cannot be traced: {_first_line(error)}") from error
        few, start, grid = self._few(noise)
        at = [i for i in self.at if i <= grid.steps] or [grid.steps]
        plain = (step for step in trajectory(self.sde, start, grid, method=self.method, noise=few) if step[0] in at)
        with nonsmooth_met() as said, nearly_met() as nearly:
            for (i, _, x), state in zip(plain, made.states(start, grid, few, at), strict=True):
                whole = x.coefficients if isinstance(x, Jet) else x.unsqueeze(0)
                for row, truth in zip(state, whole, strict=False):
                    if not arguments.finite(row):
                        raise _Unfit(f"states, or factors and divisors of theirs, are not finite after {i} steps")
                    if not bool(((row - truth).abs().amax(0) <= _tolerance(truth)).all()):
                        raise _Unfit(f"the compiled step gives other states than the plain one after {i} steps")
        if nearly - said:
            names = ", ".join(sorted(nearly - said))
            raise _Unfit(f"paths come near an edge of {names}, and plain walks look whether any reaches it")
        # Again, after many calls, and at a state, an increment and a time that a path has met.
        [*_, last] = few
        where = (whole[:, :1] if len(whole) == len(example) else example, last[:1].to(x0.dtype), x0.new_tensor(grid.t1))
        try:
            with as_written(), warnings.catch_warnings():
                warnings.simplefilter("ignore", NonSmoothWarning)
                same = made.step.same_at(*where)
        except Exception as error:
            raise _Unfit(f"the step cannot be traced again: {_first_line(error)}") from error
        if not same:
            raise _Unfit("the step is another one when it is made again, so that it is no function of (t, x)")
        return made

    def _few(self, noise: Increments) -> tuple[Increments, Tensor, TimeGrid]:
        """The first paths of a block and their starts, and the first steps of the grid."""
        grid = self.grid
        paths = max(32, min(CHECKED, STRETCH // (self.held * noise.channels * self.x0.element_size())))
        if paths >= noise.paths and self.held == grid.steps:
            return noise, self.x0, grid
        values = torch.stack([dB[:paths] for dB in itertools.islice(noise, self.held)])
        start = self.x0[:paths] if self.x0.ndim == 2 else self.x0
        return StoredIncrements(values), start, TimeGrid(grid.t0, grid.time(self.held), self.held)


def _tolerance(truth: Tensor) -> Tensor:
    """How far states ``(paths, n)`` may be off, ``(n,)``: half of the digits of each component.

    What cancels to next to nothing has the rounding of what it is made of, which is of any component's size.
    """
    sizes, eps = truth.abs().amax(0), torch.finfo(truth.dtype).eps
    return eps**0.5 * sizes + 1e3 * eps * sizes.max()


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else repr(error)


class _Unfit(Exception):
    """Why a walk cannot be compiled."""


class _Made:
    """A compiled step, and the space of its coefficients."""

    def __init__(self, step: CompiledStep, space: JetSpace | None) -> None:
        self.step, self.space = step, space

    def states(self, x0: Tensor, grid: TimeGrid, noise: Increments, at: Sequence[int]) -> Iterator[Tensor]:
        """``(k, paths, n)`` after each of these rising numbers of steps; noise and states in stretches of time."""
        start = x0.detach().unsqueeze(0) if x0.ndim == 2 else x0.detach().expand(1, 1, -1)
        if self.space is not None:
            start = constant(start[0], self.space).coefficients
        numbers = max(noise.channels, start.shape[0] * start.shape[2] if len(at) > 1 else 1)
        width = max(1, STRETCH // (noise.paths * numbers * x0.element_size()))
        increments, done = iter(noise), 0
        if 0 in at:
            yield start.expand(-1, noise.paths, -1)
        while part := list(itertools.islice(increments, width)):
            times = [grid.time(done + i) for i in range(len(part))]
            kept = [i - done for i in at if done < i <= done + len(part)]
            ends = kept if kept and kept[-1] == len(part) else [*kept, len(part)]
            states = self.step.walk(start, torch.stack(part).to(x0.dtype), times, ends)
            yield from states[: len(kept)]
            start, done = states[-1], done + len(part)
            if done >= at[-1]:
                break
