"""Operations that torch differentiates wrongly or not at all, and calls that a rule could swallow."""

import math
import warnings

import numpy as np
import pytest
import scipy.special
import torch
import torch.nn.functional as F
from support import F64, refuses

from sdewm.jets import Jet, JetSpace, NonSmoothWarning, NotDifferentiable, constant, fallback, proof

S = torch.special
LINE = JetSpace(1, 3)


def along(*values: float) -> Jet:
    """x + ε at each value."""
    c = torch.zeros(4, len(values), dtype=F64)
    c[0], c[1] = torch.tensor(values, dtype=F64), 1
    return Jet(c, LINE)


def derivatives(y: Jet) -> np.ndarray:
    return y.coefficients.numpy() * np.array([1, 1, 2, 6])[:, None]


def random_jet(*shape: int, seed: int = 0) -> Jet:
    return Jet(torch.randn(4, *shape, generator=torch.Generator().manual_seed(seed), dtype=F64), LINE)


# Special functions.


def test_sinc_through_its_removable_singularity():
    x = np.array([-2.3, -0.51, -0.49, 0.0, 1e-8, 0.3, 0.5, 1.0, 4.2])
    got = derivatives(torch.sinc(along(*x)))
    u = np.polynomial.legendre.leggauss(60)  # sinc(x) = ∫₀¹ cos(πxu) du
    nodes, weights = (u[0] + 1) / 2, u[1] / 2
    phase = np.pi * x[:, None] * nodes
    for k, wave in enumerate((np.cos(phase), -np.sin(phase), -np.cos(phase), np.sin(phase))):
        np.testing.assert_allclose(got[k], ((np.pi * nodes) ** k * wave) @ weights, atol=2e-13)
    assert got[2, 3] == pytest.approx(-(math.pi**2) / 3, rel=1e-14)


@pytest.mark.parametrize(
    ("name", "reference", "points"),
    [
        ("bessel_j0", lambda x, k: scipy.special.jvp(0, x, k), (-3.0, -0.5, 0.0, 0.2, 0.7, 5.0)),
        ("bessel_j1", lambda x, k: scipy.special.jvp(1, x, k), (-3.0, -0.5, 0.0, 0.2, 0.7, 5.0)),
        ("bessel_y0", lambda x, k: scipy.special.yvp(0, x, k), (0.7, 2.0, 5.0)),
        ("bessel_y1", lambda x, k: scipy.special.yvp(1, x, k), (0.7, 2.0, 5.0)),
        ("modified_bessel_i0", lambda x, k: scipy.special.ivp(0, x, k), (-3.0, 0.0, 0.2, 0.7, 3.0)),
        ("modified_bessel_i1", lambda x, k: scipy.special.ivp(1, x, k), (-3.0, 0.0, 0.2, 0.7, 3.0)),
        ("modified_bessel_k0", lambda x, k: scipy.special.kvp(0, x, k), (0.7, 2.0)),
        ("modified_bessel_k1", lambda x, k: scipy.special.kvp(1, x, k), (0.7, 2.0)),
    ],
)
def test_bessel_functions_have_scipys_derivatives(name, reference, points):
    got, x = derivatives(getattr(S, name)(along(*points))), np.array(points)
    for k in range(4):
        np.testing.assert_allclose(got[k], reference(x, k), rtol=1e-6, atol=1e-7)  # torch's own values have 7 digits


@pytest.mark.parametrize(
    ("name", "polynomial", "shift"),
    [
        ("chebyshev_polynomial_t", scipy.special.chebyt, 0),
        ("chebyshev_polynomial_u", scipy.special.chebyu, 0),
        ("shifted_chebyshev_polynomial_t", scipy.special.chebyt, 1),
        ("hermite_polynomial_h", scipy.special.hermite, 0),
        ("hermite_polynomial_he", scipy.special.hermitenorm, 0),
        ("laguerre_polynomial_l", scipy.special.laguerre, 0),
        ("legendre_polynomial_p", scipy.special.legendre, 0),
    ],
)
def test_orthogonal_polynomials(name, polynomial, shift):
    x = np.array([-0.4, 0.1, 0.9])
    for n in range(6):
        p = np.poly1d(polynomial(n).coefficients)
        p = p(np.poly1d([2, -1])) if shift else p
        got = derivatives(getattr(S, name)(along(*x), n))
        for k in range(4):
            np.testing.assert_allclose(got[k], np.polyder(p, k)(x), atol=1e-10)


