"""Branches on the state: a comparison looks at the value, the derivative is the branch's own."""

from __future__ import annotations

import math
import operator
import subprocess
import sys
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, distributions
from torch.nn import functional as F

import sdewm
from sdewm import BrownianPath, FunctionSDE, NonFiniteState, PerturbedSDE, QuasiMonteCarlo, TimeGrid, expand, solve
from sdewm.jets import Jet, JetSpace, NonSmoothWarning, NotDifferentiable, constant, elementwise

F64 = torch.float64
SPACE = JetSpace(2, 2)
quiet = pytest.mark.filterwarnings("ignore::sdewm.jets.NonSmoothWarning")


def jet(value: Any, seed: int = 0) -> Jet:
    """A jet with this value and random derivatives."""
    value = torch.as_tensor(value, dtype=F64)
    rest = torch.randn(len(SPACE) - 1, *value.shape, dtype=F64, generator=torch.Generator().manual_seed(seed))
    return Jet(torch.cat([value[None], rest]), SPACE)


X = jet([[-1.5, -0.2, 0.3, 2.0], [0.7, -0.9, 1.1, -2.2], [0.4, 0.1, -0.6, 1.7]])
P = jet(X.value.abs() + 0.5, seed=1)


def same(found: Any, expected: Tensor) -> None:
    assert isinstance(found, Jet)
    torch.testing.assert_close(found.coefficients, expected.coefficients if isinstance(expected, Jet) else expected)


ASKED: dict[str, tuple[str, Callable[[Tensor], Any]]] = {
    "x > 0": ("gt", lambda x: x > 0),
    "0 < x": ("gt", lambda x: 0 < x),
    "x >= y": ("ge", lambda x: x >= 2 * x),
    "x == y": ("eq", lambda x: x == x.abs()),
    "x != 0": ("ne", lambda x: x != 0),
    "tensor < jet": ("lt", lambda x: torch.zeros(4, dtype=F64).lt(x)),
    "torch.le": ("le", lambda x: torch.le(x, 0.3)),
    "not": ("logical_not", torch.logical_not),
    "and": ("logical_and", lambda x: torch.logical_and(x, x > 0)),
    "any": ("any", lambda x: torch.any(x, -1)),
    "isclose": ("isclose", lambda x: torch.isclose(x, x.sin())),
    "signbit": ("signbit", torch.signbit),
    "argmax": ("argmax", lambda x: x.argmax(-1)),
    "argsort": ("argsort", lambda x: torch.argsort(x, dim=-1)),
    "nonzero": ("nonzero", lambda x: x.clamp(min=0).nonzero()),
    "searchsorted": ("searchsorted", lambda x: torch.searchsorted(torch.linspace(-1, 1, 5, dtype=F64), x)),
    "bucketize": ("bucketize", lambda x: torch.bucketize(x, torch.linspace(-1, 1, 5, dtype=F64))),
    "long": ("long", lambda x: x.long()),
    "to an integer": ("to", lambda x: x.to(torch.int64)),
    "bool()": ("bool", lambda x: x.bool()),
}


@pytest.mark.parametrize("name", ASKED)
def test_a_question_is_answered_by_the_value_and_warned_of_by_name(name: str) -> None:
    warned, ask = ASKED[name]
    with pytest.warns(NonSmoothWarning, match=rf"^{warned} is not twice"):
        found = ask(X)
    assert not isinstance(found, Jet)
    assert torch.equal(found, ask(X.value))


STEPS: dict[str, Callable[[Tensor], Tensor]] = {
    "sign": torch.sign,
    "floor": lambda x: x.floor(),
    "ceil": torch.ceil,
    "round": lambda x: torch.round(x, decimals=1),
    "trunc": torch.trunc,
    "floor_divide": lambda x: x // 0.4,
    "reflected floor_divide": lambda x: 2.5 // x,
    "div floor": lambda x: torch.div(x, 0.4, rounding_mode="floor"),
    "div trunc": lambda x: torch.div(3.0 + x, x, rounding_mode="trunc"),
    "heaviside": lambda x: torch.heaviside(x, torch.tensor(0.5, dtype=F64)),
    "in place": lambda x: x.clone().floor_(),
    "gt_": lambda x: x.clone().gt_(0.0),
}


@quiet
@pytest.mark.parametrize("name", STEPS)
def test_a_step_has_its_value_and_no_derivatives(name: str) -> None:
    same(STEPS[name](X), constant(STEPS[name](X.value), SPACE))


