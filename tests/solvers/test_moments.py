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
from sdewm.solvers.schemes.implicit_euler import ImplicitEuler
from sdewm.solvers.schemes.milstein import PreparedMilstein
from sdewm.solvers.schemes.platen_weak import PreparedWeak2
from sdewm.solvers.schemes.split_step import SplitStepEuler
from sdewm.solvers.schemes.sra1 import RoesslerSRA1
from sdewm.solvers.schemes.sri2 import PreparedSRI2
from sdewm.solvers.schemes.tamed_euler import TamedEuler
from sdewm.solvers.schemes.taylor15 import Taylor15
from sdewm.systems.sde import diffusion_matrix
from sdewm.testing import SmoothLoss, SmoothSDE, systems

LONGEST, DEGREE, NODES, FEW = 0.02, 7, 10, 5
CALCULI = {name: method.sde_types for name, method in METHODS.items() if not method.sequential and ":" not in name}
NOISES = ("diagonal", "additive", "scalar", "general")
# What noise of a type is, and what the schemes for some structures alone are for.
CASES = [
    (name, calculus, noise)
    for name, calculi in CALCULI.items()
    for calculus in calculi
    for noise in NOISES
    if noise in METHODS[name].structures
]
FINE = [case for case in CASES if METHODS[case[0]].strong_order == 1.5]


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
    """h -> (weights, X_h, z, a): every node's weight, end, increments ΔB = √h z, and areas h a or integrals of time.

    A scheme that takes integrals over time gets h^{3/2} (½ z + a/√12) in place of areas, with a normal a.
    """
    m, of_time = sde.channels, METHODS[method].needs_time_areas
    z, w = normals(m, NODES)
    if of_time:
        a, weights = normals(m, FEW)
    else:
        # The areas' moments, as far as the orders go, are those of a fair coin: mean 0, variance h²/4 for each pair.
        pairs = list(itertools.combinations(range(m), 2))
        signs = torch.tensor(list(itertools.product([-0.5, 0.5], repeat=len(pairs))), dtype=F64)
        a = torch.zeros(len(signs), m, m, dtype=F64)
        for p, (k, l) in enumerate(pairs):  # noqa: E741
            a[:, k, l], a[:, l, k] = signs[:, p], -signs[:, p]
        weights = torch.full((len(a),), 1 / len(a), dtype=F64)
    few = len(a)
    z, a, w = z.repeat_interleave(few, 0), a.repeat(len(z), *[1] * (a.ndim - 1)), torch.outer(w, weights).flatten()
    prepared = stepper(method, sde).prepare(sde, x, TimeGrid(t0, t0 + LONGEST, 1))
    t = torch.tensor(t0, dtype=F64)

    def at(h: float) -> tuple[Tensor, ...]:
        area = h**1.5 * (0.5 * z + a / math.sqrt(12)) if of_time else h * a
        end = prepared.step(sde, t, h, x.expand(len(z), -1), math.sqrt(h) * z, area)
        return w, end, z, a

    return at