def test_powers_at_zero_and_of_negative_bases():
    x = along(-0.8, 0.0)
    np.testing.assert_allclose(
        torch.pow(x, torch.full_like(x, 2.0)).coefficients, [[0.64, 0], [-1.6, 0], [1, 1], [0, 0]], atol=1e-15
    )
    assert not torch.pow(torch.zeros(2, dtype=F64), x * x + 1).coefficients.any()
    y = along(0.7, 2.0)
    np.testing.assert_allclose(derivatives(y**y)[1], y.value**y.value * (y.value.log() + 1))


# Normalisation, torch.jit.


def test_instance_norm_is_group_norm_with_a_group_a_channel():
    x = random_jet(3, 2, 5)
    torch.testing.assert_close(F.instance_norm(x, eps=0.25).coefficients, F.group_norm(x, 2, eps=0.25).coefficients)
    module = torch.nn.InstanceNorm1d(2, affine=True, track_running_stats=True).double()
    with refuses(NotDifferentiable, "instance_norm in training mode", "call .eval()"):
        module(x)
    assert module.eval()(x).shape == x.shape


def test_scripted_modules_are_taken_apart():
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Linear(2, 4), torch.nn.Tanh(), torch.nn.LayerNorm(4), torch.nn.GELU(), torch.nn.Linear(4, 2)
    ).double()
    x = random_jet(5, 2)
    scripted = torch.jit.script(net)
    for _ in range(3):  # torch specializes scripted code after a few calls
        torch.testing.assert_close(scripted(x).coefficients, net(x).coefficients, rtol=1e-12, atol=1e-12)
    function = torch.jit.script(_branching)
    for _ in range(3):
        torch.testing.assert_close(function(x, 2.0).coefficients, (x.sin() * 2.0).coefficients)


def _branching(x: torch.Tensor, a: float) -> torch.Tensor:
    if a > 1:
        return x.sin() * a
    return x


# Calls that a rule could swallow.


def test_out_receives_the_jet():
    x = random_jet(3)
    y = torch.zeros_like(x)
    assert torch.sin(x, out=y) is y
    torch.testing.assert_close(y.coefficients, torch.sin(x).coefficients)
    torch.linalg.norm(random_jet(3, 2), dim=1, out=y)
    torch.sin(torch.ones(3, dtype=F64), out=y)
    assert y.value[0] == math.sin(1) and not y.coefficients[1:].any()
    with refuses(NotDifferentiable, "sin of a jet: out= is a plain tensor, which has no room"):
        torch.sin(x, out=torch.zeros(3, dtype=F64))
    with refuses(ValueError, "out: expected a jet of shape (3,) for sin, got (2,)"):
        torch.sin(x, out=random_jet(2))


def test_a_keyword_without_an_answer_is_refused():
    with refuses(NotDifferentiable, "sin of a jet: its rule has no answer for the argument 'colour'"):
        torch.overrides.handle_torch_function(torch.sin, (random_jet(3),), random_jet(3), colour=3)


@pytest.mark.parametrize("function", [F.hardswish, F.relu, F.silu, F.hardtanh, F.elu], ids=lambda f: f.__name__)
def test_inplace_is_honoured(function):
    x = random_jet(7)
    expected = function(random_jet(7))
    result = function(x, inplace=True)
    assert result is x
    torch.testing.assert_close(x.coefficients, expected.coefficients)


def test_batched_sums():
    m, a, b = random_jet(2, 3), random_jet(4, 2, 5, seed=1), random_jet(4, 5, 3, seed=2)
    expected = 0.5 * m + 2 * (a @ b).sum(0)
    torch.testing.assert_close(torch.addbmm(m, a, b, beta=0.5, alpha=2).coefficients, expected.coefficients)


