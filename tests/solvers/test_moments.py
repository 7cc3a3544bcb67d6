"""Every solver's one step against the exact moments of the equation, on random systems of every noise type.

E φ(X_h) = φ + h Lφ + ½ h² L²φ + … with L the generator (Kloeden & Platen 1992, 5.5). The expectation over the
increments of one step is a Gauss–Hermite sum, so that nothing is sampled: the coefficients of h are fitted to rounding.
A method of weak order p must have the first p of them; one of strong order 1 must also have Milstein's terms, which are
the step's correlations with the double integrals. φ is smooth and arbitrary, so that mean, variance and all else count.
"""

from __future__ import annotations

import inspect
import itertools
import math
import sys
import textwrap
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from support import F64
from torch import Tensor
from torch.func import grad, hessian, jacrev, jvp

from sdewm import FunctionSDE, TimeGrid
from sdewm.solvers.methods import stepper
from sdewm.solvers.registry import METHODS
from sdewm.solvers.schemes.euler import EulerMaruyama
from sdewm.solvers.schemes.heun import Heun
from sdewm.solvers.schemes.milstein import PreparedMilstein
from sdewm.solvers.schemes.platen_weak import PreparedWeak2
from sdewm.solvers.schemes.sri2 import PreparedSRI2
from sdewm.systems.sde import diffusion_matrix
from sdewm.testing import SmoothLoss, SmoothSDE, systems

LONGEST, DEGREE, NODES = 0.02, 7, 10
CALCULI = {name: method.sde_types for name, method in METHODS.items() if not method.sequential and ":" not in name}
COMBINATIONS = [(name, calculus) for name, calculi in CALCULI.items() for calculus in calculi]
NOISES = ("diagonal", "additive", "scalar", "general")


