"""Milstein's scheme and its relatives: one step, jets through it, what it refuses."""

from __future__ import annotations

import pytest
import torch
from noise_structures import COMMUTING, GRID, LEVEL, ROTATION, SYSTEMS, brownian, derivatives, matrices, start
from support import F64, refuses
from torch import Tensor

from sdewm.jets import JetSpace, Parameter
from sdewm.noise.brownian import BrownianPath
from sdewm.noise.grid import TimeGrid
from sdewm.noise.integrals import iterated_integrals, stratonovich_integrals
from sdewm.sensitivity import fundamental_matrix
from sdewm.solvers.registry import METHODS
from sdewm.solvers.schemes.milstein import Milstein
from sdewm.solvers.solve import solve
from sdewm.solvers.structure import noise_structure
from sdewm.systems.calculus import to_ito, to_stratonovich
from sdewm.systems.perturbed import PerturbedSDE
from sdewm.systems.sde import FunctionSDE, diffusion_matrix

# -- one step


@pytest.mark.parametrize("sde_type", ["ito", "stratonovich"])
@pytest.mark.parametrize("name", SYSTEMS)
def test_a_step_is_the_formula(name, sde_type):
    sde, x0 = SYSTEMS[name], start(name)
    noise = brownian(sde, x0)
    dB, area = next(noise.areas())
    t, h = torch.tensor(0.2, dtype=F64), 0.1  # not a number of single precision, in which nothing may be rounded
    x = x0 + 0.1 * torch.randn(5, len(x0), generator=torch.Generator().manual_seed(0), dtype=F64)
    integrals = iterated_integrals(dB, h, area) if sde_type == "ito" else stratonovich_integrals(dB, area)
    expected = x + sde.f(t, x) * h + torch.einsum("pik,pk->pi", diffusion_matrix(sde, t, x), dB)
    expected = expected + torch.einsum("pikl,pkl->pi", derivatives(sde, t, x), integrals)
    meant = sde if sde_type == "ito" else FunctionSDE(sde.f, sde.g, sde.noise_type, "stratonovich")
    found = Milstein().step(meant, t, h, x, dB, area)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("name", SYSTEMS)
def test_sri2_is_milstein_to_the_next_order(name):
    """On one step with everything scaled by Brownian scaling the difference falls like h^{3/2} at least."""
    sde, x0 = SYSTEMS[name], start(name)
    dB, area = next(brownian(sde, x0, paths=50).areas())
    t, x = torch.tensor(0.2, dtype=F64), x0.expand(50, -1)
    sizes = []
    for scale in (2.0**-8, 2.0**-10):
        arguments = (sde, t, scale, x, dB * scale**0.5, area * scale)
        difference = METHODS["sri2"].step(*arguments) - METHODS["milstein"].step(*arguments)
        sizes.append(float(difference.abs().max()))
    assert sizes[1] < 1e-13 or sizes[0] / sizes[1] > 4**1.4


def moments(A: Tensor, B: list[Tensor], x0: Tensor, h: float) -> Tensor:
    """E x xᵀ after a time h for dx = A x dt + Σ B_k x dB^k."""
    eye = torch.eye(len(A), dtype=F64)
    generator = torch.kron(A, eye) + torch.kron(eye, A) + sum(torch.kron(b, b) for b in B)
    return (torch.linalg.matrix_exp(h * generator) @ torch.outer(x0, x0).flatten()).view(len(A), -1)


