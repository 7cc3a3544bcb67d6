"""Increments and Lévy areas in memory."""

from __future__ import annotations

from collections.abc import Iterator

from jaxtyping import Float
from torch import Tensor

from sdewm.noise.integrals import chen


class StoredAreas:
    """Increments ``(steps, paths, m)`` and Lévy areas ``(steps, paths, m, m)`` in memory; coarsened by Chen's relation.

    ``integrals`` ``(steps, paths, m)`` are those of B(s) − B(t) over each step of length ``dt``, where there are any.
    ``weights`` is ``None``: every path counts the same.
    """

    weights = None

    def __init__(
        self,
        increments: Float[Tensor, "steps paths channels"],
        areas: Float[Tensor, "steps paths channels channels"],
        integrals: Float[Tensor, "steps paths channels"] | None = None,
        *,
        dt: float | None = None,
    ) -> None:
        if increments.ndim != 3 or areas.shape != (*increments.shape, increments.shape[-1]):
            raise ValueError(
                "increments, areas: expected shapes (steps, paths, m) and (steps, paths, m, m), "
                f"got {tuple(increments.shape)} and {tuple(areas.shape)}"
            )
        if integrals is not None and (dt is None or integrals.shape != increments.shape):
            raise ValueError(
                f"integrals, dt: expected shape {tuple(increments.shape)} and a step length, got "
                f"{tuple(integrals.shape)} and {dt}"
            )
        self.values, self.stored, self.integrals, self.dt = increments, areas, integrals, dt
        self.steps, self.paths, self.channels = increments.shape

    def __iter__(self) -> Iterator[Float[Tensor, "paths channels"]]:
        return iter(self.values)

    def areas(self) -> Iterator[tuple[Float[Tensor, "paths channels"], Float[Tensor, "paths channels channels"]]]:
        """Increments ``(paths, m)`` and areas ``(paths, m, m)``, step by step."""
        return zip(self.values, self.stored, strict=True)

    def time_areas(self) -> Iterator[tuple[Float[Tensor, "paths channels"], Float[Tensor, "paths channels"]]]:
        """Increments and integrals, both ``(paths, m)``, step by step; ``ValueError`` where none are stored."""
        if self.integrals is None:
            raise ValueError("integrals: expected (steps, paths, m), as the method takes them, got None")
        return zip(self.values, self.integrals, strict=True)

    def coarsen(self, factor: int) -> StoredAreas:
        """The same paths over steps ``factor`` times as long."""
        if factor < 1 or self.steps % factor:
            raise ValueError(f"factor: expected a divisor of {self.steps} steps, got {factor}")
        increments, areas = self.values[::factor], self.stored[::factor]
        integrals, dt = self.integrals, self.dt
        if integrals is not None and dt is not None:
            parts, before = integrals.unflatten(0, (-1, factor)), self.values.unflatten(0, (-1, factor)).cumsum(1)
            integrals, dt = parts.sum(1) + dt * before[:, :-1].sum(1), dt * factor
        for i in range(1, factor):
            areas = chen(increments, areas, self.values[i::factor], self.stored[i::factor])
            increments = increments + self.values[i::factor]
        return StoredAreas(increments, areas, integrals, dt=dt)
