"""The oracle map of Proposition A.7 on the disk: the flow of Dacorogna and Moser.

The densities ρ_t = (1 − t) p + t q are carried along by v_t = ∇u/ρ_t, where Δu = p − q and ∂u/∂n = 0 on the circle: the
map of time 1 carries p to q, and the circle to itself. Both densities must be positive; what they are worth at
t between 0 and 1 then is too.

u is a polynomial (Galerkin's method in Zernike's basis): the gradient of a finite-element solution jumps from element
to element, and the flow of a field that jumps has no second derivative to look at. scikit-fem's solution is what the
tests hold it against.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from jaxtyping import Float64
from numpy.typing import NDArray
from scipy.integrate import solve_ivp
from scipy.special import eval_jacobi

from sdewm import arguments
from sdewm.approximation.densities import DiskMeasure, disk_nodes
from sdewm.arrays import Array

TOLERANCE = 1e-11
# Coefficients this small are rounding: densities on the disk are of order one.
NEGLIGIBLE = 1e-15


class MoserMap:
    """A diffeomorphism ψ of the closed disk with ψ_# ``source`` = ``target``, on points ``(n, 2)``.

    ``degree`` is that of the polynomial u; :attr:`tail` tells whether it is enough. ``ValueError`` where a density is
    not positive at a node of the quadrature.

    >>> p, q = DiskMeasure(lambda x: 1 + 0.5 * x[:, 0]), DiskMeasure(lambda x: 1 + 0 * x[:, 0])
    >>> psi = MoserMap(p, q)
    >>> x = np.array([[0.6, 0.8], [0.1, 0.0]])
    >>> bool(np.allclose(psi.inverse(psi(x)), x)), bool(np.isclose(np.linalg.norm(psi(x)[0]), 1))
    (True, True)
    """

    def __init__(self, source: DiskMeasure, target: DiskMeasure, degree: int = 16) -> None:
        self.source, self.target = source, target
        self.degree = arguments.integer("degree", degree, 2, 30)
        for name, measure in (("source", source), ("target", target)):
            arguments.instance(name, measure, DiskMeasure, "a DiskMeasure(weight)")
            lowest = measure.density(disk_nodes()[0]).min()
            if not lowest > 0:
                raise ValueError(f"{name}: expected a positive density, got one that goes to {lowest:g}")

    def __call__(self, x: Float64[np.ndarray, "points 2"]) -> Float64[np.ndarray, "points 2"]:
        return self._flow(x, 0.0, 1.0)

    def inverse(self, y: Float64[np.ndarray, "points 2"]) -> Float64[np.ndarray, "points 2"]:
        return self._flow(y, 1.0, 0.0)

    def potential_gradient(self, x: Float64[np.ndarray, "points 2"]) -> Float64[np.ndarray, "points 2"]:
        """∇u at points ``(n, 2)``."""
        modes, coefficients = self._potential
        return np.einsum("ndm,m->nd", gradients(x, modes), coefficients)

    @cached_property
    def tail(self) -> float:
        """What is missing of Δu, about: the largest coefficient of its two highest degrees, times degree²."""
        modes, coefficients = self._solve(0.0)
        high = np.array([m + 2 * k for k, m, _ in modes]) >= self.degree - 1
        return float(np.abs(coefficients[high]).max()) * self.degree**2

    @cached_property
    def _potential(self) -> tuple[list[Mode], Array]:
        return self._solve(NEGLIGIBLE)

    def _solve(self, negligible: float) -> tuple[list[Mode], Array]:
        """∫ ∇u·∇φ = −∫ (p − q) φ for every φ of the basis: the boundary condition is the natural one."""
        nodes, weights = disk_nodes()
        modes = zernike_modes(self.degree)
        slopes = gradients(nodes, modes)
        stiffness = np.einsum("ndi,n,ndj->ij", slopes, weights, slopes, optimize=True)
        load = (weights * (self.target.density(nodes) - self.source.density(nodes))) @ values(nodes, modes)
        coefficients = np.linalg.solve(stiffness, load)
        kept = np.abs(coefficients) > negligible
        return [mode for mode, keep in zip(modes, kept, strict=True) if keep], coefficients[kept]

    def _flow(self, x: Array, start: float, end: float) -> Array:
        def velocity(t: float, flat: Array) -> Array:
            at = flat.reshape(-1, 2)
            density = (1 - t) * self.source.density(at) + t * self.target.density(at)
            return (self.potential_gradient(at) / density[:, None]).ravel()

        solution = solve_ivp(
            velocity, (start, end), x.ravel(), method="DOP853", rtol=TOLERANCE, atol=TOLERANCE, t_eval=[end]
        )
        if not solution.success:
            raise RuntimeError(f"flow: {solution.message}")
        return solution.y[:, -1].reshape(-1, 2)


Mode = tuple[int, int, bool]
"""k, m and whether it is the sine: z^m P_k^{(0,m)}(2|z|² − 1), of degree m + 2k."""


def zernike_modes(degree: int) -> list[Mode]:
    """All up to a degree but the constant."""
    pairs = [(k, m) for m in range(degree + 1) for k in range((degree - m) // 2 + 1) if (k, m) != (0, 0)]
    return [(k, m, sine) for k, m in pairs for sine in ((False, True) if m else (False,))]


def values(x: Float64[np.ndarray, "points 2"], modes: list[Mode]) -> Float64[np.ndarray, "points modes"]:
    """The polynomials at ``(n, 2)``, as ``(n, modes)``."""
    z, t = _complex(x)
    columns = [_part(z**m * eval_jacobi(k, 0, m, t), sine) for k, m, sine in modes]
    return np.stack(columns, -1)


def gradients(x: Float64[np.ndarray, "points 2"], modes: list[Mode]) -> Float64[np.ndarray, "points 2 modes"]:
    """Their gradients, as ``(n, 2, modes)``."""
    z, t = _complex(x)
    slopes = np.empty((len(x), 2, len(modes)))
    for i, (k, m, sine) in enumerate(modes):
        radial = eval_jacobi(k, 0, m, t)
        outward = z**m * (2 * (k + m + 1) * eval_jacobi(k - 1, 1, m + 1, t)) if k else np.zeros_like(z)
        turn = m * z ** (m - 1) * radial if m else np.zeros_like(z)
        slopes[:, 0, i] = _part(turn + outward * x[:, 0], sine)
        slopes[:, 1, i] = _part(1j * turn + outward * x[:, 1], sine)
    return slopes


def _complex(x: Array) -> tuple[NDArray[np.complex128], Array]:
    return x[:, 0] + 1j * x[:, 1], 2 * (x**2).sum(1) - 1


def _part(z: NDArray[np.complex128], sine: bool) -> Array:
    return z.imag if sine else z.real
