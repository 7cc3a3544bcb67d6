"""Algorithms that draw the Lévy areas of a Brownian motion over one step, given its increments.

For channels k and l over a step of length h from time s,

    A_kl = ½ ∫ (B^k − B^k(s)) dB^l − (B^l − B^l(s)) dB^k,

antisymmetric, in units of time. With w = ΔB/√h and independent standard normals X_r, Y_r in R^m (Kloeden, Platen and
Wright 1992, from the Fourier series of the bridge)

    A_kl = h/(2π) Σ_r (X_r^k Z_r^l − X_r^l Z_r^k)/r,    Z_r = Y_r − √2 w.

Four algorithms keep the first ``terms`` of the series. They differ in what they put for the rest; writing ψ' for the
trigamma function, Σ_{r>n} r⁻² = ψ'(n+1):

====================  =====================================================================  ===================
``fourier``           nothing                                                                Kloeden et al. 1992
``milstein``          its part that is linear in the increments, exactly                     Milstein 1995
``wiktorsson``        a normal matrix with the rest's covariance given the increments        Wiktorsson 2001
``mrongowius-…``      the linear part exactly, a normal matrix for what is left of it        M. and Rößler 2022
====================  =====================================================================  ===================

The last two lower the mean-square error from O(1/terms) to O(1/terms²): given the X_r the rest is normal with a random
covariance, and only the fluctuation of that covariance about its mean is lost. Their areas have the exact mean, zero,
and covariance given the increments with any number of terms; that includes none at all, which is a normal area with the
right conditional covariance.

The part that is linear in the increments is all that the areas have in common with the integrals of the noise over
time: B(s) − B(t) − (s−t)/h ΔB has the integral −h^{3/2}/(√2 π) Σ_r X_r/r over the step. An algorithm that draws that
part exactly draws those integrals jointly with the areas (:meth:`LevyAlgorithm.time_integrals`).

P. E. Kloeden, E. Platen, I. W. Wright, Stoch. Anal. Appl. 10 (1992) 431–441. G. N. Milstein, Numerical Integration of
Stochastic Differential Equations (Kluwer 1995). M. Wiktorsson, Ann. Appl. Probab. 11 (2001) 470–487. J. Mrongowius,
A. Rößler, Stoch. Anal. Appl. 40 (2022) 397–425. F. Kastner, A. Rößler, Numer. Algorithms 93 (2023) 27–66, compare them.
"""

from __future__ import annotations

