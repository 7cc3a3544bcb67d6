"""A step of paths as a program, and walks with it."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sdewm.kernels.lowering import lower
from sdewm.kernels.machine import LANES, machine
from sdewm.kernels.program import Builder, assemble

Step = Callable[[Tensor, Tensor, Tensor], Tensor]  # (state (k, 1, n), increment (1, m), time) -> state


class CompiledStep:
    """A step ``(x, dB, t) -> x`` of a stack of coefficients ``(k, paths, n)``, for walks of many paths.

    It is traced on one path: what it does to one may not depend on another. Weights (``torch.nn.Parameter``) are read
    when a walk begins, all else as it was when the step was traced.

    Raises :class:`~sdewm.kernels.lowering.NotLowered` where the step has an operation that the machine lacks, whatever
    tracing raises where it cannot be traced, and :class:`~sdewm.kernels.machine.NoCompiler`.
    """

    def __init__(self, step: Step, start: Tensor, channels: int) -> None:
        self.library = machine(start.dtype)
        k, _, n = start.shape
        self.shape, self.channels, self.dtype = (k, n), channels, start.dtype
        rows = k * n
        example = (start, torch.full((1, channels), 0.01).to(start), torch.zeros(()).to(start))
        numbers = torch.arange(rows + channels + 1)
        inputs = (
            numbers[:rows].reshape(k, 1, n), numbers[rows : rows + channels].reshape(1, channels), numbers[-1].clone(),
        )  # fmt: skip
        builder = Builder(rows + channels + 1)
        result, self.weights = lower(step, example, inputs, builder)
        # The state, its new value, the noise and the time, in the order that the machine has them.
        places = [*range(rows), *range(2 * rows, 2 * rows + channels + 1)]
        self.program = assemble(builder, result.flatten().tolist(), places, 2 * rows + channels + 1)
        # Which scalars are read from which elements of all weights together.
        first = np.cumsum([0, *(w.numel() for w in self.weights)])
        read = [(i, first[s[0]] + s[1]) for i, s in enumerate(self.program.scalars) if not isinstance(s, float)]
        self._into, self._from = np.array(read, dtype=np.int64).reshape(-1, 2).T

    def walk(self, start: Tensor, noise: Tensor, times: Sequence[float], kept: Sequence[int]) -> Tensor:
        """States ``(len(kept), k, paths, n)`` after these rising numbers of steps.

        ``start`` is ``(k, 1, n)`` or ``(k, paths, n)``; ``noise`` ``(steps, paths, m)``; ``times`` when each step
        begins. Paths are shared out among torch's threads.
        """
        k, n = self.shape
        steps, paths, m = noise.shape
        real = np.float64 if self.dtype == torch.float64 else np.float32
        begin = np.ascontiguousarray(start.detach().permute(0, 2, 1).reshape(k * n, -1).numpy(), dtype=real)
        dB = np.ascontiguousarray(noise.detach().numpy(), dtype=real)
        out = np.empty((len(kept), k * n, paths), dtype=real)
        scalars = np.array([s if isinstance(s, float) else 0.0 for s in self.program.scalars], dtype=real)
        if self.weights:
            scalars[self._into] = torch.cat([w.detach().flatten() for w in self.weights]).numpy()[self._from]
        when, saved = np.array(times, dtype=real), np.array(kept, dtype=np.int32)
        p = self.program

        def part(first: int, last: int) -> None:
            registers = _aligned(p.registers * LANES, real)
            self.library.walk(
                _at(p.before), len(p.before), _at(p.body), len(p.body), _at(p.table), _at(scalars), _at(registers),
                k * n, _at(p.result), m, _at(begin), int(begin.shape[1] == 1), _at(dB), ctypes.c_long(paths),
                ctypes.c_long(first), ctypes.c_long(last), steps, _at(when), _at(saved), len(kept), _at(out),
            )  # fmt: skip

        threads = max(1, min(torch.get_num_threads(), paths // (4 * LANES)))
        edges = [paths * i // threads // LANES * LANES for i in range(threads)] + [paths]
        if threads == 1:
            part(0, paths)
        else:
            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(part, edges[:-1], edges[1:]))
        return torch.from_numpy(out).reshape(len(kept), k, n, paths).permute(0, 1, 3, 2)


def _aligned(size: int, real: Any) -> np.ndarray[Any, Any]:
    """Zeros at an address that is a multiple of 64."""
    width = np.dtype(real).itemsize
    raw = np.zeros(size * width + 64, dtype=np.uint8)
    offset = -raw.ctypes.data % 64
    return raw[offset : offset + size * width].view(real)


def _at(array: np.ndarray[Any, Any]) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)