def test_a_sum_that_skips_what_is_not_a_number_skips_its_derivatives():
    x = random_jet(3, 4)
    gaps = torch.zeros(3, 4, dtype=F64)
    gaps[0, 1] = gaps[2, 3] = torch.nan  # the value is lost, and the derivatives are there
    kept = torch.where(gaps.isnan(), 0.0, 1.0)
    for dims in ((), (0,), (1,)):
        torch.testing.assert_close(torch.nansum(x + gaps, *dims).coefficients, (x * kept).sum(*dims).coefficients)
    torch.testing.assert_close((x + gaps).nanmean(1).coefficients, ((x * kept).sum(1) / kept.sum(1)).coefficients)


@pytest.mark.parametrize(
    "function", [torch.linalg.vector_norm, torch.norm, torch.std, lambda x: torch.complex(x, x).abs()]
)
def test_a_root_of_squares_that_are_zero_has_a_kink(function):
    x = random_jet(3)
    x.coefficients[0] = 0.0
    with pytest.warns(NonSmoothWarning):
        assert not function(x).coefficients.any()


def test_a_norm_in_another_precision():
    assert torch.linalg.norm(random_jet(3), dtype=torch.float32).dtype == torch.float32


def test_scatter_writes_and_does_not_multiply():
    x, y = random_jet(3, 4), random_jet(1, 4, seed=1)
    index = torch.tensor([[2, 0, 1, 1]])
    written = torch.where(index == torch.arange(3)[:, None], y, x)
    torch.testing.assert_close(x.scatter(0, index, y).coefficients, written.coefficients)
    with refuses(NotDifferentiable, "scatter has no rule for jets"):
        x.scatter(0, index, y, reduce="multiply")


def test_an_empty_vector_is_joined_with_anything():
    x = random_jet(2, 3)
    assert torch.cat([x, torch.empty(0, dtype=F64)], 1).shape == (2, 3)


def test_what_torch_has_not_for_complex_numbers_is_refused():
    z = torch.complex(random_jet(3), random_jet(3, seed=1))
    with refuses(NotDifferentiable, "logsumexp of a complex jet"):
        z.logsumexp(0)
    with refuses(NotDifferentiable, "sgn of a complex jet"):
        z.sgn()


def complex_matrix() -> Jet:
    a = torch.complex(random_jet(3, 3), random_jet(3, 3, seed=1))
    return a @ a.mH + 3 * torch.eye(3)


def test_complex_matrices():
    a = complex_matrix()
    root = torch.linalg.cholesky(a)
    torch.testing.assert_close((root @ root.mH).coefficients, a.coefficients)
    unit = torch.cholesky_solve(a, root)
    torch.testing.assert_close(unit.coefficients, constant(torch.eye(3, dtype=a.dtype), LINE).coefficients)
    values, vectors = torch.linalg.eigh(a)
    assert not values.is_complex()
    torch.testing.assert_close((a @ vectors).coefficients, (vectors * values).coefficients)
    sign, log = torch.linalg.slogdet(a * (1 + 0.3j))
    torch.testing.assert_close((sign * log.exp()).coefficients, torch.linalg.det(a * (1 + 0.3j)).coefficients)


# The fallback proves itself.


def householder(m: int, n: int, k: int) -> float:
    """The largest error of the jet of k reflections, next to the product of their matrices I − τ v vᵀ."""
    a, tau = random_jet(m, n), random_jet(k, seed=1)
    product = torch.eye(m, dtype=F64) + 0 * a.sum()
    for i in range(k):
        v = torch.cat([torch.zeros(i, dtype=F64), torch.ones(1, dtype=F64), a[i + 1 :, i]])
        product = product @ (torch.eye(m, dtype=F64) - tau[i] * v[:, None] * v)
    found = torch.linalg.householder_product(a, tau)
    return float((found.coefficients - product[:, :n].coefficients).abs().max())


def test_a_proof_for_one_shape_is_none_for_another():
    """Torch's forward mode is wrong here, but for no reflection at all."""
    for sizes in ((5, 5, 0), (5, 5, 0), (5, 5, 3), (5, 4, 3), (6, 5, 5), (5, 5, 5)):
        assert householder(*sizes) < 1e-11


