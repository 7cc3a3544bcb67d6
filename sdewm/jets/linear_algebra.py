"""Inverses, solutions of linear systems, factorizations and determinants of matrices on jets.

Each is found order by order from its defining equation. From A X = B, for example, the coefficients of degree α give
A₀ X_α = B_α − Σ_{β>0} A_β X_{α−β}, so that one factorization of A₀ serves all orders. A batch of matrices has its batch
axes first, as everywhere in torch.linalg.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from sdewm.jets.edges import known, look, look_at, look_at_zero
from sdewm.jets.elementwise import HIGH
from sdewm.jets.fallback import nested
from sdewm.jets.jet import RULES, Jet, NotDifferentiable, constant
from sdewm.jets.registry import rule, space_of, unwrapped, warn_nonsmooth
from sdewm.jets.slopes import STEEP, look_at_peak
from sdewm.jets.space import JetSpace

Solver = Callable[[Tensor], Tensor]
LEAST_GAP = 1e-6  # between eigenvalues, relative to the largest: closer ones count as equal


def _rows(x: Any, space: JetSpace) -> Tensor:
    return (x if isinstance(x, Jet) else constant(x, space)).coefficients


def _known(space: JetSpace, row: int, a: Tensor, x: list[Tensor]) -> Tensor:
    """Σ_{β>0} A_β X_{α−β} for the multi-index α of the row, from the coefficients of X found so far."""
    total = a[row] @ x[0]
    for i, j in space.factors(row):
        total = total + a[i] @ x[j]
    return total


def _solution(solver: Solver, a: Any, b: Any) -> Jet:
    """The solution X of A X = B, where ``solver`` is the inverse of the value of A."""
    space = space_of(a, b)
    right = _rows(b, space)
    if not isinstance(a, Jet):
        return Jet(torch.stack([solver(row) for row in right]), space)
    left = a.coefficients
    x = [solver(right[0])]
    for row in range(1, len(space)):
        x.append(solver(right[row] - _known(space, row, left, x)))
    return Jet(torch.stack(x), space)


def _value(x: Any) -> Tensor:
    return x.value if isinstance(x, Jet) else x


def _look_at_singular(A: Any, triangle: Tensor, solver: Solver) -> None:
    """Warn if paths come near a zero of the determinant, the product of the diagonal: the inverse has a pole there."""
    if isinstance(A, Jet) and A.shape[-1]:
        size = triangle.detach().diagonal(dim1=-2, dim2=-1).prod(-1).abs()
        first = A.coefficients[1 : 1 + A.space.parameters] if A.space.order else A.coefficients[1:]

        def speed() -> Tensor:
            slopes = [solver(row).diagonal(dim1=-2, dim2=-1).sum(-1).abs() for row in first]
            return size * torch.stack(slopes).detach().sum(0)

        look_at("inverse", size, speed)


def _is_vector(a: Tensor, b: Tensor) -> bool:
    """Whether torch.linalg.solve reads B as (a batch of) vectors and not as matrices."""
    return b.ndim == 1 or (a.ndim - 1 == b.ndim and b.shape == a.shape[:-1])


@rule("linalg_solve", "solve")
def solve(A: Any, B: Any, *, left: bool = True) -> Any:
    if _is_vector(A, B):
        return solve(A, B.unsqueeze(-1)).squeeze(-1)
    if not left:
        return solve(A.mT, B.mT).mT
    factors = torch.linalg.lu_factor(_value(A))
    _look_at_singular(A, factors.LU, lambda rows: torch.linalg.lu_solve(*factors, rows))
    return _solution(lambda rows: torch.linalg.lu_solve(*factors, rows), A, _batched(A, B))


def _batched(a: Any, b: Any) -> Any:
    """B broadcast to the batch axes of the solution."""
    batch = torch.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    return b.expand(*batch, *b.shape[-2:])


@rule("linalg_solve_ex", "solve_ex")
def solve_ex(A: Any, B: Any, *, left: bool = True, check_errors: bool = False) -> Any:
    plain = torch.linalg.solve_ex(_value(A), _value(B), left=left, check_errors=check_errors)
    return type(plain)((solve(A, B, left=left), plain.info))


@rule("linalg_inv", "inv", "inverse")
def inv(A: Any) -> Jet:
    return solve(A, _unit(A))


def _unit(A: Any) -> Tensor:
    return torch.eye(A.shape[-1], dtype=A.dtype, device=A.device).expand(A.shape)


@rule("linalg_inv_ex", "inv_ex")
def inv_ex(A: Any, *, check_errors: bool = False) -> Any:
    plain = torch.linalg.inv_ex(_value(A), check_errors=check_errors)
    return type(plain)((inv(A), plain.info))


def _triangle(a: Any, upper: bool, unitriangular: bool = False) -> Any:
    """The part of A that a triangular solver reads."""
    a = a.triu() if upper else a.tril()
    if not unitriangular:
        return a
    return a - torch.diag_embed(a.diagonal(dim1=-2, dim2=-1)) + torch.eye(a.shape[-1], dtype=a.dtype, device=a.device)


@rule("linalg_solve_triangular", "solve_triangular")
def solve_triangular(A: Any, B: Any, *, upper: bool, left: bool = True, unitriangular: bool = False) -> Any:
    if not left:
        return solve_triangular(A.mT, B.mT, upper=not upper, unitriangular=unitriangular).mT
    A = _triangle(A, upper, unitriangular)
    value = _value(A)

    def solver(rows: Tensor) -> Tensor:
        return torch.linalg.solve_triangular(value, rows, upper=upper)

    _look_at_singular(A, value, solver)
    return _solution(solver, A, _batched(A, B))


@rule("triangular_solve")
def triangular_solve(
    input: Any, A: Any, upper: bool = True, transpose: bool = False, unitriangular: bool = False
) -> Any:
    triangle = _triangle(A, upper, unitriangular)
    solution = solve_triangular(triangle.mT if transpose else triangle, input, upper=upper != transpose)
    return torch.return_types.triangular_solve((solution, A.clone()))


@rule("linalg_cholesky")
def cholesky(A: Any, *, upper: bool = False) -> Any:
    if upper:
        return cholesky(A.mH).mH
    a, space = A.coefficients, A.space
    a = _hermitian(a, upper=False)
    root = torch.linalg.cholesky(a[0])
    found = [root]
    for row in range(1, len(space)):
        rest = a[row]
        for i, j in space.factors(row):
            rest = rest - found[i] @ found[j].mH
        # L₀⁻¹ (L₀ X* + X L₀*) L₀⁻* is Y + Y* with Y = L₀⁻¹ X lower triangular: half of its diagonal, and what is below.
        inside = torch.linalg.solve_triangular(root, rest, upper=False)
        inside = torch.linalg.solve_triangular(root, inside.mH, upper=False)
        half = inside.tril() - 0.5 * torch.diag_embed(inside.diagonal(dim1=-2, dim2=-1))
        found.append(root @ half)
    result = Jet(torch.stack(found), space)
    look_at_zero("cholesky", result.diagonal(dim1=-2, dim2=-1))
    return result


RULES[torch.cholesky] = RULES[Tensor.cholesky] = lambda input, upper=False: cholesky(input, upper=upper)


@rule("linalg_cholesky_ex", "cholesky_ex")
def cholesky_ex(A: Any, *, upper: bool = False, check_errors: bool = False) -> Any:
    plain = torch.linalg.cholesky_ex(_value(A), upper=upper, check_errors=check_errors)
    return type(plain)((cholesky(A, upper=upper), plain.info))


for _function, _rule in ((torch.linalg.cholesky, cholesky), (torch.linalg.cholesky_ex, cholesky_ex)):
    RULES[_function] = _rule


@rule("cholesky_solve")
def cholesky_solve(B: Any, L: Any, upper: bool = False) -> Any:
    L = _triangle(L.mH if upper else L, False)
    inside = solve_triangular(L, B, upper=False)
    return solve_triangular(L.mH, inside, upper=True)


@rule("cholesky_inverse")
def cholesky_inverse(L: Any, upper: bool = False) -> Any:
    if L.is_complex():
        raise NotDifferentiable("cholesky_inverse of a complex jet: use torch.cholesky_solve with a unit matrix")
    return cholesky_solve(torch.eye(L.shape[-1], dtype=L.dtype, device=L.device).expand(L.shape), L, upper)


def _log_ratio(A: Jet) -> Jet:
    """log(det A / det A₀), whose value is 0, degree by degree from d log det A = tr(A⁻¹ dA).

    With ε replaced by tε and A′ = dA/dt at t = 1, the coefficients of degree d of tr(A⁻¹ A′) are d times those of the
    logarithm.
    """
    space, a = A.space, A.coefficients
    factors = torch.linalg.lu_factor(A.value)
    inverse = _solution(lambda rows: torch.linalg.lu_solve(*factors, rows), A, _unit(A)).coefficients
    degrees = [sum(alpha) for alpha in space.indices]
    out = [torch.zeros_like(a[0, ..., 0, 0])] if A.shape[-1] else [a.new_zeros(A.shape[:-2])]
    for row in range(1, len(space)):
        total = degrees[row] * (inverse[0] * a[row].mT).sum((-2, -1))
        for i, j in space.factors(row):
            total = total + degrees[j] * (inverse[i] * a[j].mT).sum((-2, -1))
        out.append(total / degrees[row])
    return Jet(torch.stack(out), space)


@rule("linalg_det", "det")
def det(A: Any) -> Any:
    """A determinant is a polynomial of the entries, hence always smooth. If A₀ is singular, that polynomial is used."""
    value = torch.linalg.det(A.value)
    if bool((torch.linalg.cond(A.value) < 1e8).all()) if A.shape[-1] else True:
        return value * _log_ratio(A).exp()
    return _expanded_determinant(A)


def _expanded_determinant(A: Any) -> Any:
    """Berkowitz' algorithm, in n⁴ operations: it needs no division, so that it is right at singular matrices too."""
    n = A.shape[-1]
    batch = A.shape[:-2]
    one = torch.ones(*batch, 1, dtype=A.dtype, device=A.device)
    vector = torch.stack([one[..., 0], -A[..., 0, 0]], -1)
    for k in range(1, n):
        column, row, inner = A[..., :k, k], A[..., k, :k], A[..., :k, :k]
        entries = [one[..., 0], -A[..., k, k]]
        power = column.unsqueeze(-1)
        for _ in range(k):
            entries.append(-(row.unsqueeze(-2) @ power)[..., 0, 0])
            power = inner @ power
        new = []
        for i in range(k + 2):
            terms = [entries[i - j] * vector[..., j] for j in range(min(i, k) + 1)]
            total = terms[0]
            for term in terms[1:]:
                total = total + term
            new.append(total)
        vector = torch.stack(new, -1)
    return vector[..., n] * (-1) ** n


