"""Linear algebra on jets: the equations that define each function hold for all coefficients; closed forms."""

import pytest
import torch
from support import F64, refuses
from torch import Tensor

from sdewm.jets import Jet, JetSpace, NotDifferentiable, linear_algebra

SPACES = [JetSpace(1, 3), JetSpace(2, 3), JetSpace(3, 2)]
ONES = torch.ones(2, 1, dtype=F64)
ROUNDING = 1e-11  # of a few dozen products of numbers of size one


def random_jet(space: JetSpace, *shape: int, seed: int = 0) -> Jet:
    generator = torch.Generator().manual_seed(seed)
    return Jet(torch.randn(len(space), *shape, generator=generator, dtype=F64) / 3, space)


def well_conditioned(space: JetSpace, *batch: int, n: int = 3, seed: int = 0) -> Jet:
    return random_jet(space, *batch, n, n, seed=seed) + 2 * torch.eye(n, dtype=F64)


def positive(space: JetSpace, *batch: int, n: int = 3) -> Jet:
    a = random_jet(space, *batch, n, n)
    return a @ a.mT + torch.eye(n, dtype=F64)


def assert_jets_equal(a: Jet, b: Jet | Tensor) -> None:
    expected = b.coefficients if isinstance(b, Jet) else torch.cat([b[None], torch.zeros_like(a.coefficients[1:])])
    torch.testing.assert_close(a.coefficients, expected.expand_as(a.coefficients), rtol=ROUNDING, atol=ROUNDING)


def symmetric(x: Jet) -> Jet:
    return 0.5 * (x + x.mT)


@pytest.mark.parametrize("space", SPACES, ids=str)
@pytest.mark.parametrize("batch", [(), (4,), (2, 3)], ids=str)
def test_the_defining_equations_hold_to_every_order(space, batch):
    a, unit = well_conditioned(space, *batch), torch.eye(3, dtype=F64).expand(*batch, 3, 3)
    for b in (
        random_jet(space, *batch, 3, 2, seed=1),
        torch.ones(*batch, 3, 2, dtype=F64),
        torch.ones(3, 2, dtype=F64),
    ):
        assert_jets_equal(a @ torch.linalg.solve(a, b), b.expand(*batch, 3, 2))
        assert_jets_equal(a.value @ torch.linalg.solve(a.value, b), b.expand(*batch, 3, 2)) if isinstance(
            b, Jet
        ) else None
    vector = random_jet(space, *batch, 3, seed=2)
    assert_jets_equal((a @ torch.linalg.solve(a, vector).unsqueeze(-1)).squeeze(-1), vector)
    right = random_jet(space, *batch, 2, 3, seed=3)
    assert_jets_equal(torch.linalg.solve(a, right, left=False) @ a, right)
    assert_jets_equal(torch.linalg.solve_ex(a, right, left=False).result @ a, right)
    for inverse in (
        torch.linalg.inv(a),
        torch.inverse(a),
        torch.linalg.inv_ex(a).inverse,
        torch.linalg.matrix_power(a, -1),
    ):
        assert_jets_equal(a @ inverse, unit)
    assert_jets_equal(torch.linalg.matrix_power(a, 5), a @ a @ a @ a @ a)


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_triangular_systems_look_at_their_triangle_alone(space):
    a, b = well_conditioned(space, 4), random_jet(space, 4, 3, 2, seed=1)
    for upper in (False, True):
        triangle = a.triu() if upper else a.tril()
        assert_jets_equal(triangle @ torch.linalg.solve_triangular(a, b, upper=upper), b)
        assert_jets_equal(torch.linalg.solve_triangular(a, b.mT, upper=upper, left=False) @ triangle, b.mT)
        unit = triangle - torch.diag_embed(a.diagonal(dim1=-2, dim2=-1)) + torch.eye(3, dtype=F64)
        assert_jets_equal(unit @ torch.linalg.solve_triangular(a, b, upper=upper, unitriangular=True), b)
        factor = triangle.mT if upper else triangle
        whole = factor @ factor.mT
        assert_jets_equal(whole @ torch.cholesky_solve(b, a, upper=upper), b)
        assert_jets_equal(whole @ torch.cholesky_inverse(a, upper=upper), torch.eye(3, dtype=F64).expand(4, 3, 3))


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_a_cholesky_factor_is_triangular_and_its_square_is_the_matrix(space):
    a = positive(space, 4)
    for root in (torch.linalg.cholesky(a), torch.linalg.cholesky_ex(a).L, torch.linalg.cholesky(a, upper=True).mT):
        assert_jets_equal(root @ root.mT, a)
        assert_jets_equal(root.tril(), root)
    nonsense = a + random_jet(space, 4, 3, 3).triu(1)  # above the diagonal nothing is read
    assert_jets_equal(torch.linalg.cholesky(nonsense), torch.linalg.cholesky(a))


