"""What is put in place of an argument: numbers of every kind, objects that are none, states of every shape."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

F64 = torch.float64
NUMBERS: list[Any] = [
    100.5, "7", True, False, -1, 0, None, math.nan, math.inf, 1e308, [3], (1, 2), {}, 1j, b"1", np.bool_(True),
    np.int64(32), np.float64(0.5), np.float32(0.25), np.array(16), np.array([1.0, 2.0]), torch.tensor(16),
    torch.tensor(0.5), torch.tensor([1.0, 2.0]), torch.tensor(True), object(), 2**70, 0.5, 2, 3, 64, "euler",
]  # fmt: skip
OBJECTS: list[Any] = [None, 1.0, "rqmc", [], {}, object(), lambda *a: None, np.zeros(2), torch.zeros(2), True, int]
STATES: list[Any] = [
    None, 1.0, 3, "x", True, [], [[]], [1, 2], (0.5, 0.1), [0.3], [[0.1, 0.2]] * 5, ["a"], [None], [1, [2]], {}, 1j,
    np.array([0.5, 0.1]), np.array([1, 2]), np.array([True, False]), np.array(["a"]), np.array([0.5, 0.1], np.float16),
    np.array([1j, 2]), np.array(0.5), np.array([[0.5, 0.1]] * 5), np.array([math.nan, 1.0]), np.zeros((2, 2, 2)),
    torch.tensor([1, 2]), torch.tensor([True, False]), torch.tensor([0.5, 0.1]), torch.tensor(0.5), torch.zeros(0),
    torch.zeros(5, 2, dtype=F64), torch.zeros(4, 2), torch.zeros(1, 2, 3), torch.tensor([math.inf, 0.0]),
    torch.tensor([1e300, 1e300], dtype=F64), torch.tensor([0.5, 0.1], requires_grad=True), torch.zeros(3, dtype=F64),
    torch.tensor([0.5, 0.1], dtype=torch.complex128), [torch.tensor(0.5), 0.1], range(2), object(),
]  # fmt: skip
# Numbers of steps, paths or neurons: of those above no gigantic ones, which are answers that take too long.
COUNTS: list[Any] = [value for value in NUMBERS if not (type(value) is int and value > 100)]