def _look_at_determinant(A: Jet) -> None:
    """Warn if paths come near a zero of the determinant, where its logarithm is singular and its sign jumps."""
    factors = torch.linalg.lu_factor(A.value)
    _look_at_singular(A, factors.LU, lambda rows: torch.linalg.lu_solve(*factors, rows))


@rule("linalg_slogdet", "slogdet")
def slogdet(A: Any) -> Any:
    _look_at_determinant(A)
    sign, value = torch.linalg.slogdet(A.value)
    plain = torch.linalg.slogdet(torch.eye(1, dtype=A.dtype))
    ratio: Any = _log_ratio(A)
    if A.is_complex():  # the sign is a complex phase, and varies
        return type(plain)((sign * (1j * ratio.imag).exp(), value + ratio.real))
    return type(plain)((constant(sign, A.space), value + ratio))


@rule("logdet")
def logdet(A: Any) -> Any:
    look("logdet", A)
    _look_at_determinant(A)
    return torch.logdet(A.value) + _log_ratio(A)


@rule("linalg_matrix_exp", "matrix_exp")
def matrix_exp(A: Any) -> Jet:
    """exp(A) is read off the exponential of a larger matrix, that of multiplication by A on truncated polynomials."""
    space, a, n = A.space, A.coefficients, A.shape[-1]
    value = unwrapped(a[0]).detach()
    if value.numel() and known(value.abs().amax() > STEEP / n):  # it can be as narrow as the exponential of a number
        look_at_peak("matrix_exp", torch.linalg.eigvals(value).real.amax(-1))
    size = len(space)
    blocks = a.new_zeros(*a.shape[1:-2], size, n, size, n)
    for row in range(size):
        blocks[..., row, :, row, :] = a[0]
        if row:
            blocks[..., row, :, 0, :] = a[row]
        for i, j in space.factors(row):
            blocks[..., row, :, j, :] = a[i]
    whole = torch.linalg.matrix_exp(blocks.reshape(*a.shape[1:-2], size * n, size * n))
    first = whole.reshape(*a.shape[1:-2], size, n, size, n)[..., :, :, 0, :]
    return Jet(first.movedim(-3, 0).contiguous(), space)