def leibniz(a: Jet) -> Jet:
    """The determinant of 3 × 3 matrices, written out."""
    e = [[a[..., i, j] for j in range(3)] for i in range(3)]
    return (
        e[0][0] * (e[1][1] * e[2][2] - e[1][2] * e[2][1])
        - e[0][1] * (e[1][0] * e[2][2] - e[1][2] * e[2][0])
        + e[0][2] * (e[1][0] * e[2][1] - e[1][1] * e[2][0])
    )


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_determinants_are_leibniz_formula(space):
    a = well_conditioned(space, 5)
    a = torch.where(torch.arange(5).reshape(5, 1, 1) < 2, -a, a)  # of both signs
    expected = leibniz(a)
    assert_jets_equal(torch.linalg.det(a), expected)
    assert_jets_equal(torch.det(a), expected)
    sign, logarithm = torch.linalg.slogdet(a)
    assert_jets_equal(sign * logarithm.exp(), expected)
    assert_jets_equal(torch.logdet(a[2:]), expected[2:].log())


def test_the_determinant_is_smooth_where_it_vanishes():
    space = JetSpace(2, 3)
    a = random_jet(space, 4, 3, 3)
    a.coefficients[0, 0] = 0
    a.coefficients[0, 1] = 1
    a.coefficients[0, 2, 0] = a.coefficients[0, 2, 1]
    assert_jets_equal(torch.linalg.det(a), leibniz(a))


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_the_matrix_exponential_is_its_series(space):
    a = random_jet(space, 2, 3, 3)
    term = total = torch.zeros_like(a) + torch.eye(3, dtype=F64)
    for k in range(1, 40):
        term = term @ a / k
        total = total + term
    assert_jets_equal(torch.linalg.matrix_exp(a), total)
    assert_jets_equal(torch.matrix_exp(a), total)


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_eigenvalues_and_vectors_make_the_matrix(space):
    a = symmetric(random_jet(space, 2, 3, 3)) + torch.diag(torch.tensor([1.0, 3.0, 6.0], dtype=F64))
    for side in "LU":
        values, vectors = torch.linalg.eigh(a, side)
        assert_jets_equal(vectors @ torch.diag_embed(values) @ vectors.mT, a)
        assert_jets_equal(vectors.mT @ vectors, torch.eye(3, dtype=F64).expand(2, 3, 3))
        assert_jets_equal(torch.linalg.eigvalsh(a, side), values)
    equal = a * 0 + torch.eye(3, dtype=F64) + random_jet(space, 2, 3, 3) * 0
    with refuses(NotDifferentiable, "eigvalsh of a jet: the matrix has equal eigenvalues", "such as its trace"):
        torch.linalg.eigvalsh(equal)


def along(t0: float, order: int) -> Jet:
    c = torch.zeros(order + 1, dtype=F64)
    c[0], c[1] = t0, 1
    return Jet(c, JetSpace(1, order))


def matrix(*rows: tuple) -> Tensor:
    one = torch.ones((), dtype=F64)
    return torch.stack([torch.stack([x * one for x in row]) for row in rows])


@pytest.mark.parametrize(
    ("name", "function", "right"),
    [
        # det [[t+2, 1], [1, 2t+3]] = (t+2)(2t+3) − 1
        ("det", lambda t: torch.linalg.det(matrix((t + 2, 1), (1, 2 * t + 3))), 4.0),
        # log det [[t+2, 1], [1, 3]] = log(3t + 5)
        ("slogdet", lambda t: torch.linalg.slogdet(matrix((t + 2, 1), (1, 3)))[1], -9 / 7.1**2),
        ("logdet", lambda t: torch.logdet(matrix((t + 2, 1), (1, 3))), -9 / 7.1**2),
        # the sum of the solution is (t + 3)/(3t + 5)
        ("solve", lambda t: torch.linalg.solve(matrix((t + 2, 1), (1, 3)), ONES).sum(), 24 / 7.1**3),
        # with a = t + 1 the sum of ([[a, 0], [1, 2]] [[a, 0], [1, 2]]ᵀ)⁻¹ is 5/(4a²) − 1/(2a) + 1/4
        ("inverse", lambda t: torch.cholesky_inverse(matrix((t + 1, 0), (1, 2))).sum(), 7.5 / 1.7**4 - 1 / 1.7**3),
    ],
)
def test_second_derivatives_in_closed_form(name, function, right):
    assert function(along(0.7, 2)).coefficients[2].item() * 2 == pytest.approx(right, rel=1e-12)


MUTATIONS = {
    "the products of lower orders are left out": ("_known", lambda space, row, a, x: a[row] @ x[0]),
    "the sign of a correction is wrong": ("_known", lambda space, row, a, x: -a[row] @ x[0]),
}


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_a_wrong_recursion_is_noticed(monkeypatch, mutation):
    monkeypatch.setattr(linear_algebra, *MUTATIONS[mutation])
    with pytest.raises(AssertionError):
        test_the_defining_equations_hold_to_every_order(JetSpace(2, 3), ())


def test_factors_are_all_pairs_of_rows_that_multiply_to_a_row():
    for space in SPACES:
        for row, alpha in enumerate(space.indices):
            pairs = {
                (i, j)
                for i, beta in enumerate(space.indices)
                for j, gamma in enumerate(space.indices)
                if i and j and tuple(map(sum, zip(beta, gamma, strict=True))) == alpha
            }
            assert set(space.factors(row)) == pairs