@pytest.mark.parametrize("commuting", [True, False])
@pytest.mark.parametrize("method", ["euler", "milstein", "sri2", "platen-weak"])
def test_local_weak_order(method, commuting):
    """E x xᵀ of one step, integrated exactly over increments and two-point areas, is off by O(h^{order + 1})."""
    A = torch.tensor([[-0.3, 0.8], [0.5, 0.2]], dtype=F64)
    B = [COMMUTING, COMMUTING @ COMMUTING + (0 if commuting else 1) * ROTATION @ torch.diag(COMMUTING[0])]
    sde = FunctionSDE(lambda t, x: x @ A.T, matrices(*B), "general")
    assert noise_structure(sde, torch.ones(2, dtype=F64), GRID).needs_areas is not commuting
    nodes, weights = (torch.tensor([-(3**0.5), 0.0, 3**0.5], dtype=F64), torch.tensor([1 / 6, 2 / 3, 1 / 6], dtype=F64))
    x0, t = torch.tensor([1.0, -0.5], dtype=F64), torch.tensor(0.0, dtype=F64)
    dB = torch.cartesian_prod(nodes, nodes).repeat(2, 1)
    weight = torch.outer(weights, weights).flatten().repeat(2) / 2
    sign = torch.tensor([1.0, -1.0], dtype=F64).repeat_interleave(9)
    area = 0.5 * sign[:, None, None] * ROTATION
    errors = []
    for h in (2.0**-6, 2.0**-7):
        x = METHODS[method].step(sde, t, h, x0.expand(18, -1), dB * h**0.5, area * h)
        errors.append(float((torch.einsum("p,pi,pj->ij", weight, x, x) - moments(A, B, x0, h)).norm()))
    rate = torch.log2(torch.tensor(errors[0] / errors[1]))
    assert abs(float(rate) - (METHODS[method].weak_order + 1)) < 0.2


# -- jets


FAMILIES = {
    "latent": PerturbedSDE(
        SYSTEMS["latent"],
        SYSTEMS["latent"].encoder_error(lambda h, s: torch.cos(h[:, :2]), lambda h, s: 0.5 + h[:, 1:] ** 2),
    ),
    "crossed": PerturbedSDE(SYSTEMS["declared diagonal"], SYSTEMS["general"]),
    "broken": PerturbedSDE(SYSTEMS["diagonal"], SYSTEMS["declared diagonal"]),
}


