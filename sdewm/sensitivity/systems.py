"""Derivatives of a solution as solutions themselves: SDEs for a state and its derivatives, which every stepper takes.

Differentiating a stepper's map gives the same stepper applied to these systems, so that what comes out of them and
what comes out of jets agrees to rounding on any grid. They are written out as the paper has them, so that one route
can find a mistake in the other.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from sdewm import arguments
from sdewm.jets.directional import directional
from sdewm.sensitivity.steps import jacobian, second_derivative
from sdewm.systems.perturbed import Magnitude, PerturbedSDE
from sdewm.systems.sde import SDE, check_protocol, diffusion_matrix, diffusion_product, drift, noise_channels

CoefficientOf = Callable[[SDE, Float[Tensor, "paths n"]], Float[Tensor, "paths n *channels"]]


class Prolongation(ABC):
    """A state x and derivatives of it, side by side in one vector ``(paths, N)``; driven by the noise of ``sde``.

    ``rows`` gives the coefficient of each part from a coefficient of the SDE: a function of (SDE, states ``(paths,
    n)``), which is a drift ``(paths, n)``, a diffusion ``(paths, n, m)``, or that applied to increments. Works in the
    calculus of the SDE: the chain rule's first derivatives are the same in both.
    """

    def __init__(self, sde: SDE) -> None:
        check_protocol("sde", sde)
        self.sde, self.sde_type = sde, sde.sde_type
        self.noise_type = sde.noise_type if sde.noise_type in ("additive", "scalar") else "general"

    @abstractmethod
    def split(self, state: Float[Tensor, "*paths N"]) -> tuple[Tensor, ...]:
        """The parts of states ``(..., N)``."""

    @abstractmethod
    def rows(
        self, coefficient: CoefficientOf, state: Float[Tensor, "paths N"]
    ) -> list[Float[Tensor, "paths _ *channels"]]:
        """One ``(paths, size, …)`` for each part."""

    def f(self, t: Float[Tensor, ""], x: Float[Tensor, "paths N"]) -> Float[Tensor, "paths N"]:
        return torch.cat(self.rows(lambda sde, p: drift(sde, t, p), x), 1)

    def g(self, t: Float[Tensor, ""], x: Float[Tensor, "paths N"]) -> Float[Tensor, "paths N *channels"]:
        return torch.cat(self.rows(lambda sde, p: diffusion_matrix(sde, t, p), x), 1)

    def g_prod(
        self, t: Float[Tensor, ""], x: Float[Tensor, "paths N"], dB: Float[Tensor, "paths channels"]
    ) -> Float[Tensor, "paths N"]:
        return torch.cat(self.rows(lambda sde, p: diffusion_product(sde, t, p, dB), x), 1)

    def noise_channels(self, t: Float[Tensor, ""], x: Float[Tensor, "paths N"]) -> int:
        return noise_channels(self.sde, t, self.split(x)[0])


class WithMatrix(Prolongation):
    """A state and a matrix that starts as I beside it; N = n + n²."""

    def initial(self, x0: Float[Tensor, "*paths n"]) -> Float[Tensor, "*paths N"]:
        """(x0, I), equation (44); ``(..., N)`` from ``(..., n)``."""
        x0 = arguments.state(x0, many=True)
        identity = torch.eye(x0.shape[-1], dtype=x0.dtype, device=x0.device).flatten()
        return torch.cat([x0, identity.expand(*x0.shape[:-1], -1)], -1)

    def split(self, state: Float[Tensor, "*paths N"]) -> tuple[Float[Tensor, "*paths n"], Float[Tensor, "*paths n n"]]:
        """The state ``(..., n)`` and the matrix ``(..., n, n)``."""
        n = round((state.shape[-1] + 0.25) ** 0.5 - 0.5)  # N = n + n²
        return state[..., :n], state[..., n:].unflatten(-1, (n, n))

    @abstractmethod
    def increment(
        self, slope: Float[Tensor, "paths n *channels n"], matrix: Float[Tensor, "paths n n"]
    ) -> Float[Tensor, "paths n *channels n"]:
        """The matrix's own coefficient, of ``slope``'s shape: ``slope`` is a coefficient's Jacobian at the state."""

    def rows(
        self, coefficient: CoefficientOf, state: Float[Tensor, "paths N"]
    ) -> list[Float[Tensor, "paths _ *channels"]]:
        x, matrix = self.split(state)
        slope = jacobian(lambda p: coefficient(self.sde, p), x)
        return [coefficient(self.sde, x), self.increment(slope, matrix).movedim(-1, 2).flatten(1, 2)]


class FundamentalMatrixSDE(WithMatrix):
    """(x, Φ): dΦ = ∂g_k Φ dB^k with the drift as k = 0, equation (43); N = n + n².

    >>> together = FundamentalMatrixSDE(gbm)
    >>> x, phi = together.split(solve(together, together.initial(x0), grid, method="milstein", paths=16))
    >>> phi.shape
    torch.Size([16, 1, 1])
    """

    def increment(
        self, slope: Float[Tensor, "paths n *channels n"], matrix: Float[Tensor, "paths n n"]
    ) -> Float[Tensor, "paths n *channels n"]:
        return (slope.flatten(1, -2) @ matrix).unflatten(1, slope.shape[1:-1])