import functools
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import scipy
import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class LevyAlgorithm(ABC):
    """An algorithm for the areas, with what it declares of its error and of its cost.

    ``order``: the root-mean-square error is O(terms^−order). ``joint``: the first of its extra normals, one for each
    channel, complete Σ X_r/r exactly, so that integrals over time can be had with the areas.
    """

    name: ClassVar[str]
    order: ClassVar[float]
    joint: ClassVar[bool] = False

    @abstractmethod
    def mean_square_error(self, m: int, h: float, terms: int) -> float:
        """E (A_kl − Â_kl)² for one pair of m channels, in units of h²; the increments are exact.

        Exact or an upper bound, as each algorithm says.
        """

    @abstractmethod
    def extra_normals(self, m: int) -> int:
        """Standard normals for what replaces the rest of the series."""

    @abstractmethod
    def _rest(self, w: Tensor, normals: Tensor) -> Tensor | None:
        """T ``(paths, m, m)`` such that the rest is h/(2π) √(2ψ'(terms+1)) (T − Tᵀ); ``None`` for nothing."""

    def normals_per_term(self, m: int) -> int:
        """Standard normals for one term of the series: X_r and Y_r."""
        return 2 * m

    def normals(self, m: int, terms: int) -> int:
        """Standard normals for the areas of one step of one path, its increments not counted."""
        return self.normals_per_term(m) * terms + self.extra_normals(m)

    def terms_for(self, m: int, h: float, tolerance: float) -> int:
        """The fewest terms, possibly none, with a declared root-mean-square error of at most ``tolerance``."""
        check_span(m, h)
        if not (math.isfinite(tolerance) and tolerance > 0):
            raise ValueError(f"tolerance: expected a positive root-mean-square error, got {tolerance}")

        def good(terms: int) -> bool:
            return self.mean_square_error(m, h, terms) <= tolerance**2

        bad, enough = -1, 0
        while not good(enough):
            bad, enough = enough, 2 * enough + 1
        while enough - bad > 1:
            middle = (bad + enough) // 2
            bad, enough = (bad, middle) if good(middle) else (middle, enough)
        return enough

    def sample(
        self, dB: Float[Tensor, "paths channels"], h: float, terms: int, generator: torch.Generator
    ) -> Float[Tensor, "paths channels channels"]:
        """Areas ``(paths, m, m)``, float64, for increments ``(paths, m)`` over steps of length h.

        Draws ``normals(m, terms)`` standard normals per path, all at once, on the generator's device.
        """
        m = check_increments(dB)
        _check_terms(terms)
        drawn = torch.randn(
            len(dB), self.normals(m, terms), generator=generator, dtype=torch.float64, device=generator.device
        )
        return self.from_normals(dB, h, terms, drawn.to(dB.device))

    def from_normals(
        self, dB: Float[Tensor, "paths channels"], h: float, terms: int, normals: Float[Tensor, "paths normals"]
    ) -> Float[Tensor, "paths channels channels"]:
        """The areas ``(paths, m, m)`` as a function of standard normals ``(paths, normals(m, terms))``.

        First those of the series, X_1, Y_1, X_2, Y_2, …, then the extra ones.
        """
        m = self._check(dB, h, terms, normals)
        w = dB.to(torch.float64) / math.sqrt(h)
        series = normals[:, : 2 * m * terms].unflatten(1, (terms, 2, m))
        r = torch.arange(1, terms + 1, dtype=torch.float64, device=dB.device)
        half = series[:, :, 0].mT @ ((series[:, :, 1] - math.sqrt(2) * w[:, None]) / r[:, None])
        rest = self._rest(w, normals[:, 2 * m * terms :])
        if rest is not None:
            half = half + math.sqrt(2 * _tail(1, terms)) * rest
        return h / (2 * math.pi) * (half - half.mT)

    def time_integrals(
        self, dB: Float[Tensor, "paths channels"], h: float, terms: int, normals: Float[Tensor, "paths normals"]
    ) -> Float[Tensor, "paths channels"]:
        """The integrals of B(s) − B(t) over the step from its start t, ``(paths, m)``, jointly with the areas.

        Along the paths whose areas :meth:`from_normals` makes of the same arguments. ``ValueError`` for an algorithm
        that is not ``joint``.
        """
        if not self.joint:
            others = " or ".join(f'"{name}"' for name, algorithm in ALGORITHMS.items() if algorithm.joint)
            raise ValueError(f"algorithm: expected {others}, which draw integrals over time too, got {self.name!r}")
        m = self._check(dB, h, terms, normals)
        series = normals[:, : 2 * m * terms].unflatten(1, (terms, 2, m))[:, :, 0]
        r = torch.arange(1, terms + 1, dtype=torch.float64, device=dB.device)
        rest = math.sqrt(_tail(1, terms)) * normals[:, 2 * m * terms :][:, :m]
        return 0.5 * h * dB - h**1.5 / (math.sqrt(2) * math.pi) * ((series / r[:, None]).sum(1) + rest)

    def _check(self, dB: Tensor, h: float, terms: int, normals: Tensor) -> int:
        """The number of channels; ``ValueError`` for a shape or number that is wrong."""
        m = check_increments(dB)
        check_span(m, h)
        _check_terms(terms)
        expected = (len(dB), self.normals(m, terms))
        if normals.shape != expected:
            raise ValueError(f"normals: expected shape {expected}, got {tuple(normals.shape)}")
        return m


@dataclass(frozen=True)
class FourierAreas(LevyAlgorithm):
    """The series cut off (Kloeden, Platen and Wright 1992). Its declared error, 3h²ψ'(n+1)/(2π²), is exact."""

    name = "fourier"
    order = 0.5

    def mean_square_error(self, m: int, h: float, terms: int) -> float:
        return 3 * h**2 / (2 * math.pi**2) * _tail(1, terms)

    def extra_normals(self, m: int) -> int:
        return 0

    def _rest(self, w: Tensor, normals: Tensor) -> Tensor | None:
        return None


@dataclass(frozen=True)
class MilsteinAreas(LevyAlgorithm):
    """The series cut off, with the sum Σ X_r/r that multiplies the increments completed exactly (Milstein 1995).

    Its declared error, h²ψ'(n+1)/(2π²), is exact: a third of :class:`Fourier`'s for m more normals.
    """

    name = "milstein"
    order = 0.5
    joint = True

    def mean_square_error(self, m: int, h: float, terms: int) -> float:
        return h**2 / (2 * math.pi**2) * _tail(1, terms)

    def extra_normals(self, m: int) -> int:
        return m

    def _rest(self, w: Tensor, normals: Tensor) -> Tensor:
        return w[:, :, None] * normals[:, None, :]