def generator(sde: SmoothSDE, phi: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    """(t, x) -> Lφ = ∂φ/∂t + ∇φ·f + ½ tr(gᵀ ∇²φ g), with f Itô's drift; x ``(n,)``."""

    def of(t: Tensor, x: Tensor) -> Tensor:
        f, g = sde.f(t, x[None])[0], diffusion_matrix(sde, t, x[None])[0]
        if sde.sde_type == "stratonovich":
            f = f + 0.5 * torch.einsum("ikj,jk->i", jacrev(lambda y: diffusion_matrix(sde, t, y[None])[0])(x), g)
        spread = torch.einsum("ik,ij,jk->", g, hessian(phi, argnums=1)(t, x), g)
        return grad(phi, argnums=0)(t, x) + grad(phi, argnums=1)(t, x) @ f + 0.5 * spread

    return of


def double_terms(sde: SmoothSDE, t: Tensor, x: Tensor) -> Tensor:
    """∂g_l[g_k] ``(n, m, m)``, first k, then l: what I_kl is multiplied by."""
    g = diffusion_matrix(sde, t, x[None])[0]
    columns = [jvp(lambda y: diffusion_matrix(sde, t, y[None])[0], (x,), (vector,))[1] for vector in g.unbind(1)]
    return torch.stack(columns, 1)


def one_step(sde: SmoothSDE, x: Tensor, t0: float, method: str) -> Callable[[float], tuple[Tensor, ...]]:
    """h -> (weights, X_h, z, a): every node's weight, end, increments ΔB = √h z, and areas h a."""
    m = sde.channels
    nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
    z = torch.tensor(list(itertools.product(nodes, repeat=m)), dtype=F64)
    w = torch.tensor([math.prod(row) for row in itertools.product(weights / weights.sum(), repeat=m)], dtype=F64)
    # The areas' moments, as far as the orders go, are those of a fair coin: mean 0, variance h²/4 for each pair.
    pairs = list(itertools.combinations(range(m), 2))
    signs = torch.tensor(list(itertools.product([-0.5, 0.5], repeat=len(pairs))), dtype=F64)
    area = torch.zeros(len(signs), m, m, dtype=F64)
    for p, (k, l) in enumerate(pairs):  # noqa: E741
        area[:, k, l], area[:, l, k] = signs[:, p], -signs[:, p]
    z, a = z.repeat_interleave(len(area), 0), area.repeat(len(z), 1, 1)
    w = w.repeat_interleave(len(area)) / len(area)
    prepared = stepper(method, sde).prepare(sde, x, TimeGrid(t0, t0 + LONGEST, 1))
    t = torch.tensor(t0, dtype=F64)

    def at(h: float) -> tuple[Tensor, ...]:
        end = prepared.step(sde, t, h, x.expand(len(z), -1), math.sqrt(h) * z, h * a)
        return w, end, z, a

    return at


def series(function: Callable[[float], Tensor]) -> Tensor:
    """The coefficients of 1, h, h², … of a function that is analytic in h, ``(DEGREE, …)``."""
    points = 0.5 * LONGEST * (1 + np.cos(np.pi * (np.arange(DEGREE) + 0.5) / DEGREE))
    values = torch.stack([function(float(h)) for h in points])
    fit = np.linalg.solve(np.vander(points / LONGEST, increasing=True), values.flatten(1).numpy())
    scale = LONGEST ** np.arange(DEGREE)
    return torch.from_numpy(fit / scale[:, None]).view(DEGREE, *values.shape[1:])


def start(sde: SmoothSDE) -> tuple[Tensor, float]:
    numbers = torch.randn(sde.size + 1, generator=torch.Generator().manual_seed(sde.seed), dtype=F64)
    return numbers[1:], float(numbers[0])


def check_weak(sde: SmoothSDE, method: str) -> None:
    """The first ``weak_order`` coefficients of E φ(X_h)."""
    x, t0 = start(sde)
    t, loss = torch.tensor(t0, dtype=F64), SmoothLoss(sde.size, sde.seed)
    step = one_step(sde, x, t0, method)

    def mean(h: float) -> Tensor:
        w, end, _, _ = step(h)
        return ((w * (loss(end) - loss(x[None]))).sum() / h)[None]

    found = series(mean)[:, 0]
    once = generator(sde, lambda t, y: loss(y[None])[0] + 0 * t)
    assert float(found[0]) == pytest.approx(float(once(t, x)), rel=1e-7, abs=1e-7)
    if METHODS[method].weak_order == 2:
        twice = 0.5 * generator(sde, once)(t, x)
        assert float(found[1]) == pytest.approx(float(twice), rel=1e-4, abs=1e-4)


def check_strong(sde: SmoothSDE, method: str) -> None:
    """Correlations with z_k z_l − δ_kl and with the areas: those of Milstein's terms for strong order 1, else none.

    Heun's scheme has the symmetric half of them, and so strong order 1 where the diffusion vectors commute.
    """
    x, t0 = start(sde)
    step = one_step(sde, x, t0, method)
    identity = torch.eye(sde.channels, dtype=F64)

    def correlations(h: float) -> Tensor:
        w, end, z, a = step(h)
        moved = end - x
        even = torch.einsum("p,pi,pkl->ikl", w, moved, z[:, :, None] * z[:, None] - identity) / h
        areas = torch.einsum("p,pi,pkl->ikl", w, moved, a) / h
        return torch.stack([even, areas])

    even, areas = series(correlations)[0]
    terms = double_terms(sde, torch.tensor(t0, dtype=F64), x)
    symmetric, antisymmetric = 0.5 * (terms + terms.mT), 0.5 * (terms - terms.mT)
    if METHODS[method].strong_order < 1:
        antisymmetric = torch.zeros_like(terms)
        if method != "heun":
            symmetric = torch.zeros_like(terms)
    torch.testing.assert_close(even, symmetric, rtol=1e-6, atol=1e-7)
    # a_kl has variance ¼ and the pair counts twice: ∂g_l[g_k] a_kl + ∂g_k[g_l] a_lk.
    torch.testing.assert_close(areas, 0.5 * antisymmetric, rtol=1e-6, atol=1e-7)


def hold(check: Callable, method: str, noise_type: str, calculus: str, examples: int) -> None:
    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        phases=(Phase.explicit, Phase.generate),
        suppress_health_check=list(HealthCheck),
    )
    @given(systems([noise_type], largest=2, sde_type=calculus))
    def every(sde):
        check(sde, method)

    every()


