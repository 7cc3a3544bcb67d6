"""The class F_CNN of Section 3.1: one-dimensional convolutions as Toeplitz matrices, ReLU, downsampling.

The paper leaves the size d_i of a layer open; here a convolution with s + 1 weights takes d numbers to d + s, all that
the filter reaches. L is the number of operators; S and W, which the paper does not define, are read as the longest
filter and the number of parameters.

As printed, every operator is a convolution with ReLU or a downsampling, so that :class:`CNN` without ``readout`` is the
printed class; with an affine ``readout`` its values can be negative and vectors.

>>> net = CNN([Convolution(3, [1.0, -1.0]), Downsampling(4, 2)])
>>> net(torch.tensor([[1.0, 3.0, 2.0]], dtype=torch.float64)).tolist()
[[2.0, 0.0]]
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Float, Float64
from numpy.typing import ArrayLike
from scipy.linalg import toeplitz
from torch import Tensor, nn
from torch.nn import functional

from sdewm import arguments


class Convolution(nn.Module):
    """σ(W x + b) with W_{ij} = w_{i−j}, from ``(n, size)`` to ``(n, size + s)``, σ the ReLU.

    ``filter`` is (w_0, …, w_s); ``bias`` has ``size + s`` entries, zeros if not given.
    """

    def __init__(self, size: int, filter: ArrayLike, bias: ArrayLike | None = None) -> None:
        super().__init__()
        self.inputs = arguments.integer("size", size, least=1)
        taps = arguments.tensor("filter", filter).detach().double()
        if taps.ndim != 1 or not len(taps):
            raise ValueError(f"filter: expected at least one weight in a row, got {arguments.shown(taps)}")
        self.outputs = self.inputs + len(taps) - 1
        shift = torch.zeros(self.outputs, dtype=torch.float64)
        shift = shift if bias is None else arguments.tensor("bias", bias).detach().double()
        if shift.shape != (self.outputs,):
            raise ValueError(f"bias: expected {self.outputs} numbers in a row, got {arguments.shown(shift)}")
        self.filter, self.bias = nn.Parameter(taps), nn.Parameter(shift)

    def forward(self, x: Float[Tensor, "points inputs"]) -> Float[Tensor, "points outputs"]:
        taps = len(self.filter)
        # What torch calls a convolution is a correlation.
        spread = functional.conv1d(x[:, None], self.filter.flip(0)[None, None], padding=taps - 1)[:, 0]
        return torch.relu(spread + self.bias)

    def matrix(self) -> Float64[np.ndarray, "outputs inputs"]:
        """W, ``(size + s, size)``."""
        column = np.zeros(self.outputs)
        column[: len(self.filter)] = self.filter.detach().numpy()
        row = np.zeros(self.inputs)
        row[0] = column[0]
        return toeplitz(column, row)


class Downsampling(nn.Module):
    """(x_{jm})_j for j = 1 … ⌊size/m⌋, counted from 1: from ``(n, size)`` to ``(n, ⌊size/m⌋)``."""

    def __init__(self, size: int, factor: int) -> None:
        super().__init__()
        self.inputs = arguments.integer("size", size, least=1)
        self.factor = arguments.integer("factor", factor, 1, self.inputs)
        self.outputs = self.inputs // self.factor

    def forward(self, x: Float[Tensor, "points inputs"]) -> Float[Tensor, "points outputs"]:
        return x[:, self.factor - 1 :: self.factor]

    def matrix(self) -> Float64[np.ndarray, "outputs inputs"]:
        """D, ``(⌊size/m⌋, size)``."""
        return np.eye(self.inputs)[self.factor - 1 :: self.factor]


class CNN(nn.Module):
    """The operators in turn, then the affine ``readout`` if there is one; ``ValueError`` where sizes do not fit."""

    def __init__(self, operators: Sequence[Convolution | Downsampling], readout: nn.Linear | None = None) -> None:
        super().__init__()
        if isinstance(operators, Tensor | np.ndarray) or not isinstance(operators, Iterable):
            raise TypeError(f"operators: expected some in a row, got {arguments.shown(operators)}")
        operators = list(operators)
        for i, operator in enumerate(operators):
            if not isinstance(operator, Convolution | Downsampling):
                expected = "a Convolution or a Downsampling"
                raise TypeError(f"operators[{i}]: expected {expected}, got {arguments.shown(operator)}")
        sizes = [(o.inputs, o.outputs) for o in operators]
        if readout is not None:
            arguments.instance("readout", readout, nn.Linear, "a torch.nn.Linear")
            if readout.weight.dtype != torch.float64:
                raise ValueError(f"readout: expected float64, as filters are, got {readout.weight.dtype}")
            sizes.append((readout.in_features, readout.out_features))
        for i, (before, after) in enumerate(pairwise(sizes)):
            if before[1] != after[0]:
                raise ValueError(f"operators[{i + 1}]: expected one of size {before[1]}, got one of {after[0]}")
        self.operators, self.readout = nn.ModuleList(operators), readout

    def forward(self, x: Float[Tensor, "points inputs"]) -> Float[Tensor, "points outputs"]:
        first = next(iter(self.operators), None)
        if first is not None and x.shape[1:] != (first.inputs,):
            raise ValueError(f"x: expected shape (points, {first.inputs}), got {tuple(x.shape)}")
        for operator in self.operators:
            x = operator(x)
        return x if self.readout is None else self.readout(x)

    @property
    def size(self) -> tuple[int, int, int]:
        """L, S and W."""
        filters = [len(o.filter) for o in self.operators if isinstance(o, Convolution)]
        return len(self.operators), max(filters, default=0), sum(p.numel() for p in self.parameters())


def ridge_network(
    directions: Float64[np.ndarray, "units D"],
    biases: Float64[np.ndarray, " units"],
    outer: Float64[np.ndarray, "values units"],
    offset: Float64[np.ndarray, " values"],
) -> CNN:
    """The CNN that is x ↦ ``outer`` σ(``directions`` x − ``biases``) + ``offset``: one convolution, one downsampling.

    ``directions`` ``(units, D)``, ``biases`` ``(units,)``, ``outer`` ``(values, units)``, ``offset`` ``(values,)``.
    The filter is all directions one after the other, each backwards; every D-th number of what it gives is one of the
    inner products. So a shallow network of any width is in F_CNN with L = 2.

    >>> net = ridge_network(np.array([[1.0, 2.0]]), np.array([0.5]), np.array([[3.0]]), np.array([1.0]))
    >>> net(torch.tensor([[1.0, 1.0]], dtype=torch.float64)).item(), net.size
    (8.5, (2, 2, 7))
    """
    given = {"directions": directions, "biases": biases, "outer": outer, "offset": offset}
    rows = {name: arguments.tensor(name, value).detach().double() for name, value in given.items()}
    if rows["directions"].ndim != 2 or 0 in rows["directions"].shape:
        got = tuple(rows["directions"].shape)
        raise ValueError(f"directions: expected shape (units, D), got {got}")
    units, ambient = rows["directions"].shape
    values = len(rows["offset"]) if rows["offset"].ndim == 1 else 1
    for name, shape in (("biases", (units,)), ("offset", (max(values, 1),)), ("outer", (values, units))):
        if rows[name].shape != shape:
            raise ValueError(f"{name}: expected shape {shape}, got {tuple(rows[name].shape)}")
    convolution = Convolution(ambient, rows["directions"].flip(1).flatten())
    downsampling = Downsampling(convolution.outputs, ambient)
    last = nn.Linear(units, values, dtype=torch.float64)
    with torch.no_grad():
        convolution.bias[ambient - 1 :: ambient] = -rows["biases"]
        last.weight.copy_(rows["outer"])
        last.bias.copy_(rows["offset"])
    return CNN([convolution, downsampling], last)