@dataclass(frozen=True)
class WiktorssonAreas(LevyAlgorithm):
    """The rest replaced by a normal matrix with its covariance given the increments (Wiktorsson 2001).

    With G antisymmetric and L(G) = G w wᵀ + w wᵀ G that covariance is h²ψ'(n+1)/(2π²) (I + L), whose square root
    needs no decomposition, as L's eigenvalues are 0 and |w|²: (I + L)^½ = I + L/(1 + √(1+|w|²)).

    The declared error is the second-order one in the fluctuation of the covariance V = V(X) of the rest, taken over
    the increments with Jensen's inequality: E |(V^½ − (EV)^½)_ab|² ≈ E (V − EV)²_ab/(v_a^½ + v_b^½)² in the eigenbasis
    of EV. The published bound 5mh²/(12π²n²) is some ten to thirty times as large. Not a proven bound itself: simulated
    with 2 to 24 channels and 0 to 20 terms, the mean-square error is 0.53 to 0.93 of it.
    """

    name = "wiktorsson"
    order = 1.0

    def mean_square_error(self, m: int, h: float, terms: int) -> float:
        if m < 2:
            return 0.0
        first, others = m - 1, (m - 1) * (m - 2) / 2  # pairs with w's direction in them, and without
        q = 2 * m  # mean of 2|w|²
        total = first * (1 + q) / (2 + q) + first * (first - 1) / 8 + others * (m - 1) / 4
        total += 2 * first * (first - 1) * (1 + q) / (math.sqrt(2 + q) + math.sqrt(2)) ** 2
        return h**2 / (4 * math.pi**2) * _fluctuation(terms) * total / (first + others)

    def extra_normals(self, m: int) -> int:
        return m * (m - 1) // 2

    def _rest(self, w: Tensor, normals: Tensor) -> Tensor:
        upper = _upper(normals, w.shape[1])
        turned = (upper - upper.mT) @ w[:, :, None]
        scale = 1 / (1 + (1 + (w**2).sum(1)).sqrt())
        return upper + scale[:, None, None] * turned * w[:, None, :]


@dataclass(frozen=True)
class MrongowiusRoesslerAreas(LevyAlgorithm):
    """The rest's part linear in the increments exactly, and a normal matrix for the other (Mrongowius, Rößler 2022).

    The covariance that is replaced by its mean 2ψ'(n+1) I is V(G) = SG + GS with S = Σ_{r>n} X_r X_rᵀ/r², of
    eigenvalues s_i + s_j. The declared error is mh²/(96π²) ψ'''(n+1)/ψ'(n+1) ~ mh²/(48π²n²), a quarter of the
    published bound mh²/(12π²n²). For m = 2 it is a bound: V is a sum of exponential variables, so E√V is at least
    that of the gamma variable with V's mean μ and variance σ² (convexity of log(1+sλ)/λ in λ), which is at least
    √μ (1 − σ²/8μ²). For m > 2 it is the second-order error in V's fluctuation, not a proven bound: simulated with 2 to
    24 channels and 0 to 20 terms, the mean-square error is 0.50 to 1.00 of it, 1.007 ± 0.018 at the most.
    """

    name = "mrongowius-roessler"
    order = 1.0
    joint = True

    def mean_square_error(self, m: int, h: float, terms: int) -> float:
        return h**2 / (4 * math.pi**2) * _fluctuation(terms) * m / 4 if m > 1 else 0.0

    def extra_normals(self, m: int) -> int:
        return m + m * (m - 1) // 2

    def _rest(self, w: Tensor, normals: Tensor) -> Tensor:
        m = w.shape[1]
        return w[:, :, None] * normals[:, None, :m] + _upper(normals[:, m:], m)


ALGORITHMS: dict[str, LevyAlgorithm] = {
    algorithm.name: algorithm
    for algorithm in (FourierAreas(), MilsteinAreas(), WiktorssonAreas(), MrongowiusRoesslerAreas())
}


@functools.lru_cache(maxsize=4096)
def _tail(k: int, terms: int) -> float:
    """The polygamma function: k! Σ_{r > terms} r^{−k−1} for odd k."""
    return float(scipy.special.polygamma(k, terms + 1))


def _fluctuation(terms: int) -> float:
    """Σ r⁻⁴/Σ r⁻² over r > terms, about 1/(3 terms²)."""
    return _tail(3, terms) / (6 * _tail(1, terms))


def _upper(normals: Tensor, m: int) -> Tensor:
    """Strictly upper triangular ``(paths, m, m)`` from ``(paths, m(m−1)/2)``."""
    upper = normals.new_zeros(len(normals), m, m)
    k, l = torch.triu_indices(m, m, 1, device=normals.device)  # noqa: E741
    upper[:, k, l] = normals
    return upper


def check_increments(dB: Float[Tensor, "paths channels"]) -> int:
    """The number of channels of increments ``(paths, channels)``; ``ValueError`` for another number of axes."""
    if dB.ndim != 2:
        raise ValueError(f"dB: expected shape (paths, channels), got {tuple(dB.shape)}")
    return dB.shape[1]


def check_span(m: int, h: float) -> None:
    """Refuse, with ``ValueError``, fewer channels than one and a step length that is not positive."""
    if m < 1:
        raise ValueError(f"m: expected at least one channel, got {m}")
    if not (math.isfinite(h) and h > 0):
        raise ValueError(f"h: expected a positive step, got {h}")


def _check_terms(terms: int) -> None:
    if not isinstance(terms, int) or terms < 0:
        raise ValueError(f"terms: expected a non-negative integer, got {terms!r}")