class InverseMatrixSDE(WithMatrix):
    """(x, Φ⁻¹): dΦ⁻¹ = −Φ⁻¹ ∂g_k dB^k + Φ⁻¹ Σ_{k≥1} (∂g_k)² dt; N = n + n². In Stratonovich's calculus no last term."""

    def increment(
        self, slope: Float[Tensor, "paths n *channels n"], matrix: Float[Tensor, "paths n n"]
    ) -> Float[Tensor, "paths n *channels n"]:
        return -(matrix @ slope.flatten(2)).unflatten(2, slope.shape[2:])

    def f(self, t: Float[Tensor, ""], x: Float[Tensor, "paths N"]) -> Float[Tensor, "paths N"]:
        drift = super().f(t, x)
        if self.sde_type == "stratonovich":
            return drift
        state, inverse = self.split(x)
        slopes = jacobian(lambda p: diffusion_matrix(self.sde, t, p), state).movedim(2, 1)
        return drift + torch.cat([torch.zeros_like(state), (inverse @ (slopes @ slopes).sum(1)).flatten(1)], 1)


class SensitivitySDE(Prolongation):
    """(x, ∂_ε x, ∂²_ε x) of a perturbed system: equations (35)–(37), which are (38)–(40) at ε = 0; N = 3 n.

    >>> together = SensitivitySDE(family)
    >>> x, first, second = together.split(solve(together, together.initial(x0), grid, paths=16))
    >>> first.shape
    torch.Size([16, 1])
    """

    def __init__(self, family: PerturbedSDE, eps: Magnitude = 0.0) -> None:
        arguments.instance("family", family, PerturbedSDE, "a PerturbedSDE(base, error)")
        super().__init__(family.at(eps))
        self.error = family.error

    def initial(self, x0: Float[Tensor, "*paths n"]) -> Float[Tensor, "*paths N"]:
        """(x0, 0, 0); ``(..., 3 n)`` from ``(..., n)``."""
        x0 = arguments.state(x0, many=True)
        return torch.cat([x0, torch.zeros_like(x0), torch.zeros_like(x0)], -1)

    def split(
        self, state: Float[Tensor, "*paths N"]
    ) -> tuple[Float[Tensor, "*paths n"], Float[Tensor, "*paths n"], Float[Tensor, "*paths n"]]:
        """x, ∂_ε x and ∂²_ε x, each ``(..., n)``."""
        x, first, second = state.tensor_split(3, -1)
        return x, first, second

    def rows(
        self, coefficient: CoefficientOf, state: Float[Tensor, "paths N"]
    ) -> list[Float[Tensor, "paths _ *channels"]]:
        x, y, w = self.split(state)

        def g(p: Tensor) -> Tensor:
            return coefficient(self.sde, p)

        def eta(p: Tensor) -> Tensor:
            return coefficient(self.error, p)

        return [
            g(x),
            directional(g, x, y) + eta(x),
            second_derivative(g, x, y, y) + 2 * directional(eta, x, y) + directional(g, x, w),
        ]


class SecondVariationSDE(Prolongation):
    """(x, ∂x[u], ∂x[v], ∂²x[u, v]): derivatives in the initial value, equation (52) and (53) as it should be; N = 4 n.

    d∂²x[u, v] = (∂g_k ∂²x[u, v] + ∂²g_k[∂x[u], ∂x[v]]) dB^k, from 0.
    """

    def initial(
        self, x0: Float[Tensor, "*paths n"], u: Float[Tensor, "*paths n"], v: Float[Tensor, "*paths n"]
    ) -> Float[Tensor, "*paths N"]:
        """(x0, u, v, 0); ``(..., 4 n)`` from three of ``(..., n)``."""
        u, v = u.expand(x0.shape), v.expand(x0.shape)
        return torch.cat([x0, u, v, torch.zeros_like(x0)], -1)

    def split(
        self, state: Float[Tensor, "*paths N"]
    ) -> tuple[
        Float[Tensor, "*paths n"], Float[Tensor, "*paths n"], Float[Tensor, "*paths n"], Float[Tensor, "*paths n"]
    ]:
        """x, ∂x[u], ∂x[v] and ∂²x[u, v], each ``(..., n)``."""
        x, u, v, w = state.tensor_split(4, -1)
        return x, u, v, w

    def rows(
        self, coefficient: CoefficientOf, state: Float[Tensor, "paths N"]
    ) -> list[Float[Tensor, "paths _ *channels"]]:
        x, u, v, w = self.split(state)

        def g(p: Tensor) -> Tensor:
            return coefficient(self.sde, p)

        return [g(x), directional(g, x, u), directional(g, x, v), directional(g, x, w) + second_derivative(g, x, u, v)]