def test_forward_mode_is_not_taken_again_where_it_was_wrong():
    """Without its rule, torch.prod of three factors is wrong in forward mode where two of them are zero."""
    nonzero, zeros = random_jet(3), random_jet(3)
    zeros.coefficients[0, :2] = 0.0
    for x in (zeros, nonzero, zeros, nonzero, zeros):
        found = fallback.nested(torch.prod, (x,), {})
        torch.testing.assert_close(found.coefficients, (x[0] * x[1] * x[2]).coefficients)


def test_a_derivative_that_is_not_a_number_is_refused_after_a_proof_too():
    """Torch's second derivatives of logaddexp are none where a term is absent."""
    x, y, absent = random_jet(3), random_jet(3, seed=1), torch.full((3,), -torch.inf, dtype=F64)
    plain = fallback.nested(torch.logaddexp, (x, y), {})
    torch.testing.assert_close(plain.coefficients, torch.logaddexp(x, y).coefficients)
    moving = constant(absent, LINE)
    moving.coefficients[1] = 1.0
    for _ in range(3):
        with refuses(NotDifferentiable, "logaddexp of a jet"):
            fallback.nested(torch.logaddexp, (x, moving), {})
    still = fallback.nested(torch.logaddexp, (x, constant(absent, LINE)), {})  # no derivative is taken along it
    torch.testing.assert_close(still.coefficients, x.coefficients)
    torch.testing.assert_close(torch.logaddexp(x, absent).coefficients, x.coefficients)


@pytest.mark.parametrize("zeros", [0, 1, 2, 3])
def test_products_with_factors_that_are_zero(zeros):
    x = random_jet(7, 2)
    x.coefficients[0, :zeros] = 0.0
    rows = [x[0]]
    for row in x[1:]:
        rows.append(rows[-1] * row)
    torch.testing.assert_close(torch.cumprod(x, 0).coefficients, torch.stack(rows).coefficients)
    torch.testing.assert_close(x.prod(0, keepdim=True).coefficients, rows[-1][None].coefficients)
    torch.testing.assert_close(x.prod().coefficients, (rows[-1][0] * rows[-1][1]).coefficients)


def test_the_modulus_of_a_complex_jet():
    x, y = random_jet(5), random_jet(5, seed=1)
    with pytest.warns(NonSmoothWarning, match="abs"):
        modulus = torch.complex(x, y).abs()
    torch.testing.assert_close(modulus.coefficients, (x * x + y * y).sqrt().coefficients)


def test_random_operations_are_refused():
    with refuses(NotDifferentiable, "rrelu of a jet: it draws random numbers; call .eval()"):
        F.rrelu(random_jet(5), training=True)


def test_draws_that_do_not_show_in_the_result_are_refused():
    """On a constant image every random window has the same maximum: the generator's state tells."""
    x = Jet(torch.ones(2, 1, 1, 4, 4, dtype=F64), JetSpace(1, 1))
    with refuses(NotDifferentiable, "fractional_max_pool2d of a jet: it draws random numbers"):
        torch.nn.functional.fractional_max_pool2d(x, 2, output_size=3)


def test_a_proof_that_leaves_the_domain_is_made_closer_by():
    """A variance is checked to be positive by the function itself, which a wide line is not."""
    mean, variance = random_jet(20), random_jet(20, seed=1).square() + 0.05
    target = torch.zeros(20, dtype=F64)
    got = F.gaussian_nll_loss(mean, target, variance, reduction="none")
    expected = 0.5 * (variance.log() + mean.square() / variance)
    torch.testing.assert_close(got.coefficients, expected.coefficients)


KINKED = {
    "max_pool2d with indices": lambda x: F.max_pool2d(x.unsqueeze(0), 2, return_indices=True)[0],
    "adaptive_max_pool3d": lambda x: F.adaptive_max_pool3d(x.unsqueeze(0), 2),
    "margin_ranking_loss": lambda x: F.margin_ranking_loss(x, 2 * x.value, torch.ones_like(x.value)),
    "norm 1": lambda x: torch.linalg.vector_norm(x, 1),
    "norm inf": lambda x: torch.linalg.vector_norm(x, torch.inf),
    "cdist 1": lambda x: torch.cdist(x, x.value + 1, 1.0),
    "matrix norm": lambda x: torch.linalg.matrix_norm(x, 1),
    "renorm": lambda x: x.renorm(2, 0, 1.0),
    "logit with eps": lambda x: torch.logit(torch.sigmoid(x), eps=0.1),
    "scatter_reduce": lambda x: x.value.scatter_reduce(0, torch.zeros(2, 4, 4, dtype=torch.int64), x, "amax"),
}
SMOOTH = {
    "norm 3": lambda x: torch.linalg.vector_norm(x, 3),
    "cdist 2": lambda x: torch.cdist(x, x.value + 1),
    "logit": lambda x: torch.logit(torch.sigmoid(x)),
    "singular values": torch.linalg.svdvals,
    "cumprod": lambda x: x.cumprod(0),
}