@quiet
def test_heaviside_at_zero_is_what_it_was_given_there() -> None:
    at = torch.tensor([-1.0, 0.0, 2.0], dtype=F64)
    given = jet([5.0, 6.0, 7.0])
    expected = torch.where(at == 0, given.coefficients, 0.0)
    expected[0, 2] = 1.0
    same(torch.heaviside(at, given), expected)


@pytest.mark.parametrize("ask", [torch.isnan, torch.isfinite, torch.isinf, lambda x: ~torch.isfinite(x).all()])
def test_whether_a_number_is_one_is_no_branch_of_a_model(ask: Callable[[Tensor], Tensor]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.equal(ask(X), ask(X.value))


def test_python_branches() -> None:
    x = X[0, 2]
    with pytest.warns(NonSmoothWarning):
        assert bool(x > 0) and not x < 0 and bool(x) and int(10 * x) == 3
    with pytest.warns(NonSmoothWarning):
        assert max(x, X[0, 3]) is not x and min(x, X[0, 3]) is x
    with pytest.raises(RuntimeError, match="ambiguous"):
        bool(X > 0)


@quiet
def test_branches_take_their_own_derivatives() -> None:
    positive = X.value > 0
    c = X.coefficients
    same(torch.where(X > 0, -X, -2 * X), torch.where(positive, -c, -2 * c))
    same(X * (X > 0), c * positive)
    same(X[X > 0], c[:, positive])
    same(X.masked_fill(X < 0, 0.0), c * positive)
    masked = X.clone()
    masked[masked < 0] = 0.0
    same(masked, c * positive)
    index = X.argmax(-1, keepdim=True)
    same(X.gather(-1, index), torch.stack([row.gather(-1, index) for row in c]))


@quiet
@pytest.mark.parametrize(
    "cut",
    [
        lambda x: x.clamp(min=0).sqrt(),
        lambda x: torch.relu(x) ** 0.5,
        lambda x: torch.relu(x) ** torch.tensor(0.5, dtype=F64),
        lambda x: torch.where(x > 0, x, torch.zeros(())).sqrt(),
        lambda x: torch.where(x > 0, x.sqrt(), 0.0),
        lambda x: torch.exp(0.5 * torch.log(torch.relu(x))),
        lambda x: torch.linalg.vector_norm(torch.relu(x).unsqueeze(-1).sqrt(), dim=-1),
        lambda x: 1 / torch.relu(x).rsqrt(),
    ],
)
def test_what_is_cut_off_below_zero_stays_zero_with_its_derivatives(cut: Callable[[Tensor], Tensor]) -> None:
    found = cut(X)
    positive = X.value > 0
    assert not found.coefficients[:, ~positive].any()
    same(found[positive], X[positive].sqrt())


@quiet
def test_the_smooth_bump_is_flat_where_it_ends() -> None:
    bump = torch.exp(-1 / X.clamp(min=0))
    positive = X.value > 0
    assert not bump.coefficients[:, ~positive].any()
    same(bump[positive], torch.exp(-1 / X[positive]))


@quiet
def test_a_root_where_the_state_does_reach_zero_is_not_finite() -> None:
    """Only a constant is exempt: sqrt(ε) has no Taylor series at 0."""
    assert not torch.isfinite(jet(0.0).sqrt().coefficients[1:]).all()
    assert not torch.isfinite((jet(0.0) ** 1.5).coefficients[1:]).all()


@quiet
def test_cut_off_roots_inside_the_transforms_of_torch() -> None:
    def f(c: Tensor) -> Tensor:
        return Jet(c, SPACE).clamp(min=0).sqrt().coefficients

    c = X.coefficients
    torch.testing.assert_close(torch.func.vmap(f, in_dims=1, out_dims=1)(c), f(c))
    derivative = torch.func.jvp(f, (c,), (torch.ones_like(c),))[1]
    assert bool(torch.isfinite(derivative).all()) and not derivative[:, X.value < 0].any()
    constants = c.clone()
    constants[1:] = 0  # constants that a direction moves: their slopes are those of the root
    direction = torch.ones_like(c)
    moved = torch.func.jvp(f, (constants,), (direction,))[1][:, X.value > 0]
    torch.testing.assert_close(moved, (0.5 / X.value[X.value > 0].sqrt()).expand(len(c), -1))
    at_zero = torch.zeros(len(SPACE), 1, dtype=F64)
    assert bool((torch.func.jvp(f, (at_zero,), (torch.ones_like(at_zero),))[1].abs() > 1e300).all())
    (gradient,) = torch.func.vjp(f, c)[1](torch.ones_like(c))
    assert bool(torch.isfinite(gradient[:, X.value > 0]).all())


def test_a_root_that_lets_zero_through_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        elementwise, "compose_singular", lambda x, series: elementwise.compose(x, series(x.value, x.space.order))
    )
    with pytest.raises(AssertionError):
        test_what_is_cut_off_below_zero_stays_zero_with_its_derivatives(lambda x: x.clamp(min=0).sqrt())


