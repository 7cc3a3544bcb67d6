"""The flow of an SDE as printed: (45), Φ as one exponential, and (53), its second derivative in the initial value."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from sdewm.jets.directional import directional
from sdewm.noise.grid import TimeGrid
from sdewm.noise.increments import Increments
from sdewm.sensitivity import CoefficientOf, Prolongation, jacobians_along, second_derivative
from sdewm.solvers.methods import Method
from sdewm.systems.sde import SDE

EXPONENT_READINGS: dict[str, tuple[bool, bool]] = {
    "sums from k = 0": (True, True),
    "½∫ from k = 1": (True, False),
    "sums from k = 1": (False, False),
}
"""Whether the drift's Jacobian is in (45)'s first sum, and in its second. (43) sums from k = 0, which makes the first
reading the literal one; the Itô correction has no business with k = 0."""

SecondReading = Literal["literal", "from 0", "∂²g[∂_i x, ∂_j x], from 0"]
SECOND_READINGS: tuple[SecondReading, ...] = ("literal", "from 0", "∂²g[∂_i x, ∂_j x], from 0")
"""(53) with its initial value e_j; with the derivative's true one; and with its last factor read as ∂_j x."""


def printed_flow_exponents(
    sde: SDE, x0: Float[Tensor, "*paths n"], grid: TimeGrid, *, noise: Increments, method: Method = "euler"
) -> dict[str, Float[Tensor, "paths n n"]]:
    """∫∂g_k dB^k − ½ ∫Σ_k ∂g_k (∂g_k)ᵀ ds, (45)'s exponent, for each of :data:`EXPONENT_READINGS`, ``(paths, n, n)``.

    Sums over the grid, as in :func:`sdewm.sensitivity.flow_exponent`.
    """
    sums: dict[str, Tensor] = {}
    for dB, slopes in jacobians_along(sde, x0, grid, noise=noise, method=method):
        first = dB[..., None, None] * slopes
        second = -0.5 * grid.dt * (slopes @ slopes.mT)
        for reading, (in_first, in_second) in EXPONENT_READINGS.items():
            step = first[:, 0 if in_first else 1 :].sum(1) + second[:, 0 if in_second else 1 :].sum(1)
            sums[reading] = sums[reading] + step if reading in sums else step
    return sums


class PrintedSecondVariationSDE(Prolongation):
    """(x, ∂_i x, ∂_j x, ∂²_ij x) with (52), and with (53) as printed; N = 4 n.

    (53) is d∂²_ij x = ∂²g_k[∂_i x, ∂²_ij x] dB^k, from e_j.
    """

    def __init__(self, sde: SDE, reading: SecondReading = "literal") -> None:
        if reading not in SECOND_READINGS:
            raise ValueError(f"reading: expected one of {list(SECOND_READINGS)}, got {reading!r}")
        super().__init__(sde)
        self.reading = reading

    def initial(
        self, x0: Float[Tensor, "... n"], u: Float[Tensor, "... n"], v: Float[Tensor, "... n"]
    ) -> Float[Tensor, "... N"]:
        """(x0, u, v, v), or (x0, u, v, 0) in the other readings; ``(..., 4 n)`` from three of ``(..., n)``."""
        u, v = u.expand(x0.shape), v.expand(x0.shape)
        return torch.cat([x0, u, v, v if self.reading == "literal" else torch.zeros_like(v)], -1)

    def split(self, state: Float[Tensor, "*paths N"]) -> tuple[Float[Tensor, "*paths n"], ...]:
        """x, ∂_i x, ∂_j x and what (53) calls ∂²_ij x, each ``(..., n)``."""
        x, u, v, w = state.tensor_split(4, -1)
        return x, u, v, w

    def rows(self, coefficient: CoefficientOf, state: Float[Tensor, "*paths N"]) -> list[Float[Tensor, "*paths n"]]:
        x, u, v, w = self.split(state)

        def g(p: Tensor) -> Tensor:
            return coefficient(self.sde, p)

        last = v if self.reading == "∂²g[∂_i x, ∂_j x], from 0" else w
        return [g(x), directional(g, x, u), directional(g, x, v), second_derivative(g, x, u, last)]
