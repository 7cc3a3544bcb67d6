"""Special functions with no or with wrong derivatives in torch: sinc, Bessel functions, orthogonal polynomials."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from sdewm.jets.edges import watched
from sdewm.jets.elementwise import Series, compose
from sdewm.jets.jet import Jet
from sdewm.jets.registry import register

SMALL = 0.5  # a power series at 0 is used below this; above, dividing by x loses at most three binary digits per order
TERMS = 14  # terms of a power series at 0; the first that is left out is below 1e-17


def _near_zero(x: Tensor, coefficient: Callable[[int], float], odd: bool, order: int) -> Series:
    """Taylor coefficients at x of Σ_k coefficient(k) x^(2k), or x^(2k+1) where odd."""
    x = x.clamp(-SMALL, SMALL)
    series = []
    for j in range(order + 1):
        total = torch.zeros_like(x)
        for k in reversed(range(TERMS)):
            power = 2 * k + odd
            if power >= j:
                total = total + coefficient(k) * math.comb(power, j) * x ** (power - j)
        series.append(total)
    return series


def _joined(x: Tensor, near: Series, far: Series) -> Series:
    return [torch.where(x.abs() < SMALL, a, b) for a, b in zip(near, far, strict=True)]


def _away_from_zero(x: Tensor) -> Tensor:
    return torch.where(x.abs() < SMALL, torch.ones_like(x), x)


def _sinc(x: Tensor, order: int) -> Series:
    near = _near_zero(x, lambda k: (-1) ** k * math.pi ** (2 * k) / math.factorial(2 * k + 1), False, order)
    safe = _away_from_zero(x)
    phase = math.pi * safe
    cycle = [phase.sin(), phase.cos(), -phase.sin(), -phase.cos()]
    far = [torch.sinc(safe)]
    for j in range(1, order + 1):  # from x sinc(x) = sin(πx)/π
        sine = cycle[j % 4] * (math.pi**j / math.factorial(j))
        far.append((sine / math.pi - far[-1]) / safe)
    return _joined(x, near, far)


def _bessel(x: Tensor, zeroth: Tensor, first: Tensor, a: int, b: int, order: int) -> tuple[Series, Series]:
    """Taylor coefficients of y₀, y₁ with y₀′ = a y₁ and y₁′ = b y₀ − y₁/x."""
    y0, y1 = [zeroth], [first]
    for k in range(order):
        before = y0[k - 1] if k else torch.zeros_like(x)
        y0.append(a * y1[k] / (k + 1))
        y1.append((b * (x * y0[k] + before) - (k + 1) * y1[k]) / (x * (k + 1)))
    return y0, y1


def _cylinder(zeroth: str, first: str, a: int, b: int, sign: int | None) -> None:
    """Rules for a pair of Bessel functions; ``sign`` is that of their power series at 0, None for a singularity."""
    plain = getattr(torch.special, zeroth), getattr(torch.special, first)

    def rule_for(which: int) -> Callable[[Jet], Jet]:
        def apply(input: Jet) -> Jet:
            x, order = input.value, input.space.order
            safe = x if sign is None else _away_from_zero(x)
            far = _bessel(safe, plain[0](safe), plain[1](safe), a, b, order)[which]
            if sign is None:
                return compose(input, far)

            def coefficient(k: int) -> float:
                return sign**k / (4**k * 2**which * math.factorial(k) * math.factorial(k + which))

            return compose(input, _joined(x, _near_zero(x, coefficient, bool(which), order), far))

        return apply

    for which, name in enumerate((zeroth, first)):
        register(watched(name, rule_for(which)), name, "special_" + name)


register(lambda input: compose(input, _sinc(input.value, input.space.order)), "sinc", "special_sinc")
_cylinder("bessel_j0", "bessel_j1", -1, 1, -1)
_cylinder("bessel_y0", "bessel_y1", -1, 1, None)
_cylinder("modified_bessel_i0", "modified_bessel_i1", 1, 1, 1)
_cylinder("modified_bessel_k0", "modified_bessel_k1", -1, -1, None)


def _log_gamma_of_matrices(input: Any, p: int) -> Any:
    """The logarithm of the gamma function of p × p matrices, from that of numbers."""
    terms = torch.lgamma(input.unsqueeze(-1) - 0.5 * torch.arange(p, dtype=input.dtype, device=input.device))
    return terms.sum(-1) + p * (p - 1) / 4 * math.log(math.pi)


register(_log_gamma_of_matrices, "mvlgamma", "multigammaln")

# p₁, and the factors of p_{k+1} = (α x + β) p_k − γ p_{k−1}
POLYNOMIALS: dict[str, tuple[Callable[[Any], Any], Callable[[int], tuple[float, float, float]]]] = {
    "chebyshev_polynomial_t": (lambda x: x, lambda k: (2, 0, 1)),
    "chebyshev_polynomial_u": (lambda x: 2 * x, lambda k: (2, 0, 1)),
    "chebyshev_polynomial_v": (lambda x: 2 * x - 1, lambda k: (2, 0, 1)),
    "chebyshev_polynomial_w": (lambda x: 2 * x + 1, lambda k: (2, 0, 1)),
    "hermite_polynomial_h": (lambda x: 2 * x, lambda k: (2, 0, 2 * k)),
    "hermite_polynomial_he": (lambda x: x, lambda k: (1, 0, k)),
    "laguerre_polynomial_l": (lambda x: 1 - x, lambda k: (-1 / (k + 1), (2 * k + 1) / (k + 1), k / (k + 1))),
    "legendre_polynomial_p": (lambda x: x, lambda k: ((2 * k + 1) / (k + 1), 0, k / (k + 1))),
}


def _polynomial(name: str, shifted: bool) -> None:
    start, factors = POLYNOMIALS[name]

    def apply(input: Any, n: Any) -> Any:
        from sdewm.jets.fallback import refuse

        if isinstance(n, Jet) or not isinstance(input, Jet):
            refuse(name, "its degree is a whole number, and has no derivative")
        degrees = torch.as_tensor(n)
        x = 2 * input - 1 if shifted else input
        before, now = torch.ones_like(x), start(x)
        result = torch.where(degrees == 0, before, torch.where(degrees == 1, now, torch.zeros_like(x)))
        for k in range(1, int(degrees.max()) if degrees.numel() else 0):
            alpha, beta, gamma = factors(k)
            before, now = now, (alpha * x + beta) * now - gamma * before
            result = torch.where(degrees == k + 1, now, result)
        return result

    register(apply, ("shifted_" if shifted else "") + name)
    register(apply, "special_" + ("shifted_" if shifted else "") + name)


for _name in POLYNOMIALS:
    _polynomial(_name, shifted=False)
    if "chebyshev" in _name:
        _polynomial(_name, shifted=True)
