"""A step of paths as a program, and walks with it."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sdewm.kernels.finite import watch
from sdewm.kernels.lowering import lower
from sdewm.kernels.machine import LANES, machine
from sdewm.kernels.program import Builder, assemble

Step = Callable[[Tensor, Tensor, Tensor], Tensor]  # (state (k, 1, n), increment (1, m), time) -> state


class CompiledStep:
    """A step ``(x, dB, t) -> x`` of a stack of coefficients ``(k, paths, n)``, for walks of many paths.

    It is traced on one path: what it does to one may not depend on another. Weights (``torch.nn.Parameter``) are read
    when a walk begins, all else as it was when the step was traced. A path whose states plain torch may have otherwise,
    since something is not finite or a zero has lost its sign, has states that are not finite from there on.

    Raises :class:`~sdewm.kernels.lowering.NotLowered` where the step has an operation that the machine lacks, whatever
    tracing raises where it cannot be traced, and :class:`~sdewm.kernels.compiler.NoCompiler`.
    """

    def __init__(self, step: Step, start: Tensor, channels: int) -> None:
        self.library = machine(start.dtype)
        k, _, n = start.shape
        self.shape, self.channels, self.dtype, self._step = (k, n), channels, start.dtype, step
        rows = k * n
        example = (start, torch.full((1, channels), 0.01).to(start), torch.zeros(()).to(start))
        builder, new, self.weights = self._traced(example)
        self._traces = _written(builder, new, self.weights)
        watched = watch(builder, new, n, before=rows + channels + 1)
        self.rows = rows + (watched is not None)  # the watched row is the last of the state's
        # The state, its new value, the noise and the time, in the order that the machine has them.
        places = [*range(rows), *range(2 * self.rows, 2 * self.rows + channels + 1), rows]
        new += [] if watched is None else [watched]
        self.program = assemble(builder, new, places, 2 * self.rows + channels + 1)
        # Which scalars are read from which elements of all weights together.
        first = np.cumsum([0, *(w.numel() for w in self.weights)])
        read = [(i, first[s[0]] + s[1]) for i, s in enumerate(self.program.scalars) if not isinstance(s, float)]
        self._into, self._from = np.array(read, dtype=np.int64).reshape(-1, 2).T

    def _traced(self, example: Sequence[Tensor]) -> tuple[Builder, list[int], list[Tensor]]:
        """The step's rows, those of the result, and its weights. There is one input more: the row that is watched."""
        rows, m = self.shape[0] * self.shape[1], self.channels
        numbers = torch.arange(rows + m + 1)
        inputs = (
            numbers[:rows].reshape(self.shape[0], 1, -1), numbers[rows : rows + m].reshape(1, m), numbers[-1].clone(),
        )  # fmt: skip
        builder = Builder(rows + m + 2)
        result, weights = lower(self._step, example, inputs, builder)
        return builder, result.flatten().tolist(), weights

    def same_at(self, state: Tensor, dB: Tensor, t: Tensor) -> bool:
        """Whether the step is the same program when it is traced again: at a state ``(k, 1, n)``, and at another time.

        It is not where the step keeps something from one call to the next, as a count of its calls, or took a number
        of the state or the time that no operation of torch's has shown.
        """
        return _written(*self._traced((state, dB, t))) == self._traces

    def walk(self, start: Tensor, noise: Tensor, times: Sequence[float], kept: Sequence[int]) -> Tensor:
        """States ``(len(kept), k, paths, n)`` after these rising numbers of steps.

        ``start`` is ``(k, 1, n)`` or ``(k, paths, n)``; ``noise`` ``(steps, paths, m)``; ``times`` when each step
        begins. Paths are shared out among torch's threads.
        """
        k, n = self.shape
        states, rows = k * n, self.rows
        steps, paths, m = noise.shape
        real = np.float64 if self.dtype == torch.float64 else np.float32
        begin = np.ascontiguousarray(start.detach().permute(0, 2, 1).reshape(states, -1).numpy(), dtype=real)
        if rows > states:
            begin = np.concatenate([begin, np.where(np.isfinite(begin).all(0), 0, math.nan)[None].astype(real)])
        dB = np.ascontiguousarray(noise.detach().numpy(), dtype=real)
        out = np.empty((len(kept), rows, paths), dtype=real)
        scalars = np.array([s if isinstance(s, float) else 0.0 for s in self.program.scalars], dtype=real)
        if self.weights:
            scalars[self._into] = torch.cat([w.detach().flatten() for w in self.weights]).numpy()[self._from]
        when, saved = np.array(times, dtype=real), np.array(kept, dtype=np.int32)
        p = self.program

        def part(first: int, last: int) -> None:
            registers = _aligned(p.registers * LANES, real)
            self.library.walk(
                _at(p.before), len(p.before), _at(p.body), len(p.body), _at(p.table), _at(scalars), _at(registers),
                rows, _at(p.result), m, _at(begin), int(begin.shape[1] == 1), _at(dB), ctypes.c_long(paths),
                ctypes.c_long(first), ctypes.c_long(last), steps, _at(when), _at(saved), len(kept), _at(out),
            )  # fmt: skip

        threads = max(1, min(torch.get_num_threads(), paths // (4 * LANES)))
        edges = [paths * i // threads // LANES * LANES for i in range(threads)] + [paths]
        if threads == 1:
            part(0, paths)
        else:
            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(part, edges[:-1], edges[1:]))
        if rows > states and (wrong := ~np.isfinite(out[:, states])).any():
            np.copyto(out[:, :states], math.nan, where=wrong[:, None])
        if not np.isfinite(scalars[self._into]).all():
            out.fill(math.nan)  # products of such weights with 0 have been left out
        return torch.from_numpy(out[:, :states]).reshape(len(kept), k, n, paths).permute(0, 1, 3, 2)


def _written(builder: Builder, result: list[int], weights: list[Tensor]) -> tuple[object, ...]:
    """All that a trace has, to be held against another; numbers as they are written, −0.0 and what is none included."""
    return tuple(builder.terms), tuple(map(repr, builder.scalars)), tuple(result), tuple(map(id, weights))


def _aligned(size: int, real: Any) -> np.ndarray[Any, Any]:
    """Zeros at an address that is a multiple of 64."""
    width = np.dtype(real).itemsize
    raw = np.zeros(size * width + 64, dtype=np.uint8)
    offset = -raw.ctypes.data % 64
    return raw[offset : offset + size * width].view(real)


def _at(array: np.ndarray[Any, Any]) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)
