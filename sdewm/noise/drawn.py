"""Noise that is given, or drawn from a number of paths and a seed: what the arguments of a solve come down to."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from sdewm import arguments
from sdewm.noise.brownian import BrownianPath
from sdewm.noise.grid import TimeGrid
from sdewm.noise.increments import Increments, StreamedIncrements, as_increments

MOST_PATHS = 2**40


@dataclass(frozen=True)
class Drawn:
    """As many independent Brownian paths as are asked for, to be drawn once the grid and the channels are known."""

    paths: int
    seed: int

    def on(self, grid: TimeGrid, channels: int, like: Float[Tensor, "..."]) -> Increments:
        """The increments on a grid, in the dtype and on the device of ``like``; the same each time.

        On 2^k steps they are those of ``BrownianPath(seed, paths, channels, t0, t1)``: the same paths for every k, and
        the first paths whatever their number, with areas where a method takes them. On other grids they are drawn step
        by step, and there are no areas.
        """
        level = grid.steps.bit_length() - 1
        if grid.steps == 2**level and channels:
            path = BrownianPath(self.seed, self.paths, channels, grid.t0, grid.t1)
            return path.at(level, finest=level, like=like)
        return StreamedIncrements((self.seed,), self.paths, channels, grid, like)


def given_or_drawn(
    noise: Increments | Float[Tensor, "steps paths channels"] | Drawn | None, paths: int | None, seed: int
) -> Increments | Drawn:
    """The noise of a solve: ``noise`` itself, or what is to be drawn from ``paths`` and ``seed``.

    Raises ``ValueError`` unless exactly one of ``noise`` and ``paths`` is given, and where ``seed``
    comes with a noise that has no use for it.
    """
    if (noise is None) == (paths is None):
        raise ValueError(
            "noise, paths: expected one of them, the noise or how many paths are to be drawn, got "
            f"{'neither; paths=1000, seed=0 draws it' if noise is None else 'both'}"
        )
    seed = arguments.integer("seed", seed, 0, 2**63 - 1)
    if noise is None:
        return Drawn(arguments.integer("paths", paths, 1, MOST_PATHS), seed)
    if seed:
        raise ValueError(f"seed: expected none where the noise is given, got {seed}")
    return noise if isinstance(noise, Drawn) else as_increments(noise)