@rule("linalg_matrix_power", "matrix_power")
def matrix_power(A: Any, n: int) -> Any:
    if n < 0:
        return matrix_power(inv(A), -n)
    if n > HIGH and A.numel():
        look_at_peak("matrix_power", n * torch.linalg.eigvals(unwrapped(A.value).detach()).abs().amax(-1).log())
    result: Any = constant(torch.eye(A.shape[-1], dtype=A.dtype, device=A.device).expand(A.shape), A.space)
    while n:
        if n % 2:
            result = result @ A
        n //= 2
        A = A @ A if n else A
    return result


def _hermitian(a: Tensor, upper: bool) -> Tensor:
    """The Hermitian matrix that torch reads from one triangle and the real part of the diagonal."""
    above = a.triu(1) if upper else a.tril(-1)
    return above + above.mH + torch.diag_embed(a.diagonal(dim1=-2, dim2=-1).real).to(a.dtype)


def _eigen(A: Jet, UPLO: str, name: str) -> tuple[Tensor, Tensor]:
    """Eigenvalues and eigenvectors, order by order from A V = V Λ and V* V = 1."""
    space, a = A.space, _hermitian(A.coefficients, UPLO.upper() == "U")
    values, vectors = torch.linalg.eigh(a[0])
    gap = values.unsqueeze(-2) - values.unsqueeze(-1)  # λ_j − λ_i
    largest = values.abs().amax(-1, keepdim=True) if values.numel() else values
    off = ~torch.eye(A.shape[-1], dtype=torch.bool, device=a.device)
    if bool((gap.abs() < LEAST_GAP * largest.unsqueeze(-1))[..., off].any()):
        raise NotDifferentiable(
            f"{name} of a jet: the matrix has equal eigenvalues, where they are not differentiable; "
            "use a function of the matrix itself, such as its trace, determinant or exponential"
        )
    scale = torch.where(off, gap, torch.ones_like(gap)).reciprocal() * off
    rotated = vectors.mH @ a @ vectors  # in the basis of the value's own eigenvectors
    x = [torch.eye(A.shape[-1], dtype=a.dtype, device=a.device).expand_as(rotated[0])]
    lam = [torch.diag_embed(values).to(a.dtype)]
    for row in range(1, len(space)):
        rest, length = rotated[row], torch.zeros_like(rotated[row])
        for i, j in space.factors(row):
            rest = rest + rotated[i] @ x[j] - x[j] @ lam[i]
            length = length + x[i].mH @ x[j]
        diagonal = torch.diag_embed(rest.diagonal(dim1=-2, dim2=-1))
        lam.append(diagonal)
        x.append(rest * scale - 0.5 * torch.diag_embed(length.diagonal(dim1=-2, dim2=-1)))
    values = torch.stack(lam).diagonal(dim1=-2, dim2=-1).real
    look_at_zero(name, Jet(values.diff(dim=-1), space))  # where eigenvalues meet they change places, as in a sort
    return values, vectors @ torch.stack(x)