# expansions of systems with branches, against polynomials in ε through plain solves on the same noise


def plain_coefficients(family: PerturbedSDE, x0: Tensor, grid: TimeGrid, sampler: QuasiMonteCarlo, h: float) -> Any:
    degree = 8
    nodes = np.cos((2 * np.arange(degree + 1) + 1) * np.pi / (2 * degree + 2))
    noises = [noise for r in range(sampler.replicates) for noise in sampler.draw([r], len(x0), grid, x0)]

    def mean(eps: float) -> float:
        finals = [solve(family.at(eps), x0, grid, noise=noise) for noise in noises]
        return float(torch.cat(finals).square().sum(-1).mean())

    fit = np.polynomial.chebyshev.chebfit(nodes, [mean(float(h * node)) for node in nodes], degree)
    return np.polynomial.chebyshev.cheb2poly(fit)[:3] / h ** np.arange(3)


BRANCHING: dict[str, tuple[Callable[..., Tensor], Callable[..., Tensor], list[float]]] = {
    "where": (lambda t, x: torch.where(x > 0, -x, -2 * x), lambda t, x: 0.2 * x, [0.8, -0.9]),
    "mask": (lambda t, x: -x * (x > 0) + 0.1 * (x < 0), lambda t, x: 0.1 * x, [0.8]),
    "threshold": (lambda t, x: F.threshold(x, 0.2, 0.2) * 0.5, lambda t, x: 0.1 * x, [0.9, 0.7]),
    "cir": (lambda t, x: 0.9 - x, lambda t, x: 0.2 * x.clamp(min=0).sqrt(), [0.8]),
    "value_of": (lambda t, x: torch.where(sdewm.value_of(x) > 0, -x, x), lambda t, x: 0.2 * x, [0.8, -0.9]),
}


@quiet
@pytest.mark.parametrize("name", BRANCHING)
def test_expansion_of_a_branching_system(name: str) -> None:
    f, g, start = BRANCHING[name]
    error = FunctionSDE(lambda t, x: 0.5 * x, lambda t, x: torch.tanh(x))
    family = PerturbedSDE(FunctionSDE(f, g), error)
    x0, grid, sampler = torch.tensor(start, dtype=F64), TimeGrid(0.0, 1.0, 4), QuasiMonteCarlo(64, 0, replicates=4)
    expansion = expand(family, lambda x: x.square().sum(-1), x0, grid, sampler=sampler)
    found = [expansion.loss0.mean, expansion.first.mean, expansion.second.mean]
    # ε is so small that no path changes its branch: the expected loss of these paths then is a power series.
    assert found == pytest.approx(plain_coefficients(family, x0, grid, sampler, h=2e-3), rel=1e-5)


@quiet
def test_full_truncation_runs_with_every_route() -> None:
    """CIR with a mean reversion so weak that paths go below zero, where its diffusion and its slope are zero."""

    def diffusion(t: Tensor, x: Tensor) -> Tensor:
        return 0.4 * x.clamp(min=0).sqrt()

    cir = FunctionSDE(lambda t, x: 0.5 * (0.02 - x), diffusion)
    x0, grid = torch.tensor([0.02], dtype=F64), TimeGrid(0.0, 1.0, 64)
    final = solve(cir, x0, grid, method="milstein", noise=BrownianPath(0, 256, 1, 0.0, 1.0).at(6))
    assert bool(torch.isfinite(final).all()) and bool((final < 0).any())
    family = PerturbedSDE(cir, FunctionSDE(lambda t, x: 0.5 * x))
    expansion = expand(family, lambda x: x.square().sum(-1), x0, TimeGrid(0.0, 1.0, 16), paths=128)
    assert math.isfinite(expansion.first.mean) and math.isfinite(expansion.second.mean)


# torch.distributions, with the validation that is on by default

