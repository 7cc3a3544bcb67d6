"""Euler–Maruyama with one block after the other."""

from __future__ import annotations

import torch
from torch import Tensor

from sdewm.solvers.base import Stepper
from sdewm.solvers.registry import quoted, register, without_areas
from sdewm.systems.sde import SDE


class SequentialEuler(Stepper):
    """Euler–Maruyama block by block, each block seeing those already updated: a recurrent model's own step.

    Converges to the same Itô SDE as Euler–Maruyama for the stages of (5)–(8), where no block's diffusion depends on a
    block with the same noise. Needs an SDE with ``stages``, such as a ``LatentSDE``.
    """

    strong_order = 0.5
    weak_order = 1.0
    sde_types = ("ito",)
    summary = "Euler–Maruyama block by block, for an SDE with stages"
    sequential = True

    def check(self, sde: SDE) -> None:
        if not hasattr(sde, "stages"):
            raise TypeError(
                f'method: "euler-sequential" needs an SDE with stages, such as a LatentSDE; {type(sde).__name__} '
                f"has none. Use {quoted(without_areas('ito'))}."
            )

    def step(self, sde: SDE, t: Tensor, dt: float, x: Tensor, dB: Tensor, area: Tensor | None = None) -> Tensor:
        for i, stage in enumerate(sde.stages):  # type: ignore[attr-defined]
            at = t if stage.time == "start" else t + dt
            drift = sde.f_stage(i, at, x)  # type: ignore[attr-defined]
            updated = x[..., stage.block] + drift * dt + sde.g_prod_stage(i, at, x, dB)  # type: ignore[attr-defined]
            before, after = x[..., : stage.block.start], x[..., stage.block.stop :]
            x = torch.cat([before, updated, after], -1)
        return x


register("euler-sequential", SequentialEuler())