@pytest.mark.parametrize("name", [*KINKED, *SMOOTH])
def test_kinks_of_operations_without_a_rule_are_seen_in_what_they_call(name, monkeypatch):
    monkeypatch.setattr(proof, "_calls", {})  # as if it were called for the first time
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        (KINKED | SMOOTH)[name](random_jet(2, 4, 4))
    assert any(w.category is NonSmoothWarning for w in said) == (name in KINKED)


def test_writing_into_an_argument_is_refused():
    def store(x):
        return torch.overrides.handle_torch_function(store, (x,), x) if isinstance(x, Jet) else x.mul_(2).sin()

    with refuses(NotDifferentiable, "store of a jet: it writes into its arguments"):
        fallback.nested(store, (random_jet(3),), {})


@pytest.mark.parametrize("order", [1, 2, 3])
def test_a_wrong_derivative_is_caught_at_its_order(order):
    line = lambda t: (torch.exp(0.3 * t).reshape(1),)  # noqa: E731
    claimed = [(torch.tensor([0.3**k], dtype=F64),) for k in range(4)]
    assert proof.disagreement(line, claimed) is None
    claimed[order] = (claimed[order][0] * 1.01 + 1e-3,)
    assert f"derivative {order} is" in proof.disagreement(line, claimed)


def test_silently_missing_derivatives_are_refused():
    with refuses(NotDifferentiable, "special_airy_ai of a jet: torch's own derivatives of it cannot be trusted"):
        S.airy_ai(along(0.7, 1.2))


def test_a_proof_is_repeated_at_every_doubling():
    due = [proof.is_due("a test's signature") for _ in range(9)]
    assert [i + 1 for i, d in enumerate(due) if d] == [1, 2, 4, 8]
    proof.forget("a test's signature")
    assert proof.is_due("a test's signature")


# Views.

VIEWS = {
    "diagonal": lambda x: x.diagonal(1, -1, 0),
    "linalg.diagonal": lambda x: torch.linalg.diagonal(x, offset=-1),
    "unfold": lambda x: x.unfold(1, 2, 1),
    "hsplit": lambda x: x.hsplit(2)[1],
    "vsplit": lambda x: x.vsplit([1])[1],
    "dsplit": lambda x: x.dsplit(2)[0],
    "unsafe_chunk": lambda x: x.unsafe_chunk(2, -1)[1],
    "atleast_3d": lambda x: torch.atleast_3d(x[0]),
    "broadcast_tensors": lambda x: torch.broadcast_tensors(x[:1], x)[1],
    "meshgrid": lambda x: torch.meshgrid(x[0, 0], x[1, 0], indexing="ij")[0][:, 0],
    "as_strided": lambda x: x.as_strided((2, 3), (16, 5), 1),
    "real": torch.real,
    "view_as_real": lambda x: torch.view_as_real(torch.view_as_complex(x.view(4, 4, 2, 2)))[..., 0],
    "imaginary part": lambda x: torch.view_as_complex(x.view(4, 4, 2, 2)).imag,
    "conj": lambda x: x.conj(),
    "permute": lambda x: x.permute(2, 0, 1),
    "chunk": lambda x: x.chunk(2, 1)[0],
    "squeeze": lambda x: x[:, :1].squeeze(1),
}


@pytest.mark.parametrize("name", VIEWS)
def test_what_is_written_into_a_view_is_in_the_jet(name):
    view, x, y = VIEWS[name], random_jet(4, 4, 4), random_jet(4, 4, 4, seed=1)
    right = [row.clone() for row in x.coefficients]
    for row, other in zip(right, y.coefficients, strict=True):
        view(row).copy_(view(other.clone()))
    view(x).copy_(view(y))
    torch.testing.assert_close(x.coefficients, torch.stack(right), rtol=0, atol=0)
    assert not torch.equal(x.coefficients, random_jet(4, 4, 4).coefficients)


