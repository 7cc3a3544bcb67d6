"""Platen's Runge–Kutta scheme of weak order 2, without derivatives."""

from __future__ import annotations

import math

from jaxtyping import Float
from torch import Tensor

from sdewm.solvers.base import Stepper
from sdewm.solvers.registry import register
from sdewm.solvers.structure import NoiseStructure
from sdewm.solvers.structured import Structured
from sdewm.systems.sde import SDE, diffusion_at, drift, one_channel


class PlatenWeak2(Structured):
    """Platen's explicit scheme of weak order 2 for any Itô noise (Kloeden & Platen 1992, 15.1.3).

    The two-point variables V_kl of the book are twice the noise's Lévy areas, which have the same moments as far as
    the order goes; so the scheme draws nothing of its own, runs coupled to others, and with them has Milstein's terms
    and his strong order 1. Estimates of means draw areas of those moments, by any sampler. It makes four evaluations
    of the diffusion for each channel, whatever the structure.
    """

    strong_order = 1.0
    weak_order = 2.0
    sde_types = ("ito",)
    summary = "Platen's explicit scheme of weak order 2"
    may_need_areas = True
    moments_suffice = True

    def prepared(self, structure: NoiseStructure, x0: Float[Tensor, "*paths n"]) -> PreparedWeak2:
        return PreparedWeak2(structure)


class PreparedWeak2(Stepper):
    """Platen's scheme for a noise of known structure."""

    strong_order = PlatenWeak2.strong_order
    weak_order = PlatenWeak2.weak_order
    sde_types = PlatenWeak2.sde_types
    moments_suffice = True

    def __init__(self, structure: NoiseStructure) -> None:
        self.structure: NoiseStructure = structure

    def step(
        self,
        sde: SDE,
        t: Float[Tensor, ""],
        dt: float,
        x: Float[Tensor, "paths n"],
        dB: Float[Tensor, "paths channels"],
        area: Float[Tensor, "paths channels channels"] | None = None,
    ) -> Float[Tensor, "paths n"]:
        area = self.structure.areas(area)
        product, end, root = diffusion_at(sde, t, x), t + dt, math.sqrt(dt)
        move, noise = drift(sde, t, x) * dt, product(dB)
        out = x + 0.5 * (move + drift(sde, end, x + move + noise) * dt) + noise
        channels = dB.shape[-1]
        for r in range(channels):
            vector = product(one_channel(dB, r)) * root
            # Column r at R±, the others at U±: what the shift does to their mean, and their difference along it.
            own = one_channel(dB, r) * dB
            others = dB - own
            crossed = dB * dB[:, r : r + 1]
            if area is not None:
                crossed = crossed + 2 * area[:, r].to(dB)
            along = (crossed - dt * one_channel(dB, r)) / root
            along_own = one_channel(dB, r) * along
            up, down = (diffusion_at(sde, end, x + move + vector), diffusion_at(sde, end, x + move - vector))
            out = out + 0.25 * (up(own + along_own) + down(own - along_own) - 2 * product(own))
            up, down = diffusion_at(sde, t, x + vector), diffusion_at(sde, t, x - vector)
            along_others = along - along_own
            out = out + 0.25 * (up(others + along_others) + down(others - along_others) - 2 * product(others))
        return out


register("platen-weak", PlatenWeak2())
