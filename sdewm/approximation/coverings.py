"""Local diffeomorphisms F into the disk that are no coverings, and the density (22) of what each carries a measure to.

The proof of Proposition A.7 has it that a local diffeomorphism is a covering: that each point has as many preimages as
any other. The measure that F carries P to has the density Σ p/|det dF| over the preimages, however many they are.

>>> immersion = immersed_disk(4.0)
>>> [len(x) for x in immersion.preimages(immersion(np.array([[0.0, 0.0], [0.0, 0.9]])))]
[1, 2]
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int

from sdewm import arguments
from sdewm.arrays import Array


@dataclass(frozen=True)
class PlaneMap:
    """F from a part of the plane into the closed unit disk, and what is known of it.

    Attributes
    ----------
    forward : F, from ``(n, 2)`` to ``(n, 2)``.
    preimages : for each of ``(n, 2)`` points the points ``(m, 2)`` that F sends there, m ≥ 0.
    jacobian : det dF at ``(n, 2)``, as ``(n,)``.
    """

    name: str
    forward: Callable[[Float64[np.ndarray, "points 2"]], Float64[np.ndarray, "points 2"]]
    preimages: Callable[[Float64[np.ndarray, "points 2"]], list[Float64[np.ndarray, "_ 2"]]]
    jacobian: Callable[[Float64[np.ndarray, "points 2"]], Float64[np.ndarray, " points"]]

    def __call__(self, x: Float64[np.ndarray, "points 2"]) -> Float64[np.ndarray, "points 2"]:
        return self.forward(x)

    def sheets(self, at: Float64[np.ndarray, "points 2"]) -> Int[np.ndarray, " points"]:
        """|D_x|, the number of preimages, at ``(n, 2)``."""
        return np.array([len(x) for x in self.preimages(at)])

    def pushforward_density(
        self,
        density: Callable[[Float64[np.ndarray, "_ 2"]], Float64[np.ndarray, " _"]],
        at: Float64[np.ndarray, "points 2"],
    ) -> Float64[np.ndarray, " points"]:
        """Of F_# P at ``(n, 2)``, for P of this density: (22) without its factor."""
        return np.array(
            [float(np.sum(density(x) / np.abs(self.jacobian(x)))) if len(x) else 0.0 for x in self.preimages(at)]
        )


def annulus(inner: float = 0.5) -> PlaneMap:
    """The inclusion of ``inner`` ≤ |x| ≤ 1 in the disk: it sends the inner circle into the interior."""
    inner = arguments.real("inner", inner, above=0.0, below=1.0)

    def preimages(at: Array) -> list[Array]:
        return [x[None] if inner <= np.linalg.norm(x) <= 1 else np.empty((0, 2)) for x in at]

    return PlaneMap("annulus", lambda x: x, preimages, lambda x: np.ones(len(x)))


def immersed_disk(turn: float = 4.0) -> PlaneMap:
    """z ↦ exp(c (z − 1)) on the unit disk, c = ``turn``: beyond π it overlaps itself."""
    turn = arguments.real("turn", turn, above=0.0)
    most = math.ceil(turn / (2 * math.pi)) + 1

    def forward(x: Array) -> Array:
        w = np.exp(turn * (x[:, 0] + 1j * x[:, 1] - 1))
        return np.stack([w.real, w.imag], -1)

    def preimages(at: Array) -> list[Array]:
        found = []
        for a, b in at:
            w = complex(a, b)
            logs = [cmath.log(w) + 2j * math.pi * sheet for sheet in range(-most, most + 1)] if w != 0 else []
            points = [log / turn + 1 for log in logs if abs(log / turn + 1) <= 1]
            found.append(np.array([(z.real, z.imag) for z in points]).reshape(-1, 2))
        return found

    return PlaneMap("immersed disk", forward, preimages, lambda x: turn**2 * np.exp(2 * turn * (x[:, 0] - 1)))