def test_a_cholesky_factor_with_its_diagonal_written_in_place():
    x = random_jet(5, 3)
    factor = x.new_zeros(5, 3, 3)
    factor.diagonal(dim1=-2, dim2=-1).copy_(F.softplus(x))
    torch.testing.assert_close(factor.coefficients, torch.diag_embed(F.softplus(x)).coefficients)


def test_a_view_of_a_plain_tensor_beside_a_jet_stays_plain():
    x, plain, whole = random_jet(2, 3), torch.ones(3, dtype=F64), torch.arange(3)
    a, b, c = torch.broadcast_tensors(x, plain, whole)
    torch.testing.assert_close(a.coefficients, x.coefficients)
    assert not isinstance(b, Jet) and torch.equal(b, plain.expand(2, 3))
    assert not isinstance(c, Jet) and torch.equal(c, whole.expand(2, 3))
    log_prob = torch.distributions.Bernoulli(logits=x).log_prob(plain)
    torch.testing.assert_close(log_prob.coefficients, F.logsigmoid(x).coefficients)
    assert torch.distributions.Categorical(logits=x).log_prob(torch.tensor(2)).shape == (2,)


def test_adding_a_jet_to_a_view_of_a_plain_tensor_is_refused():
    """``p += jet`` would make another tensor of p, and leave what it is a view of without the jet."""
    x, whole = random_jet(2), torch.zeros(4, dtype=F64)
    part = whole[:2]
    with refuses(RuntimeError, "would store a jet into a plain tensor"):
        part += x
    total = torch.zeros(2, dtype=F64)
    total += x
    torch.testing.assert_close(total.coefficients, x.coefficients)


@pytest.mark.parametrize(("slope", "offset"), [(3.0, 0.0), (1e-3, 0.0), (0.0, 7.0)])
def test_a_derivative_is_wrong_from_a_ten_thousandth_of_the_largest_on(slope, offset):
    """A line's fits are exact, so that only the part of the size counts; the first derivative is off by the rest."""
    size = max(abs(slope), abs(offset))
    for part, wrong in ((0.9e-4, False), (1.1e-4, True)):
        for sign in (1, -1):
            claimed = [(torch.tensor([v], dtype=F64),) for v in (offset, slope + sign * part * size, 0.0)]
            found = proof.disagreement(lambda t: ((offset + slope * t).reshape(1),), claimed)
            assert (found is not None) == wrong
            assert found is None or "derivative 1 is" in found


def test_what_is_below_any_meaning_is_not_wrong():
    for off, wrong in ((0.9e-12, False), (1.1e-12, True)):
        claimed = [(torch.tensor([v], dtype=F64),) for v in (0.0, off)]
        assert (proof.disagreement(lambda t: ((0.0 * t).reshape(1),), claimed) is not None) == wrong


def test_a_derivative_may_be_off_by_the_fits_own_error():
    """Rounding to a billionth, as in lower precision: a fit's derivative has an error, and 30 of it is let pass."""
    rough = lambda t: ((torch.sin(3 * t) * 1e5).round() / 1e5).reshape(1)  # noqa: E731
    size, step = 27.0, 1e-3
    changes = []
    for radius in proof.RADII:
        changes.append(proof._fit(lambda t: (rough(t),), radius, 1)[0])
    fits = torch.stack(changes)[:, 1, 0]
    change = (fits[1:] - fits[:-1]).abs()
    error, best = torch.maximum(change[1:], change[:-1]).min(0)
    fit, allowed = float(fits[1:-1][best]), 30 * float(error) + proof.LOOSE * 3
    assert 1e-6 < float(error) < step < allowed < size
    for factor, wrong in ((0.95, False), (1.05, True)):
        claimed = [(torch.tensor([v], dtype=F64),) for v in (0.0, fit + factor * allowed)]
        found = proof.disagreement(lambda t: (rough(t),), claimed)
        assert (found is not None) == wrong, (factor, error, fit, allowed)
