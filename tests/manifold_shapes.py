"""Manifolds of other shapes than the paper's checks use, and an estimate of the reach of any."""

from __future__ import annotations

import numpy as np

from sdewm.approximation.manifolds import Manifold, embedded
from sdewm.arrays import Array


def reach_from_pairs(manifold: Manifold, u: Array) -> float:
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


def curved_disk(bend: float = 0.5, ambient: int = 16, seed: int = 0) -> Manifold:
    """The graph of ``bend``·(u₁² − u₂²)/2 over the disk: a saddle."""

    def chart(u: Array) -> Array:
        return np.concatenate([u, bend * (u[:, :1] ** 2 - u[:, 1:] ** 2) / 2], -1)

    return embedded("curved disk", 2, 3, chart, lambda x: x[:, :2], None, ambient, seed)


def torus_patch(angle: float = 1.2, radius: float = 0.5, ambient: int = 16, seed: int = 0) -> Manifold:
    """A patch of the torus of radii 1 and ``radius`` < 1, whose two angles are ``angle``·u."""

    def chart(u: Array) -> Array:
        a, b = angle * u[:, :1], angle * u[:, 1:]
        axis = 1 + radius * np.cos(b)
        return np.concatenate([axis * np.cos(a), axis * np.sin(a), radius * np.sin(b)], -1)

    def coordinates(x: Array) -> Array:
        a = np.arctan2(x[:, 1], x[:, 0])
        b = np.arctan2(x[:, 2], np.hypot(x[:, 0], x[:, 1]) - 1)
        return np.stack([a, b], -1) / angle

    # Of the whole torus, and so a lower bound for the patch.
    return embedded("torus patch", 2, 3, chart, coordinates, min(radius, 1 - radius), ambient, seed)


def moving_blob(side: int = 16, width: float = 2.0, travel: float = 3.0, dim: int = 2) -> Manifold:
    """Images of ``side``² pixels of a Gaussian blob, ``travel``·u pixels away from the middle; D is ``side``²."""
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
