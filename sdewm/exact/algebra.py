"""Polynomials in the two magnitudes, truncated at a total degree: as matrices, and as dictionaries of coefficients."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import Any

import numpy as np
from jaxtyping import Float64
from scipy import sparse

from sdewm.exact.checks import degree_of, finite_coefficients
from sdewm.jets.space import MultiIndex

Coefficients = dict[MultiIndex, float]
Polynomial = Mapping[MultiIndex, Any]  # coefficients: floats or arrays

ONE: MultiIndex = (0, 0)
EPS_A: MultiIndex = (1, 0)  # scales the diffusion error
EPS_B: MultiIndex = (0, 1)  # scales the drift error


def multi_indices(degree: int = 3) -> tuple[MultiIndex, ...]:
    """All α with |α| ≤ degree, by total degree: (0,0), (1,0), (0,1), (2,0), (1,1), (0,2), ..."""
    degree = degree_of(degree)
    return tuple((total - b, b) for total in range(degree + 1) for b in range(total + 1))


# ------------------------------------------------------------------------------------------------------------
# As matrices ...


def as_matrix(terms: Polynomial, degree: int) -> Any:
    """Σ_α N_a^α1 N_b^α2 ⊗ G_α as a sparse matrix; terms beyond the degree vanish by themselves."""
    n_a, n_b = multiplication_matrices(degree)
    return sum(
        sparse.kron(
            sparse.csr_array(np.linalg.matrix_power(n_a, a) @ np.linalg.matrix_power(n_b, b)),
            sparse.csr_array(matrix),
            format="csr",
        )
        for (a, b), matrix in terms.items()
    )


def act(terms: Polynomial, u: Float64[np.ndarray, "indices size"], degree: int) -> Float64[np.ndarray, "indices size"]:
    """What ``as_matrix(terms, degree)`` makes of u : (indices, size), without making it: for large, dense G_α."""
    position = {alpha: i for i, alpha in enumerate(multi_indices(degree))}
    out = np.zeros_like(u)
    for (a, b), matrix in terms.items():
        moved = [(i, position[c + a, d + b]) for (c, d), i in position.items() if (c + a, d + b) in position]
        if moved:
            source, target = zip(*moved, strict=True)
            out[list(target)] += u[list(source)] @ matrix.T
    return out


def multiplication_matrices(
    degree: int,
) -> tuple[Float64[np.ndarray, "indices indices"], Float64[np.ndarray, "indices indices"]]:
    """N_a, N_b: multiplication by ε_a, ε_b in the basis of monomials of total degree ≤ ``degree``."""
    position = {alpha: i for i, alpha in enumerate(multi_indices(degree))}
    n_a, n_b = np.zeros((2, len(position), len(position)))
    for (a, b), column in position.items():
        if a + b < degree:
            n_a[position[a + 1, b], column] = 1.0
            n_b[position[a, b + 1], column] = 1.0
    return n_a, n_b


def constant_vector(vector: Float64[np.ndarray, " size"], degree: int) -> Float64[np.ndarray, " _"]:
    """A vector that does not depend on ε, as an element of the algebra's module."""
    return np.concatenate([vector, np.zeros((len(multi_indices(degree)) - 1) * len(vector))])


def by_index(values: Float64[np.ndarray, " indices"], degree: int) -> Coefficients:
    return finite_coefficients(
        {alpha: float(value) for alpha, value in zip(multi_indices(degree), values, strict=True)}
    )


# ------------------------------------------------------------------------------------------------------------
# ... and as polynomials


def product(
    p: Polynomial, q: Polynomial, degree: int, multiply: Callable[[Any, Any], Any] = np.multiply
) -> dict[MultiIndex, Any]:
    return add(
        {(a + c, b + d): multiply(u, v)}
        for (a, b), u in p.items()
        for (c, d), v in q.items()
        if a + b + c + d <= degree
    )


def add(polynomials: Any) -> dict[MultiIndex, Any]:
    total: dict[MultiIndex, Any] = {}
    for p in polynomials:
        for alpha, value in p.items():
            total[alpha] = total[alpha] + value if alpha in total else value
    return total


def scale(p: Polynomial, factor: float) -> dict[MultiIndex, Any]:
    return {alpha: factor * value for alpha, value in p.items()}


def raised(p: Polynomial, exponent: int, degree: int) -> dict[MultiIndex, Any]:
    one: dict[MultiIndex, Any] = {ONE: 1.0}
    return reduce(lambda q, _: product(q, p, degree), range(exponent), one)


def compose(derivatives: Sequence[Any], p: Polynomial, degree: int) -> dict[MultiIndex, Any]:
    """φ(p) from the derivatives φ⁽ʲ⁾, j = 0..degree, at p's constant term."""
    rest = {alpha: value for alpha, value in p.items() if alpha != ONE}
    return add(
        scale(raised(rest, j, degree), derivative / math.factorial(j)) for j, derivative in enumerate(derivatives)
    )


def exponential(p: Polynomial, degree: int) -> dict[MultiIndex, Any]:
    return compose([np.exp(p[ONE])] * (degree + 1), p, degree)


def reciprocal(p: Polynomial, degree: int) -> dict[MultiIndex, Any]:
    return compose([(-1) ** j * math.factorial(j) / p[ONE] ** (j + 1) for j in range(degree + 1)], p, degree)


def floats(p: Polynomial, degree: int) -> Coefficients:
    return finite_coefficients({alpha: float(p.get(alpha, 0.0)) for alpha in multi_indices(degree)})