@rule("linalg_eigvalsh", "eigvalsh")
def eigvalsh(A: Any, UPLO: str = "L") -> Jet:
    return Jet(_eigen(A, UPLO, "eigvalsh")[0], A.space)


@rule("linalg_eigh", "eigh")
def eigh(A: Any, UPLO: str = "L") -> Any:
    warn_nonsmooth("eigh")  # the signs of the vectors are chosen anew for every matrix, so that they can jump
    values, vectors = _eigen(A, UPLO, "eigh")
    plain = torch.linalg.eigh(torch.eye(1, dtype=A.dtype))
    return type(plain)((Jet(values, A.space), Jet(vectors, A.space)))


@rule("linalg_svdvals", "svdvals")
def svdvals(A: Any) -> Any:
    values = nested(torch.linalg.svdvals, (A,), {})
    look_at_zero("svdvals", values)  # where one would change its sign, it turns back
    look_at_zero("svdvals", values.diff(dim=-1))
    return values


@rule("cond", "linalg_cond")
def cond(input: Any, p: Any = None) -> Any:
    if p not in (None, 2, -2):
        return nested(torch.linalg.cond, (input, p), {})
    values = torch.linalg.svdvals(input)
    return values[..., -1] / values[..., 0] if p == -2 else values[..., 0] / values[..., -1]
