"""Rößler's Runge–Kutta scheme of strong order 1.5 for additive noise, without derivatives."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from sdewm.solvers.registry import register
from sdewm.solvers.structure import NoiseStructure
from sdewm.solvers.structured import Structured
from sdewm.solvers.time_areas import time_means
from sdewm.systems.sde import SDE, diffusion_at, diffusion_product, drift


class RoesslerSRA1(Structured):
    """The scheme SRA1 (Rößler 2010, SIAM J. Numer. Anal. 48, 922–952): strong order 1.5 where g depends on t alone.

    It takes the noise's integrals over time beside its increments, and makes two evaluations of each coefficient. The
    noise's structure is measured at the start of a solve, and held against the states that it reaches.
    """

    strong_order = 1.5
    weak_order = 2.0
    sde_types = ("ito", "stratonovich")
    structures = ("additive",)
    summary = "Rößler's SRA1, for additive noise"
    needs_time_areas = True

    def prepared(self, structure: NoiseStructure, x0: Float[Tensor, "*paths n"]) -> RoesslerSRA1:
        return RoesslerSRA1(structure)

    def step(
        self,
        sde: SDE,
        t: Float[Tensor, ""],
        dt: float,
        x: Float[Tensor, "paths n"],
        dB: Float[Tensor, "paths channels"],
        area: Float[Tensor, "paths channels"] | None = None,
    ) -> Float[Tensor, "paths n"]:
        """One step from t to t + dt; ``area`` ``(paths, m)`` has the integrals of B(s) − B(t) over it."""
        mean = time_means(area, dt)
        product = diffusion_at(sde, t + dt, x)
        here = drift(sde, t, x) * dt
        there = drift(sde, t + 0.75 * dt, x + 0.75 * here + 1.5 * product(mean)) * dt
        noise = product(dB - mean) + diffusion_product(sde, t, x, mean)
        return x + (here + 2 * there) / 3 + noise


register("sra1", RoesslerSRA1())