COVARIANCE = torch.eye(4, dtype=F64) + 0.3
LOG_PROBS: dict[str, tuple[Callable[[Tensor, Tensor], Tensor], Callable[[Tensor, Tensor], Tensor]]] = {
    "Normal": (
        lambda x, p: distributions.Normal(x, p).log_prob(x.sin()),
        lambda x, p: -0.5 * ((x.sin() - x) / p) ** 2 - p.log() - 0.5 * math.log(2 * math.pi),
    ),
    "Independent": (
        lambda x, p: distributions.Independent(distributions.Normal(x, p), 1).log_prob(torch.ones(4, dtype=F64)),
        lambda x, p: (-0.5 * ((1 - x) / p) ** 2 - p.log() - 0.5 * math.log(2 * math.pi)).sum(-1),
    ),
    "MultivariateNormal": (
        lambda x, p: distributions.MultivariateNormal(torch.ones(4, dtype=F64), COVARIANCE).log_prob(x),
        lambda x, p: (
            -0.5 * ((x - 1) * ((x - 1) @ torch.linalg.inv(COVARIANCE))).sum(-1)
            - 0.5 * torch.logdet(2 * math.pi * COVARIANCE)
        ),
    ),
    "Exponential": (lambda x, p: distributions.Exponential(p).log_prob(x**2), lambda x, p: p.log() - p * x**2),
    "Uniform": (lambda x, p: distributions.Uniform(x - p, x + p).log_prob(x), lambda x, p: -(2 * p).log()),
    "Bernoulli": (
        lambda x, p: distributions.Bernoulli(logits=x).log_prob(torch.ones(3, 4, dtype=F64)),
        lambda x, p: F.logsigmoid(x),
    ),
    "Categorical": (
        lambda x, p: distributions.Categorical(logits=x).log_prob(torch.tensor([0, 3, 1])),
        lambda x, p: torch.log_softmax(x, -1).gather(-1, torch.tensor([[0], [3], [1]])).squeeze(-1),
    ),
    "kl": (
        lambda x, p: distributions.kl_divergence(
            distributions.Normal(x, p), distributions.Normal(torch.zeros(4, dtype=F64), torch.ones(4, dtype=F64))
        ),
        lambda x, p: 0.5 * (p**2 + x**2 - 1) - p.log(),
    ),
}


@quiet
@pytest.mark.parametrize("name", LOG_PROBS)
def test_distributions_of_jets(name: str) -> None:
    through_torch, by_hand = LOG_PROBS[name]
    found, expected = through_torch(X, P), by_hand(X, P)
    torch.testing.assert_close(found.value, through_torch(X.value, P.value))
    same(found, expected)


def test_validation_is_no_branch_and_still_refuses() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        distributions.Normal(X, P).log_prob(X)
    with pytest.raises(ValueError, match="scale"):
        distributions.Normal(X, X)


# value_of, and the advice that names it


def test_value_of_reads_tensors_and_jets_alike() -> None:
    plain = torch.ones(3, requires_grad=True)
    assert sdewm.value_of(plain) is plain
    assert torch.equal(sdewm.value_of(X), X.value) and sdewm.value_of(X).data_ptr() == X.coefficients.data_ptr()
    for wrong in (1.0, None, [1.0], np.ones(2)):
        with pytest.raises(TypeError, match=r"^x: expected a tensor or a jet, got"):
            sdewm.value_of(wrong)


@pytest.mark.parametrize("read", [float, lambda x: x.item(), lambda x: x.tolist(), np.asarray, complex, operator.index])
def test_reading_plain_numbers_is_refused_and_the_advice_runs_on_tensors_and_jets(read: Callable[[Any], Any]) -> None:
    x = X[0, 0]
    with pytest.raises(NotDifferentiable, match=r"read sdewm\.value_of\(x\)"):
        read(x)
    if read is not operator.index:
        assert read(sdewm.value_of(x)) == read(sdewm.value_of(x.value)) == read(x.value)


@quiet
def test_indexing_with_a_jet_says_how() -> None:
    table = torch.arange(5.0)
    with pytest.raises(NotDifferentiable, match=r"use index\.long\(\)"):
        table[P]
    for x in (P, P.value):
        assert torch.equal(table[x.long()], table[P.value.long()])


def test_each_name_is_warned_of_once_in_a_process() -> None:
    program = (
        "import torch; from sdewm.jets import Jet, JetSpace\n"
        "x = Jet(torch.ones(2, 3), JetSpace(1, 1))\n"
        "for i in range(3):\n"
        "    x > 0; torch.relu(x)\n"
        "x > 1\n"
        "torch.nn.functional.relu(x)\n"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert [run.stderr.count(f"{name} is not twice") for name in ("gt", "relu")] == [1, 1]


def test_a_state_that_leaves_the_numbers_is_still_an_error() -> None:
    root = FunctionSDE(lambda t, x: -5.0 + 0 * x, lambda t, x: x.sqrt())
    with pytest.raises(NonFiniteState):
        solve(root, torch.ones(1, dtype=F64), TimeGrid(0.0, 1.0, 8), noise=torch.zeros(8, 2, 1, dtype=F64))
