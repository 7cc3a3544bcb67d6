"""Equations that are stepped one after the other, each with the new values of those before it."""

from __future__ import annotations

from typing import Literal, Protocol

from jaxtyping import Float
from torch import Tensor

from sdewm.systems.sde import SDE, diffusion_product, drift


class Stage:
    """One block of a sequential step: which coordinates it updates, and which end of the step its inputs see."""

    def __init__(self, block: slice, time: Literal["start", "end"]) -> None:
        self.block, self.time = block, time


class StagedSDE(SDE, Protocol):
    """An SDE that can be stepped block by block: what the coefficients of one stage are, on its block alone."""

    stages: tuple[Stage, ...]

    def f_stage(self, stage: int, t: Float[Tensor, ""], x: Float[Tensor, "paths n"]) -> Float[Tensor, "paths size"]: ...

    def g_prod_stage(
        self, stage: int, t: Float[Tensor, ""], x: Float[Tensor, "paths n"], dB: Float[Tensor, "paths channels"]
    ) -> Float[Tensor, "paths size"]: ...


def stage_drift(
    sde: SDE, stages: tuple[Stage, ...], stage: int, t: Float[Tensor, ""], x: Float[Tensor, "paths n"]
) -> Float[Tensor, "paths size"]:
    """The drift of one block; computed whole and cut where the SDE cannot do better."""
    if hasattr(sde, "f_stage"):
        return sde.f_stage(stage, t, x)
    return drift(sde, t, x)[..., stages[stage].block]


def stage_diffusion(
    sde: SDE,
    stages: tuple[Stage, ...],
    stage: int,
    t: Float[Tensor, ""],
    x: Float[Tensor, "paths n"],
    dB: Float[Tensor, "paths channels"],
) -> Float[Tensor, "paths size"]:
    """The diffusion of one block applied to increments."""
    if hasattr(sde, "g_prod_stage"):
        return sde.g_prod_stage(stage, t, x, dB)
    return diffusion_product(sde, t, x, dB)[..., stages[stage].block]
