"""Euler–Maruyama with one block after the other."""

from __future__ import annotations

from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor

from sdewm.solvers.base import Stepper
from sdewm.solvers.registry import quoted, register, without_areas
from sdewm.systems.sde import SDE
from sdewm.systems.stages import StagedSDE


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

    def step(
        self,
        sde: SDE,
        t: Float[Tensor, ""],
        dt: float,
        x: Float[Tensor, "paths n"],
        dB: Float[Tensor, "paths channels"],
        area: Float[Tensor, "paths channels channels"] | None = None,
    ) -> Float[Tensor, "paths n"]:
        staged = cast(StagedSDE, sde)  # as check has seen
        for i, stage in enumerate(staged.stages):
            at = t if stage.time == "start" else t + dt
            drift = staged.f_stage(i, at, x)
            updated = x[..., stage.block] + drift * dt + staged.g_prod_stage(i, at, x, dB)
            before, after = x[..., : stage.block.start], x[..., stage.block.stop :]
            x = torch.cat([before, updated, after], -1)
        return x


register("euler-sequential", SequentialEuler())
