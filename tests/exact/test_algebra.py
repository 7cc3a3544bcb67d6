"""The nilpotent algebra: its two forms agree, and a term that is left out is caught."""

import numpy as np
import pytest
from referees import GBM, gbm_moments, rotating, rotating_by_hand

from sdewm.exact import (
    algebra,
    gbm_coefficients,
    multi_indices,
)


def differ(actual: dict, expected: dict) -> set:
    return {alpha for alpha in expected if abs(actual[alpha] - expected[alpha]) > 1e-3}


# -- the algebra ---------------------------------------------------------------------------------------------


def test_indices():
    assert multi_indices(2) == ((0, 0), (1, 0), (0, 1), (2, 0), (1, 1), (0, 2))
    assert len(multi_indices()) == 10


def test_multiplication_matrices_commute_and_are_nilpotent():
    n_a, n_b = algebra.multiplication_matrices(3)
    assert np.array_equal(n_a @ n_b, n_b @ n_a)
    for a, b in multi_indices(4):
        power = np.linalg.matrix_power(n_a, a) @ np.linalg.matrix_power(n_b, b)
        assert power.any() == (a + b <= 3)


def test_matrices_and_polynomials_are_the_same_algebra():
    rng = np.random.default_rng(0)
    p, q = ({alpha: rng.standard_normal((2, 2)) for alpha in multi_indices(3)} for _ in range(2))
    product = algebra.product(p, q, 3, np.matmul)
    lifted = algebra.as_matrix(p, 3) @ algebra.as_matrix(q, 3)
    np.testing.assert_allclose(lifted.toarray(), algebra.as_matrix(product, 3).toarray(), atol=1e-14)


# -- the torus -----------------------------------------------------------------------------------------------


def test_the_block_by_block_product_is_the_lifted_matrix():
    rng = np.random.default_rng(0)
    terms = {alpha: rng.standard_normal((4, 4)) for alpha in ((0, 0), (1, 0), (0, 1), (2, 0), (1, 2), (4, 0))}
    u = rng.standard_normal((10, 4))
    np.testing.assert_allclose(algebra.act(terms, u, 3).ravel(), algebra.as_matrix(terms, 3) @ u.ravel(), atol=1e-13)


# -- what the comparisons would catch ------------------------------------------------------------------------


def drop(monkeypatch, term: tuple[int, int]) -> None:
    """Let the referees that use the algebra forget a term of their generator."""
    lift = algebra.as_matrix

    def forgetful(terms, degree):
        return lift({alpha: matrix for alpha, matrix in terms.items() if alpha != term}, degree)

    for module in ("linear", "kolmogorov"):
        monkeypatch.setattr(f"sdewm.exact.{module}.as_matrix", forgetful)


@pytest.mark.parametrize(
    ("dropped", "moved"),
    [
        ((1, 0), {(1, 0), (1, 1), (2, 0), (3, 0), (1, 2), (2, 1)}),
        ((0, 1), {(0, 1), (1, 1), (0, 2), (0, 3), (1, 2), (2, 1)}),
        ((2, 0), {(2, 0), (2, 1), (3, 0)}),  # ½ ε_a² η_k η_kᵀ : ∇², the A_2 of the generator
    ],
)
def test_a_missing_term_of_the_generator_is_caught(monkeypatch, dropped, moved):
    p = GBM | dict(tau=1.0, nu=1.0)  # every coefficient well above the threshold of differ()
    assert not differ(gbm_moments(**p), gbm_coefficients(**p))
    drop(monkeypatch, dropped)
    assert differ(gbm_moments(**p), gbm_coefficients(**p)) == moved
    assert differ(rotating(), rotating_by_hand()) == moved


def test_a_missing_square_of_the_drift_step_is_caught(monkeypatch):
    """On the Euler grid (F_1 Δt) ⊗ (F_1 Δt) is of order ε_b²."""
    drop(monkeypatch, (0, 2))
    assert (0, 2) in differ(gbm_moments(steps=7, **GBM), gbm_coefficients(steps=7, **GBM))
