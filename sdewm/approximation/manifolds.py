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
    reach : the largest distance within which the nearest point is unique; ``None`` where no formula is known, see
        :func:`reach_from_pairs`.
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


def reach_from_pairs(manifold: Manifold, u: Float64[np.ndarray, "points d"]) -> float:
    """An upper estimate of the reach from points at ``u`` ``(n, d)``: min ‖y − x‖²/(2 dist(y − x, T_x)) over pairs.

    Federer's formula (1959, Theorem 4.18) over all pairs is the reach of a manifold without boundary; a sample of pairs
    can only miss the smallest.
    """
    x = manifold.chart(u)
    apart = x[None] - x[:, None]
    frames = np.linalg.qr(manifold.tangents(u))[0]
    normal = apart - np.einsum("nij,nmj->nmi", frames, np.einsum("nij,nmi->nmj", frames, apart))
    square, off = (apart**2).sum(-1), np.linalg.norm(normal, axis=-1)
    seen = off > 1e-6  # of pairs closer than a thousandth rounding is all that there is to see
    return float((square[seen] / (2 * off[seen])).min())


def arc(angle: float = 1.2, ambient: int = 16, seed: int = 0) -> Manifold:
    """An arc of the unit circle, of half-angle ``angle`` < π/2; u is arc length over ``angle``."""
    angle = arguments.real("angle", angle, above=0.0, below=math.pi / 2)

    def chart(u: Array) -> Array:
        return np.concatenate([np.sin(angle * u), 1 - np.cos(angle * u)], -1)

    return _embedded("arc", 1, 2, chart, lambda x: np.arctan2(x[:, :1], 1 - x[:, 1:]) / angle, 1.0, ambient, seed)


def curved_disk(bend: float = 0.5, ambient: int = 16, seed: int = 0) -> Manifold:
    """The graph of ``bend``·(u₁² − u₂²)/2 over the disk: a saddle."""
    bend = arguments.real("bend", bend)

    def chart(u: Array) -> Array:
        return np.concatenate([u, bend * (u[:, :1] ** 2 - u[:, 1:] ** 2) / 2], -1)

    return _embedded("curved disk", 2, 3, chart, lambda x: x[:, :2], None, ambient, seed)


def sphere_cap(size: float = 0.7, ambient: int = 16, seed: int = 0) -> Manifold:
    """A cap of the unit sphere, from a disk of radius ``size`` ≤ 1 by stereographic projection (1: a hemisphere)."""
    size = arguments.real("size", size, above=0.0, below=1 + 1e-12)

    def chart(u: Array) -> Array:
        w = size * u
        square = (w * w).sum(-1, keepdims=True)
        return np.concatenate([2 * w, 1 - square], -1) / (1 + square)

    return _embedded("sphere cap", 2, 3, chart, lambda x: x[:, :2] / (1 + x[:, 2:]) / size, 1.0, ambient, seed)


def torus_patch(angle: float = 1.2, radius: float = 0.5, ambient: int = 16, seed: int = 0) -> Manifold:
    """A patch of the torus of radii 1 and ``radius`` < 1, whose two angles are ``angle``·u."""
    angle = arguments.real("angle", angle, above=0.0, below=math.pi)
    radius = arguments.real("radius", radius, above=0.0, below=1.0)

    def chart(u: Array) -> Array:
        a, b = angle * u[:, :1], angle * u[:, 1:]
        axis = 1 + radius * np.cos(b)
        return np.concatenate([axis * np.cos(a), axis * np.sin(a), radius * np.sin(b)], -1)

    def coordinates(x: Array) -> Array:
        a = np.arctan2(x[:, 1], x[:, 0])
        b = np.arctan2(x[:, 2], np.hypot(x[:, 0], x[:, 1]) - 1)
        return np.stack([a, b], -1) / angle

    # Of the whole torus, and so a lower bound for the patch.
    return _embedded("torus patch", 2, 3, chart, coordinates, min(radius, 1 - radius), ambient, seed)


def moving_blob(side: int = 16, width: float = 2.0, travel: float = 3.0, dim: int = 2) -> Manifold:
    """Images of ``side``² pixels of a Gaussian blob, ``travel``·u pixels away from the middle; D is ``side``²."""
    side, dim = arguments.integer("side", side, least=8), arguments.integer("dim", dim, 1, 2)
    rows, columns = (grid.ravel() - (side - 1) / 2 for grid in np.indices((side, side)))

    def chart(u: Array) -> Array:
        across = columns - travel * u[:, :1]
        down = rows - (travel * u[:, 1:] if dim == 2 else 0.0)
        return np.exp(-(across**2 + down**2) / (2 * width**2))

    def coordinates(x: Array) -> Array:
        # Over two pixels next to each other, the logarithms of the values differ by (place − middle of both)/width².
        middle = side // 2
        logs = np.log(x.reshape(-1, side, side)[:, middle - 1 : middle + 1, middle - 1 : middle + 1])
        across, down = logs[:, 0, 1] - logs[:, 0, 0], logs[:, 1, 0] - logs[:, 0, 0]
        corner = middle - 1 + 0.5 - (side - 1) / 2
        return np.stack([across, down], -1)[:, :dim] * width**2 / travel + corner / travel

    return Manifold("moving blob", dim, side**2, chart, coordinates, None)


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


def _embedded(
    name: str, dim: int, own: int, chart: Map, coordinates: Map, reach: float | None, ambient: int, seed: int
) -> Manifold:
    """In R^``ambient``, by a random orthonormal frame, which changes no distance."""
    ambient = arguments.integer("ambient", ambient, least=own)
    frame = np.linalg.qr(np.random.default_rng(seed).normal(size=(ambient, own)))[0]
    return Manifold(name, dim, ambient, lambda u: chart(u) @ frame.T, lambda x: coordinates(x @ frame), reach)