@pytest.mark.parametrize("noise_type", NOISES)
@pytest.mark.parametrize(("method", "calculus"), COMBINATIONS)
@pytest.mark.parametrize("check", [check_weak, check_strong])
def test_one_step_has_the_moments_of_its_order(check, method, calculus, noise_type):
    hold(check, method, noise_type, calculus, examples=3)


@pytest.mark.slow
@pytest.mark.parametrize("noise_type", NOISES)
@pytest.mark.parametrize(("method", "calculus"), COMBINATIONS)
@pytest.mark.parametrize("check", [check_weak, check_strong])
def test_one_step_has_the_moments_of_its_order_in_many_systems(check, method, calculus, noise_type):
    hold(check, method, noise_type, calculus, examples=100)


def test_heuns_scheme_takes_the_mean_of_both_ends_in_time():
    """dx = t dt + t dB from t = 2 is integrated by the trapezoidal rule."""
    x, h, dB = torch.zeros(1, 1, dtype=F64), 0.5, torch.tensor([[0.3]], dtype=F64)
    clock = FunctionSDE(lambda t, x: t + 0 * x, lambda t, x: t + 0 * x, sde_type="stratonovich")
    end = METHODS["heun"].step(clock, torch.tensor(2.0, dtype=F64), h, x, dB)
    assert float(end) == pytest.approx(2.25 * (h + 0.3), rel=1e-12)


# -- each moment can fail


def mutated(cls: type, find: str, put: str) -> Callable:
    """The class's ``step`` with a piece of its source replaced."""
    source = textwrap.dedent(inspect.getsource(cls.step))
    assert find in source, f"{cls.__name__}.step has no {find!r}: change the mutation with the code"
    scope: dict = {}
    exec(
        "from __future__ import annotations\n" + source.replace(find, put), sys.modules[cls.__module__].__dict__, scope
    )
    return scope["step"]


EULER, HEUN = EulerMaruyama, Heun
MILSTEIN, SRI2, PLATEN = PreparedMilstein, PreparedSRI2, PreparedWeak2
MUTATIONS = [
    (check_weak, "euler", "ito", EULER, "drift(sde, t, x) * dt", "drift(sde, t, x) * dt * 1.001"),
    (check_weak, "heun", "stratonovich", HEUN, "0.5 * (here + there)", "0.501 * (here + there)"),
    (check_weak, "milstein", "ito", MILSTEIN, "drift(sde, t, x) * dt", "drift(sde, t, x) * dt * 1.001"),
    (check_strong, "milstein", "ito", MILSTEIN, "product(direction.members", "0.99 * product(direction.members"),
    (check_weak, "sri2", "ito", SRI2, "0.5 * (move + ", "0.501 * (move + "),
    (check_strong, "sri2", "ito", SRI2, "0.5 * root * difference", "0.499 * root * difference"),
    (check_weak, "platen-weak", "ito", PLATEN, "x + move + vector)", "x + vector)"),
    (
        check_weak,
        "platen-weak",
        "ito",
        PLATEN,
        "- dt * one_channel(dB, r)) / root",
        "- 0.9 * dt * one_channel(dB, r)) / root",
    ),
    (check_strong, "platen-weak", "ito", PLATEN, "2 * area[:, r]", "area[:, r]"),
]


@pytest.mark.parametrize(("check", "method", "calculus", "cls", "find", "put"), MUTATIONS)
def test_a_mistake_in_a_step_is_seen(monkeypatch, check, method, calculus, cls, find, put):
    monkeypatch.setattr(cls, "step", mutated(cls, find, put))
    with pytest.raises(AssertionError):
        hold(check, method, "general", calculus, examples=20)