@pytest.mark.parametrize(
    "name, method",
    [
        ("latent", "milstein"),
        ("latent", "sri2"),
        *((name, method) for name in ("crossed", "broken") for method in ("milstein", "sri2", "platen-weak")),
    ],
)
def test_sensitivities_are_finite_differences_on_the_same_noise(name, method):
    """First and second derivatives in both magnitudes, to 1e-6, by differences of fourth order."""
    family, x0 = FAMILIES[name], start(name)
    grid, space = TimeGrid(0.0, 1.0, 4), JetSpace(2, 2)
    noise = brownian(family.base, x0, level=2)
    jet = solve(family.at(Parameter(space, 0), Parameter(space, 1)), x0, grid, method=method, noise=noise)
    h = 2e-3

    # The structure at ε = 0 may be smaller than nearby; a symmetric difference never sees it there but in its middle.
    def final(a: float, b: float) -> Tensor:
        return solve(family.at(a * h, b * h), x0, grid, method=method, noise=noise)

    middle = jet.value
    for i, (a, b) in enumerate([(1, 0), (0, 1)]):
        near = final(a, b), final(-a, -b)
        far = final(2 * a, 2 * b), final(-2 * a, -2 * b)
        first = (8 * (near[0] - near[1]) - (far[0] - far[1])) / (12 * h)
        second = (16 * (near[0] + near[1]) - (far[0] + far[1]) - 30 * middle) / (12 * h * h)
        alpha = (1 - i, i)
        torch.testing.assert_close(jet.derivative(alpha), first, rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(jet.derivative((2 - 2 * i, 2 * i)), second, rtol=1e-6, atol=1e-6)
    mixed = (final(1, 1) + final(-1, -1) - final(1, -1) - final(-1, 1)) / (4 * h * h)
    torch.testing.assert_close(jet.derivative((1, 1)), mixed, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", ["latent", "declared diagonal"])
def test_the_fundamental_matrix(name):
    sde, x0 = SYSTEMS[name], start(name)
    noise = brownian(sde, x0)
    found = fundamental_matrix(sde, x0, GRID, method="milstein", noise=noise)
    h = 1e-3
    for j, e in list(enumerate(torch.eye(len(x0), dtype=F64)))[::4]:
        up, down = (solve(sde, x0 + s * h * e, GRID, method="milstein", noise=noise) for s in (1, -1))
        torch.testing.assert_close(found[..., j], (up - down) / (2 * h), rtol=0, atol=1e-5)


# -- Itô and Stratonovich


@pytest.mark.parametrize("name", SYSTEMS)
def test_milstein_takes_the_same_step_in_either_calculus(name):
    sde, x0 = SYSTEMS[name], start(name)
    noise = brownian(sde, x0)
    expected = solve(sde, x0, GRID, method="milstein", noise=noise)
    other = to_stratonovich(sde)
    assert other.sde_type == "stratonovich" and to_ito(other) is sde
    torch.testing.assert_close(solve(other, x0, GRID, method="milstein", noise=noise), expected, rtol=0, atol=1e-12)


# -- errors


def test_errors():
    general, x0 = SYSTEMS["general"], start("general")
    plain = BrownianPath(3, 5, 2).at(LEVEL)
    for method in ("milstein", "sri2", "platen-weak"):
        with refuses(ValueError, f"noise: {method!r} needs Lévy areas", "StoredIncrements", "BrownianPath(seed,"):
            solve(general, x0, GRID, method=method, noise=torch.zeros(8, 5, 2, dtype=F64))
        with refuses(ValueError, "finest: expected a level of at least 3 to draw areas at, got None"):
            solve(general, x0, GRID, method=method, noise=plain)
        with refuses(ValueError, "area: expected (paths, m, m), as the diffusion vectors do not commute, got None"):
            METHODS[method].step(general, torch.tensor(0.0), 0.1, x0[None], torch.zeros(1, 2, dtype=F64))
        for name in ("additive", "scalar", "diagonal", "commutative"):
            noise = brownian(SYSTEMS[name], x0)
            increments = torch.stack(list(noise))
            found = solve(SYSTEMS[name], x0, GRID, method=method, noise=increments)
            assert torch.equal(found, solve(SYSTEMS[name], x0, GRID, method=method, noise=noise))


def test_areas_of_too_few_pairs_are_refused():
    """Those that are missing would be zero, and the order ½."""
    sde, x0 = SYSTEMS["latent"], start("latent")
    pairs = noise_structure(sde, x0, GRID).pairs
    path = BrownianPath(3, 5, len(pairs))
    enough, few = (path.at(LEVEL, finest=LEVEL, pairs=mask) for mask in (pairs, torch.zeros_like(pairs)))
    assert torch.equal(
        solve(sde, x0, GRID, method="milstein", noise=enough), solve(sde, x0, GRID, method="milstein", noise=enough)
    )
    for method in ("milstein", "sri2", "platen-weak"):
        with refuses(ValueError, "pairs: expected areas of the pairs that do not commute, [[0, 2]", "got those of []"):
            solve(sde, x0, GRID, method=method, noise=few)


def test_a_step_with_additive_noise_costs_what_eulers_costs():
    calls = []
    sde = FunctionSDE(lambda t, x: calls.append("f") or -x, lambda t, x: calls.append("g") or torch.ones_like(x))
    x, t = torch.zeros(5, 2, dtype=F64), torch.tensor(0.0, dtype=F64)
    prepared = METHODS["milstein"].prepare(sde, x[0], GRID)
    for scheme in (prepared, METHODS["euler"]):
        calls.clear()
        scheme.step(sde, t, 0.1, x, torch.ones(5, 2, dtype=F64))
        assert sorted(calls) == ["f", "g"]


# -- scales


@pytest.mark.parametrize("small", [1.0, 1e-11, 1e-200])
def test_a_small_component_beside_a_large_one_is_solved_as_well_as_alone(small):
    gbm = FunctionSDE(lambda t, x: 0.1 * x, lambda t, x: 0.5 * x)
    x0 = torch.tensor([300.0, small], dtype=F64)
    grid, noise = TimeGrid(0.0, 1.0, 64), BrownianPath(3, 512, 2, 0.0, 1.0).at(6)
    exact = x0 * (0.1 - 0.125 + 0.5 * sum(noise)).exp()
    error = ((solve(gbm, x0, grid, method="milstein", noise=noise) - exact) / exact).square().mean(0).sqrt()
    assert error[1] < 1.5 * error[0] < 0.01
