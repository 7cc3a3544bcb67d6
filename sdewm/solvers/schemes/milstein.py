"""Milstein's scheme for any noise, its structure measured and Lévy areas used where it needs them."""

from __future__ import annotations

from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from sdewm.jets import Jet
from sdewm.jets.directional import directional
from sdewm.solvers.base import Stepper
from sdewm.solvers.registry import register
from sdewm.solvers.structure import Direction, NoiseStructure
from sdewm.solvers.structured import Structured
from sdewm.systems.sde import SDE, diffusion_at, diffusion_product, drift


class Milstein(Structured):
    """x + f Δt + Σ_k g_k ΔB^k + Σ_kl ∂g_l[g_k] I_kl, with I_kl = ∫∫ dB^k dB^l (Milstein 1974; Kloeden & Platen 10.3.3).

    A Stratonovich SDE is taken as well, and gets Stratonovich's integrals. The derivatives are exact, by forward
    differentiation, and so are the sensitivities when states are jets. The noise's structure is measured at the start
    of a solve: no correction for additive noise, one derivative a step for scalar and diagonal noise, increments alone
    where the diffusion vectors commute, and Lévy areas of the pairs that do not.
    """

    strong_order = 1.0
    weak_order = 1.0
    sde_types = ("ito", "stratonovich")
    summary = "Milstein, with exact derivatives"
    may_need_areas = True
    differentiates = True

    def prepared(self, structure: NoiseStructure, x0: Float[Tensor, "*paths n"]) -> PreparedMilstein:
        return PreparedMilstein(structure, tuple(structure.directions(_plain(x0))))


class PreparedMilstein(Stepper):
    """Milstein's scheme for a noise of known structure."""

    strong_order = Milstein.strong_order
    weak_order = Milstein.weak_order
    sde_types = Milstein.sde_types
    differentiates = True

    def __init__(self, structure: NoiseStructure, directions: tuple[Direction, ...]) -> None:
        self.structure: NoiseStructure = structure
        self.directions = directions

    def step(
        self,
        sde: SDE,
        t: Float[Tensor, ""],
        dt: float,
        x: Float[Tensor, "paths n"],
        dB: Float[Tensor, "paths channels"],
        area: Float[Tensor, "paths channels channels"] | None = None,
    ) -> Float[Tensor, "paths n"]:
        """One step from t to t + dt; ``area`` ``(paths, m, m)`` is ignored where the diffusion vectors commute."""
        area = self.structure.areas(area)
        product = diffusion_at(sde, t, x)
        out = x + drift(sde, t, x) * dt + product(dB)
        for direction in self.directions:
            weights = double_integrals(direction, dt, dB, area, sde.sde_type)
            out = out + directional(
                partial(diffusion_product, sde, t, dB=weights),
                x,
                product(direction.members.expand_as(dB)),
            )
        return out


def _plain(x: Tensor) -> Tensor:
    return x.value if isinstance(x, Jet) else x


def double_integrals(
    direction: Direction,
    dt: float,
    dB: Float[Tensor, "paths channels"],
    area: Float[Tensor, "paths channels channels"] | None,
    sde_type: str,
) -> Float[Tensor, "paths channels"]:
    """I_{k(l), l} for every column l, ``(paths, m)``: k(l) is the vector of the direction that acts on column l."""
    source = direction.source
    column = torch.arange(dB.shape[-1], device=dB.device)
    integrals = 0.5 * dB[:, source] * dB
    if sde_type == "ito":
        integrals = integrals - 0.5 * dt * (source == column).to(dB)
    if area is not None:
        integrals = integrals + area[:, source, column].to(dB)
    return integrals * direction.acts


register("milstein", Milstein())
