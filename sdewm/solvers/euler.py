"""Euler–Maruyama, with all equations at once or one after the other."""

from __future__ import annotations

import torch
from torch import Tensor

from sdewm.noise.grid import TimeGrid
from sdewm.systems.sde import SDE, diffusion_product


class EulerMaruyama:
    """x + f Δt + g ΔB, all coordinates at once."""

    strong_order = 0.5
    weak_order = 1.0
    sde_types: tuple[str, ...] = ("ito",)
    needs_areas = False

    def check(self, sde: SDE) -> None:
        """Any Itô SDE will do."""

    def prepare(self, sde: SDE, x0: Tensor, grid: TimeGrid) -> EulerMaruyama:
        return self

    def step(self, sde: SDE, t: Tensor, dt: float, x: Tensor, dB: Tensor, area: Tensor | None = None) -> Tensor:
        return x + sde.f(t, x) * dt + diffusion_product(sde, t, x, dB)


class SequentialEuler:
    """Euler–Maruyama block by block, each block seeing those already updated: a recurrent model's own step.

    Converges to the same Itô SDE as :class:`EulerMaruyama` for the stages of (5)–(8), where no block's diffusion
    depends on a block with the same noise. Needs an SDE with ``stages``, such as a ``LatentSDE``.
    """

    strong_order = 0.5
    weak_order = 1.0
    sde_types: tuple[str, ...] = ("ito",)
    needs_areas = False

    def check(self, sde: SDE) -> None:
        if not hasattr(sde, "stages"):
            raise TypeError(
                f'method: "euler-sequential" needs an SDE with stages, such as a LatentSDE; {type(sde).__name__} '
                'has none. Use method="euler".'
            )

    def prepare(self, sde: SDE, x0: Tensor, grid: TimeGrid) -> SequentialEuler:
        return self

    def step(self, sde: SDE, t: Tensor, dt: float, x: Tensor, dB: Tensor, area: Tensor | None = None) -> Tensor:
        for i, stage in enumerate(sde.stages):  # type: ignore[attr-defined]
            at = t if stage.time == "start" else t + dt
            drift = sde.f_stage(i, at, x)  # type: ignore[attr-defined]
            updated = x[..., stage.block] + drift * dt + sde.g_prod_stage(i, at, x, dB)  # type: ignore[attr-defined]
            before, after = x[..., : stage.block.start], x[..., stage.block.stop :]
            x = torch.cat([before, updated, after], -1)
        return x
