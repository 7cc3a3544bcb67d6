"""Submanifolds with boundary that one chart covers: the states of Assumption 3.3, as images of a closed ball.

A manifold is a chart φ from the closed unit ball of R^d, d = 1 or 2, into R^D. Where F of Assumption 3.5 is a covering
of a ball, and M is connected, M is of this kind: a ball is simply connected.

>>> cap = sphere_cap(0.5, ambient=16)
>>> x = cap.chart(np.array([[0.3, -0.2]]))
>>> x.shape, bool(np.allclose(cap.coordinates(x), [[0.3, -0.2]]))
((1, 16), True)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from sdewm import arguments
from sdewm.arrays import Array

Map = Callable[[Float64[np.ndarray, "points _"]], Float64[np.ndarray, "points _"]]
# A complex step has no cancellation: what it leaves out is its square.
STEP = 1e-30


@dataclass(frozen=True)
class Manifold:
    """The image of the closed unit ball of R^``dim`` under ``chart``.

    Attributes
    ----------
    dim, ambient : d and D.
    chart : φ, from coordinates ``(n, d)`` to points ``(n, D)``; made of functions that also take complex numbers.
    coordinates : φ⁻¹ on the manifold, from ``(n, D)`` to ``(n, d)``.
    reach : the largest distance within which the nearest point is unique; ``None`` where no formula is known.
    """

    name: str
    dim: int
    ambient: int
    chart: Map
    coordinates: Map
    reach: float | None

    def tangents(self, u: Float64[np.ndarray, "points d"]) -> Float64[np.ndarray, "points D d"]:
        """dφ at coordinates ``(n, d)``, as ``(n, D, d)``: exact to rounding."""
        steps = 1j * STEP * np.eye(self.dim)
        return np.stack([self.chart(u + step).imag / STEP for step in steps], -1)

    def volume(self, u: Float64[np.ndarray, "points d"]) -> Float64[np.ndarray, " points"]:
        """√det g at coordinates ``(n, d)``, as ``(n,)``: the volume form of Definition A.2 in this chart."""
        t = self.tangents(u)
        return np.sqrt(np.linalg.det(np.swapaxes(t, 1, 2) @ t))


def arc(angle: float = 1.2, ambient: int = 16, seed: int = 0) -> Manifold:
    """An arc of the unit circle, of half-angle ``angle`` < π/2; u is arc length over ``angle``."""
    angle = arguments.real("angle", angle, above=0.0, below=math.pi / 2)

    def chart(u: Array) -> Array:
        return np.concatenate([np.sin(angle * u), 1 - np.cos(angle * u)], -1)

    return embedded("arc", 1, 2, chart, lambda x: np.arctan2(x[:, :1], 1 - x[:, 1:]) / angle, 1.0, ambient, seed)


def sphere_cap(size: float = 0.7, ambient: int = 16, seed: int = 0) -> Manifold:
    """A cap of the unit sphere, from a disk of radius ``size`` ≤ 1 by stereographic projection (1: a hemisphere)."""
    size = arguments.real("size", size, above=0.0, below=1 + 1e-12)

    def chart(u: Array) -> Array:
        w = size * u
        square = (w * w).sum(-1, keepdims=True)
        return np.concatenate([2 * w, 1 - square], -1) / (1 + square)

    return embedded("sphere cap", 2, 3, chart, lambda x: x[:, :2] / (1 + x[:, 2:]) / size, 1.0, ambient, seed)


def rotating_bar(side: int = 15, length: float = 6.0, width: float = 2.0, angle: float = 1.2) -> Manifold:
    """Images of ``side``² pixels, an odd number, of a smooth bar through the middle, turned by ``angle``·u < π/2."""
    side = arguments.integer("side", side, least=5)
    if side % 2 == 0:
        raise ValueError(f"side: expected an odd number, so that the bar turns about a pixel, got {side}")
    angle = arguments.real("angle", angle, above=0.0, below=math.pi / 2)
    rows, columns = (grid.ravel() - side // 2 for grid in np.indices((side, side)))

    def chart(u: Array) -> Array:
        c, s = np.cos(angle * u), np.sin(angle * u)
        along, across = c * columns + s * rows, -s * columns + c * rows
        return np.exp(-(along**2) / (2 * length**2) - across**2 / (2 * width**2))

    def coordinates(x: Array) -> Array:
        # −2 log of an image is a quadratic form of the pixel's place, whose long axis is the bar.
        form = -2 * np.log(x.reshape(-1, side, side))
        m = side // 2
        xx, yy = form[:, m, m + 1], form[:, m + 1, m]
        xy = (form[:, m + 1, m + 1] - xx - yy) / 2
        return (np.arctan2(-2 * xy, yy - xx) / (2 * angle))[:, None]

    return Manifold("rotating bar", 1, side**2, chart, coordinates, None)


def embedded(
    name: str, dim: int, own: int, chart: Map, coordinates: Map, reach: float | None, ambient: int, seed: int
) -> Manifold:
    """A manifold that ``chart`` puts in R^``own``, in R^``ambient``; the random orthonormal frame keeps distances."""
    ambient = arguments.integer("ambient", ambient, least=own)
    frame = np.linalg.qr(np.random.default_rng(seed).normal(size=(ambient, own)))[0]
    return Manifold(name, dim, ambient, lambda u: chart(u) @ frame.T, lambda x: coordinates(x @ frame), reach)
