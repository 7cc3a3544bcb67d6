"""The Itô–Taylor scheme of strong order 1.5 for noises that commute."""

from __future__ import annotations

from functools import partial

from jaxtyping import Float
from torch import Tensor

from sdewm.jets.directional import directional
from sdewm.solvers.registry import register
from sdewm.solvers.structure import NoiseStructure
from sdewm.solvers.structured import Structured
from sdewm.solvers.time_areas import time_means
from sdewm.systems.sde import SDE, diffusion_at, diffusion_product, drift, one_channel


class Taylor15(Structured):
    """The strong Taylor scheme of order 1.5 (Kloeden & Platen 1992, 10.4), where the diffusion vectors commute.

    With V = Σ_k g_k ΔB^k, derivatives L_v F = ∂F[v], Z the integrals of B(s) − B(t) over the step, and
    U = Σ_k g_k (Δt ΔB^k − Z^k) + ½ Δt² f, a step adds to x + f Δt + V

        ½ (L_V V − Δt Σ_k L_k g_k) + ∂f[Σ_k g_k Z^k] + ∂_t U + ∂U[f] + ½ Σ_k ∂²U[g_k, g_k]
        + ⅙ L_V L_V V − ½ Δt Σ_k L_k L_k V.

    Vector fields that commute have derivatives L_k L_l g_m that are symmetric in all three, so that only products of
    increments are left of the triple integrals. Derivatives in the state are exact, that in time is a difference.
    """

    strong_order = 1.5
    weak_order = 2.0
    sde_types = ("ito",)
    structures = ("additive", "scalar", "diagonal", "commutative")
    summary = "Taylor's scheme of order 1.5, with exact derivatives, where noises commute"
    needs_time_areas = True
    differentiates = True

    def prepared(self, structure: NoiseStructure, x0: Float[Tensor, "*paths n"]) -> Taylor15:
        return Taylor15(structure)

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
        product, slope = diffusion_at(sde, t, x), drift(sde, t, x)

        def noise(y: Tensor) -> Tensor:
            return diffusion_product(sde, t, y, dB)

        def twice(y: Tensor) -> Tensor:
            """L_V V."""
            return directional(noise, y, noise(y))

        def slow(y: Tensor, at: Tensor) -> Tensor:
            """U / Δt."""
            return diffusion_product(sde, at, y, dB - mean) + 0.5 * dt * drift(sde, at, y)

        now = partial(slow, at=t)
        out = x + slope * dt + noise(x) + 0.5 * twice(x) + directional(twice, x, noise(x)) / 6
        out = out + dt * directional(partial(drift, sde, t), x, product(mean))
        out = out + slow(x, t + dt) - now(x) + dt * directional(now, x, slope)
        for k in range(dB.shape[-1]):
            own = one_channel(dB, k)
            vector = product(own)

            def along(y: Tensor, own: Tensor = own) -> Tensor:
                """g_k + L_k V."""
                one = diffusion_product(sde, t, y, own)
                return one + directional(noise, y, one)

            def bent(y: Tensor, vector: Tensor = vector) -> Tensor:
                return directional(now, y, vector)

            out = out - 0.5 * dt * directional(along, x, vector) + 0.5 * dt * directional(bent, x, vector)
        return out


register("taylor-1.5", Taylor15())
