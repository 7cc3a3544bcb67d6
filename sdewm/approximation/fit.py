"""Ridge networks that come near a map: interpolation on a line, random features, and training from there.

Each is a member of F_CNN (:func:`sdewm.approximation.cnn.ridge_network`). Interpolation is a construction, and bounds
the approximation error of the class from above; what a search finds beyond the best known is optimization error.

>>> x = np.linspace(-1, 1, 201)[:, None]
>>> net = interpolation(np.array([1.0]), np.linspace(-1, 1, 17), lambda t: np.sin(t)[:, None])
>>> bool(np.abs(net(x) - np.sin(x)).max() <= (1 / 8) ** 2 / 8)
True
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float64

from sdewm import arguments
from sdewm.approximation.cnn import CNN, ridge_network
from sdewm.arrays import Array


@dataclass(frozen=True)
class Ridge:
    """x ↦ ``outer`` σ(``directions`` x − ``biases``) + ``offset``, shapes as in :func:`ridge_network`."""

    directions: Float64[np.ndarray, "units D"]
    biases: Float64[np.ndarray, " units"]
    outer: Float64[np.ndarray, "values units"]
    offset: Float64[np.ndarray, " values"]

    def __call__(self, x: Float64[np.ndarray, "points D"]) -> Float64[np.ndarray, "points values"]:
        return np.maximum(x @ self.directions.T - self.biases, 0) @ self.outer.T + self.offset

    def cnn(self) -> CNN:
        return ridge_network(self.directions, self.biases, self.outer, self.offset)

    @property
    def units(self) -> int:
        return len(self.biases)


def interpolation(
    direction: Float64[np.ndarray, " D"],
    knots: Float64[np.ndarray, " points"],
    f: Callable[[Float64[np.ndarray, " points"]], Float64[np.ndarray, "points values"]],
) -> Ridge:
    """The piecewise linear function of t = ``direction``·x that is ``f`` at the ``knots`` ``(n,)``, of n − 1 units.

    ``f`` takes ``(n,)`` to ``(n, values)``. Between the knots it is off by max‖f″‖ (longest gap)²/8 at most.
    """
    values = f(knots)
    slopes = np.diff(values, axis=0) / np.diff(knots)[:, None]
    turns = np.diff(slopes, axis=0, prepend=np.zeros((1, values.shape[1])))
    return Ridge(np.tile(direction, (len(turns), 1)), knots[:-1], turns.T, values[0])


def random_features(
    x: Float64[np.ndarray, "points D"], y: Float64[np.ndarray, "points values"], units: int, rng: np.random.Generator
) -> Ridge:
    """Directions and biases at random, the rest by least squares: from points ``(n, D)`` to values ``(n, values)``."""
    units = arguments.integer("units", units, least=1)
    directions = rng.normal(size=(units, x.shape[1]))
    along = x @ directions.T
    return _with_last_layer(directions, rng.uniform(along.min(0), along.max(0)), x, y)


def trained(
    start: Ridge, x: Float64[np.ndarray, "points D"], y: Float64[np.ndarray, "points values"], steps: int = 200
) -> Ridge:
    """``start`` after L-BFGS on the mean squared distance of its values from ``y``, at most so many steps.

    The last layer is solved for once more at the end.
    """
    parts = [start.directions, start.biases, start.outer, start.offset]
    parameters = [torch.tensor(np.ascontiguousarray(part), requires_grad=True) for part in parts]
    inputs, targets = torch.as_tensor(x), torch.as_tensor(y)
    # In parts of where it starts, so that the search's first step has a size to go by.
    scale = float(((start(x) - y) ** 2).sum(1).mean()) or 1.0
    optimizer = torch.optim.LBFGS(
        parameters,
        max_iter=steps,
        history_size=20,
        tolerance_grad=1e-12,
        tolerance_change=0.0,
        line_search_fn="strong_wolfe",
    )

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        directions, biases, outer, offset = parameters
        found = torch.relu(inputs @ directions.T - biases) @ outer.T + offset
        loss = ((found - targets) ** 2).sum(1).mean() / scale
        loss.backward()
        return loss

    optimizer.step(closure)
    directions, biases = (p.detach().numpy() for p in parameters[:2])
    return _with_last_layer(directions, biases, x, y)


def _with_last_layer(directions: Array, biases: Array, x: Array, y: Array) -> Ridge:
    """By least squares."""
    features = np.concatenate([np.maximum(x @ directions.T - biases, 0), np.ones((len(x), 1))], 1)
    solution = np.linalg.lstsq(features, y, rcond=1e-12)[0]
    return Ridge(directions, biases, solution[:-1].T, solution[-1])