def normals(m: int, count: int) -> tuple[Tensor, Tensor]:
    """Nodes ``(count^m, m)`` and weights of m independent normals."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(count)
    z = torch.tensor(list(itertools.product(nodes, repeat=m)), dtype=F64)
    return z, torch.tensor([math.prod(row) for row in itertools.product(weights / weights.sum(), repeat=m)], dtype=F64)


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
        areas = torch.einsum("p,pi,pkl->ikl", w, moved, a) / h if a.ndim == 3 else torch.zeros_like(even)
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


def check_fine(sde: SmoothSDE, method: str) -> None:
    """Correlations with an increment, its integral over time and three increments: those of the Itô–Taylor expansion.

    That has, to strong order 1.5, L_k f I_(k,0) + L_0 g_k I_(0,k) + L_k L_l g_m I_klm (Kloeden & Platen 1992, 10.4).
    """
    x, t0 = start(sde)
    t, step, m = torch.tensor(t0, dtype=F64), one_step(sde, x, t0, method), sde.channels

    def matrix(t: Tensor, x: Tensor) -> Tensor:
        return diffusion_matrix(sde, t, x[None])[0]

    def along(field: Callable[[Tensor], Tensor], k: int) -> Callable[[Tensor], Tensor]:
        return lambda y: jvp(field, (y,), (matrix(t, y)[:, k],))[1]

    f, g = sde.f(t, x[None])[0], matrix(t, x)
    of_f = torch.stack([along(lambda y: sde.f(t, y[None])[0], k)(x) for k in range(m)], -1)
    bent = torch.einsum("icjk,jl,kl->ic", hessian(lambda y: matrix(t, y))(x), g, g)
    of_g = jvp(lambda s: matrix(s, x), (t,), (torch.ones_like(t),))[1] + jvp(lambda y: matrix(t, y), (x,), (f,))[1]
    of_g = of_g + 0.5 * bent
    thrice = [[along(along(lambda y: matrix(t, y), k), l)(x) for l in range(m)] for k in range(m)]  # noqa: E741
    triple = torch.stack([torch.stack(row, 1) for row in thrice], 1)
    identity = torch.eye(m, dtype=F64)

    def correlations(h: float) -> Tensor:
        w, end, z, a = step(h)
        moved = w[:, None] * (end - x) / math.sqrt(h)
        cubes = torch.einsum("pk,pl,pm->pklm", z, z, z)
        for pair, one in (("kl", "m"), ("km", "l"), ("lm", "k")):
            cubes = cubes - torch.einsum(f"{pair},p{one}->pklm", identity, z)
        found = [torch.einsum("pi,pk->ik", moved, z), torch.einsum("pi,pk->ik", moved, a)]
        return torch.cat([*found, torch.einsum("pi,pklm->iklm", moved, cubes).flatten(1)], -1)

    once, integral, cubes = series(correlations)[1].split([m, m, m**3], -1)
    torch.testing.assert_close(once, 0.5 * (of_f + of_g), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(integral, (of_f - of_g) / math.sqrt(12), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(cubes, triple.flatten(1), rtol=1e-5, atol=1e-6)


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


@pytest.mark.parametrize(("method", "calculus", "noise_type"), CASES)
@pytest.mark.parametrize("check", [check_weak, check_strong])
def test_one_step_has_the_moments_of_its_order(check, method, calculus, noise_type):
    hold(check, method, noise_type, calculus, examples=3)


@pytest.mark.parametrize(("method", "calculus", "noise_type"), FINE)
def test_one_step_has_the_terms_of_order_one_and_a_half(method, calculus, noise_type):
    hold(check_fine, method, noise_type, calculus, examples=3)


@pytest.mark.slow
@pytest.mark.parametrize(("method", "calculus", "noise_type"), CASES)
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
    (check_weak, "implicit-euler", "ito", ImplicitEuler, "t + dt, dt, x", "t + dt, 1.001 * dt, x"),
    (check_weak, "implicit-euler", "ito", ImplicitEuler, "x, dB)", "x, 1.001 * dB)"),
    (check_weak, "split-step", "ito", SplitStepEuler, "t + dt, dt, x", "t + dt, 1.001 * dt, x"),
    (check_weak, "split-step", "ito", SplitStepEuler, "moved, dB)", "moved, 1.001 * dB)"),
    (check_weak, "tamed-euler", "ito", TamedEuler, "(1 + (move", "(1.001 + (move"),
    (check_weak, "sra1", "ito", RoesslerSRA1, "0.75 * here", "0.7 * here"),
    (check_fine, "sra1", "ito", RoesslerSRA1, "1.5 * product", "1.4 * product"),
    (check_fine, "sra1", "ito", RoesslerSRA1, "diffusion_product(sde, t, x, mean)", "product(mean)"),
    (check_weak, "sra1", "ito", RoesslerSRA1, "here + 2 * there) / 3", "2 * here + there) / 3"),
    *(
        (check_fine, "taylor-1.5", "ito", Taylor15, find, put)
        for find, put in (
            ("noise(x)) / 6", "noise(x)) / 5"),
            ("dt * directional(partial", "0.9 * dt * directional(partial"),
            ("slow(x, t + dt) - now(x)", "0.9 * (slow(x, t + dt) - now(x))"),
            ("dt * directional(now, x", "0.9 * dt * directional(now, x"),
            ("- 0.5 * dt * directional(along", "- 0.4 * dt * directional(along"),
            ("+ 0.5 * dt * directional(bent", "+ 0.4 * dt * directional(bent"),
            ("one + directional(noise, y, one)", "one"),
        )
    ),
    (check_strong, "taylor-1.5", "ito", Taylor15, "0.5 * twice(x)", "0.49 * twice(x)"),
    (check_weak, "taylor-1.5", "ito", Taylor15, "0.5 * dt * drift", "0.4 * dt * drift"),
]


@pytest.mark.parametrize(("check", "method", "calculus", "cls", "find", "put"), MUTATIONS)
def test_a_mistake_in_a_step_is_seen(monkeypatch, check, method, calculus, cls, find, put):
    monkeypatch.setattr(cls, "step", mutated(cls, find, put))
    noise = next(kind for kind in ("general", "scalar", "additive") if kind in METHODS[method].structures)
    with pytest.raises(AssertionError):
        hold(check, method, noise, calculus, examples=20)
