"""Milstein's scheme, its relatives, and the structure of the noise that they measure."""

from __future__ import annotations

import pytest
import torch
from scipy.stats import binom, norm
from support import F64, FALSE_FAILURE, refuses
from torch import Tensor

from sdewm.exact import reference
from sdewm.exact.problems import PROBLEMS
from sdewm.jets import JetSpace, Parameter
from sdewm.jets.directional import directional
from sdewm.noise.brownian import BrownianPath
from sdewm.noise.grid import TimeGrid
from sdewm.noise.iterated_integrals import iterated_integrals, stratonovich_integrals
from sdewm.sensitivity import fundamental_matrix
from sdewm.solvers import held_structure, structure
from sdewm.solvers.held_structure import HeldStructure, OtherStructure
from sdewm.solvers.registry import METHODS
from sdewm.solvers.schemes.milstein import Milstein
from sdewm.solvers.solve import solve
from sdewm.solvers.structure import NoiseStructure, noise_structure
from sdewm.systems import pilot
from sdewm.systems.calculus import to_ito, to_stratonovich
from sdewm.systems.perturbed import PerturbedSDE
from sdewm.systems.sde import FunctionSDE, diffusion_matrix, noise_channels

LEVEL = 3
GRID = TimeGrid(0.0, 1.0, 2**LEVEL)
ROTATION = torch.tensor([[0.0, -1.0], [1.0, 0.0]], dtype=F64)
COMMUTING = torch.tensor([[0.5, 0.3], [-0.4, 0.6]], dtype=F64)


def drift(t: Tensor, x: Tensor) -> Tensor:
    return torch.sin(x.flip(-1)) - t * x


def matrices(*columns: Tensor):
    """The diffusion g_k(x) = B_k x."""
    return lambda t, x: torch.stack([x @ B.T for B in columns], -1)


SYSTEMS = {
    "additive": FunctionSDE(drift, lambda t, x: ((1 + t) * COMMUTING).expand(len(x), -1, -1), "additive"),
    "scalar": FunctionSDE(drift, lambda t, x: (0.4 * torch.cos(t + x.flip(-1))).unsqueeze(-1), "scalar"),
    "diagonal": FunctionSDE(drift, lambda t, x: 0.3 + 0.2 * torch.cos(x + t)),
    "commutative": FunctionSDE(drift, matrices(COMMUTING, COMMUTING @ COMMUTING), "general"),
    "general": FunctionSDE(drift, lambda t, x: torch.cos(x.flip(-1)).unsqueeze(-1) * COMMUTING, "general"),
    "declared diagonal": FunctionSDE(None, lambda t, x: 0.8 * torch.sqrt(1 + x.flip(-1) ** 2)),
    "rotation": FunctionSDE(None, matrices(ROTATION), "scalar"),
    "latent": reference.latent_model(sequence_noise=True),
    "linear": PROBLEMS["linear"]().family.base,
}
STARTS = {"latent": reference.initial_state(), "linear": torch.tensor([1.0, -0.5, 0.8], dtype=F64)}
KINDS = {"declared diagonal": "general", "rotation": "scalar", "latent": "general", "linear": "general"}


def start(name: str) -> Tensor:
    return STARTS.get(name, torch.tensor([0.5, -1.0], dtype=F64))


def brownian(sde, x0: Tensor, paths: int = 5, level: int = LEVEL):
    channels = noise_channels(sde, torch.tensor(0.0, dtype=F64), x0[None])
    return BrownianPath(3, paths, channels).at(level, finest=level)


def derivatives(sde, t: Tensor, x: Tensor) -> Tensor:
    """∂g_l[g_k], ``(paths, n, k, l)``, by autograd."""
    one = torch.func.vmap(torch.func.jacrev(lambda y: diffusion_matrix(sde, t, y[None])[0]))
    return torch.einsum("pilj,pjk->pikl", one(x), diffusion_matrix(sde, t, x))


# -- structure


@pytest.mark.parametrize("name", SYSTEMS)
def test_the_structure_is_measured(name):
    """Kinds as built; the table of who acts on whom, and the commutators, against autograd."""
    sde, x0 = SYSTEMS[name], start(name)
    found = noise_structure(sde, x0, GRID)
    assert found.kind == KINDS.get(name, name)
    assert found.needs_areas == (found.kind == "general")
    x = x0 + torch.randn(20, len(x0), generator=torch.Generator().manual_seed(1), dtype=F64)
    table = derivatives(sde, torch.tensor(0.4, dtype=F64), x)
    assert torch.equal(found.acts, (table.abs() > 1e-13).any(0).any(0))
    crossing = (table - table.mT).abs().amax((0, 1))
    assert torch.equal(found.pairs, crossing > 1e-13)
    assert (found.commutator > 1e-3) == found.needs_areas


def test_the_problems_said_not_to_commute_do_not():
    for name in ("general", "declared diagonal", "latent", "linear"):
        assert noise_structure(SYSTEMS[name], start(name), GRID).commutator > 1e-3
    assert noise_structure(SYSTEMS["commutative"], start("commutative"), GRID).commutator == 0


@pytest.mark.parametrize("name", SYSTEMS)
def test_directions_cover_each_derivative_once(name):
    structure = noise_structure(SYSTEMS[name], start(name), GRID)
    covered = torch.zeros_like(structure.acts, dtype=torch.int64)
    for direction in structure.directions(torch.zeros((), dtype=F64)):
        for column in direction.acts.nonzero()[:, 0].tolist():
            covered[int(direction.source[column]), column] += 1
        # No other member acts on a column that has its source.
        assert bool(((direction.members @ structure.acts.to(F64)) <= 1).all())
    assert torch.equal(covered, structure.acts.to(torch.int64))
    expected = {"additive": 0, "scalar": 1, "diagonal": 1, "rotation": 1, "declared diagonal": 1}
    assert len(structure.directions(torch.zeros(()))) == expected.get(name, len(structure.directions(torch.zeros(()))))


def test_structure_leaves_random_numbers_and_bad_states_alone():
    before = torch.get_rng_state()
    root = FunctionSDE(None, lambda t, x: torch.sqrt(x))
    assert noise_structure(root, torch.full((2,), 0.1, dtype=F64), GRID).kind == "diagonal"
    assert torch.equal(torch.get_rng_state(), before)
    with refuses(ValueError, "g: expected finite", "near the initial value, found none at t ="):
        noise_structure(FunctionSDE(None, lambda t, x: torch.sqrt(x - 1e9)), torch.ones(2, dtype=F64), GRID)


def test_structure_in_single_precision():
    for name in ("additive", "scalar", "diagonal", "general", "declared diagonal"):
        sde = SYSTEMS[name]
        if name in ("additive", "general"):
            sde = FunctionSDE(sde.f, lambda t, x, g=sde.g: g(t, x.double()).float(), "general")
        assert noise_structure(sde, start(name).float(), GRID).kind == KINDS.get(name, name)


def test_a_perturbation_can_break_the_structure():
    """The base is diagonal and its error is not: at ε = 0 nothing is needed, its sensitivities need areas."""
    family = PerturbedSDE(SYSTEMS["diagonal"], SYSTEMS["declared diagonal"])
    assert noise_structure(family.at(0.0), start("diagonal"), GRID).kind == "diagonal"
    assert noise_structure(family.at(Parameter(JetSpace(1, 1), 0)), start("diagonal"), GRID).kind == "general"


@pytest.mark.parametrize("name", ["general", "latent"])
def test_directional_derivatives(name):
    """Of tensors against autograd; of a jet, the jet of the derivative, against a difference in its parameter."""
    sde, x0 = SYSTEMS[name], start(name)
    t = torch.tensor(0.3, dtype=F64)
    x, v, y, w = 0.3 * torch.randn(4, 6, len(x0), generator=torch.Generator().manual_seed(2), dtype=F64)
    expected = torch.func.jvp(lambda u: sde.f(t, u), (x,), (v,))[1]
    torch.testing.assert_close(directional(lambda u: sde.f(t, u), x, v), expected)
    p = Parameter(JetSpace(1, 2), 0)
    jet = directional(lambda u: sde.f(t, u), x + p * y, v + p * w)

    def at(e: float) -> Tensor:
        return directional(lambda u: sde.f(t, u), x + e * y, v + e * w)

    h = 1e-3
    torch.testing.assert_close(jet.coefficients[0], expected)
    torch.testing.assert_close(jet.coefficients[1], (at(h) - at(-h)) / (2 * h), rtol=0, atol=1e-6)
    torch.testing.assert_close(jet.coefficients[2], (at(h) + at(-h) - 2 * at(0)) / (2 * h * h), rtol=0, atol=1e-6)


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


def test_conversion_of_a_known_system():
    """dx = σ x ∘ dB is dx = ½σ² x dt + σ x dB."""
    sde = FunctionSDE(None, lambda t, x: 0.6 * x, sde_type="stratonovich")
    x, t = torch.linspace(-1, 1, 6, dtype=F64).view(3, 2), torch.tensor(0.0, dtype=F64)
    torch.testing.assert_close(to_ito(sde).f(t, x), 0.18 * x)
    assert torch.equal(to_ito(sde).g(t, x), sde.g(t, x))


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


def test_the_calculus_is_checked():
    ito, x0 = SYSTEMS["diagonal"], start("diagonal")
    noise = torch.zeros(8, 5, 2, dtype=F64)
    with refuses(ValueError, "method: 'heun' is for Stratonovich SDEs, got one of sde_type 'ito'", "to_stratonovich"):
        solve(ito, x0, GRID, method="heun", noise=noise)
    other = to_stratonovich(ito)
    for method in ("euler", "euler-sequential", "sri2", "platen-weak"):
        with refuses(
            ValueError, "is for Itô SDEs, got one of sde_type 'stratonovich'", "['heun', 'milstein', ", "to_ito"
        ):
            solve(other, x0, GRID, method=method, noise=noise)
    with refuses(ValueError, "sde.sde_type: expected 'stratonovich', got 'ito'"):
        to_ito(ito)
    with refuses(ValueError, "sde_type: expected 'ito' or 'stratonovich', got 'backward'"):
        FunctionSDE(sde_type="backward")


def test_the_structure_is_found_where_paths_go():
    """Diffusions that are flat near the start: one beyond a threshold that paths cross, one late in time."""
    grid, x0 = TimeGrid(0.0, 1.0, 64), torch.zeros(1, dtype=F64)
    beyond = FunctionSDE(lambda t, x: 4 + 0 * x, lambda t, x: 0.2 + 0.6 * torch.relu(x - 2.5))
    late = FunctionSDE(None, lambda t, x: torch.where(t > 0.9, x, torch.ones_like(x)))
    flat = FunctionSDE(lambda t, x: 4 + 0 * x, lambda t, x: 0.2 + 0 * x)
    kinds = [noise_structure(sde, x0, grid).kind for sde in (beyond, late, flat)]
    assert "additive" not in kinds[:2] and kinds[2] == "additive"


def beyond(threshold: float, size: int = 1) -> FunctionSDE:
    """Brownian motion whose first coordinate's noise grows beyond a threshold, and is constant before it."""
    return FunctionSDE(None, lambda t, x: 1 + 0.5 * torch.relu(x - threshold) * torch.eye(size, dtype=F64)[0])


@pytest.mark.parametrize("begin", [0.01, 0.2, 0.43, 0.8, 0.97])
def test_a_short_while_is_met_by_the_pilot(begin):
    """State-dependent for one step in fifty, between two of the times that the pilot paths visit."""

    def g(t: Tensor, x: Tensor) -> Tensor:
        return torch.where((t > begin) & (t < begin + 0.02), 1 + x, torch.ones_like(x))

    assert noise_structure(FunctionSDE(None, g), torch.zeros(1, dtype=F64), TimeGrid(0.0, 1.0, 64)).kind == "scalar"


@pytest.mark.parametrize("threshold", [2.0, 3.0, 4.0])
@pytest.mark.filterwarnings("ignore:relu")
def test_a_rare_excursion_is_met_by_the_pilot(threshold):
    """Of 64 paths 48 have three times the noise. That all of them end before the threshold has a known probability:
    0.01 at four standard deviations, and a path that was there earlier makes it smaller."""
    seeds, missed = 50, norm.cdf(threshold / 3) ** 48
    for size in (1, 8):
        kinds = [
            noise_structure(beyond(threshold, size), torch.zeros(size, dtype=F64), GRID, seed=seed).kind
            for seed in range(seeds)
        ]
        assert kinds.count("additive") <= binom.isf(FALSE_FAILURE, seeds, missed)


def test_a_run_holds_the_structure():
    """One that was declared, and is too small; on a grid of 128 steps or more some step is held."""
    steps = 256
    grid = TimeGrid(0.0, 1.0, steps)
    for name, taken in (("diagonal", "additive"), ("declared diagonal", "diagonal"), ("general", "commutative")):
        sde, x0 = SYSTEMS[name], start(name)
        needed = KINDS.get(name, name)
        for seed in range(5):
            noise = torch.randn(steps, 7, 2, generator=torch.Generator().manual_seed(seed), dtype=F64) / steps**0.5
            times = []
            for _ in range(2):
                with refuses(
                    OtherStructure, f"took the noise to be {taken}", f'NoiseStructure.assume("{needed}", 2)'
                ) as e:
                    solve(sde, x0, grid, method=Milstein(NoiseStructure.assume(taken, 2)), noise=noise)
                times.append(e.value.time)
            assert times[0] == times[1]


@pytest.mark.filterwarnings("ignore:relu")
def test_a_run_looks_at_its_outermost_paths():
    """Five paths of 4096, or so, end beyond three standard deviations."""
    grid = TimeGrid(0.0, 1.0, 2048)
    noise = torch.randn(2048, 4096, 1, generator=torch.Generator().manual_seed(0), dtype=F64) * grid.dt**0.5
    with refuses(OtherStructure, "component 0 of diffusion vector 0"):
        solve(
            beyond(3.0),
            torch.zeros(1, dtype=F64),
            grid,
            method=Milstein(NoiseStructure.assume("additive", 1)),
            noise=noise,
        )


def test_how_often_a_run_is_held():
    """Once in each 128 steps; a shorter run with a probability of its length over 128; never if all is assumed."""
    additive = NoiseStructure.assume("additive", 2)
    first = torch.randn(400, 3, 2, generator=torch.Generator().manual_seed(0), dtype=F64)
    for steps, expected in ((1024, [i // 128 for i in range(0, 1024, 128)]), (128, [0])):
        for dB in first[:20]:
            assert sorted(i // 128 for i in HeldStructure(additive, TimeGrid(0.0, 1.0, steps), dB).steps) == expected
    looks = [len(HeldStructure(additive, TimeGrid(0.0, 1.0, 64), dB).steps) for dB in first]
    low, high = binom.interval(1 - FALSE_FAILURE, 400, 0.5)
    assert low <= sum(looks) <= high
    assert not HeldStructure(NoiseStructure.assume("general", 2), TimeGrid(0.0, 1.0, 1024), first[0]).steps


@pytest.mark.filterwarnings("ignore:gt is not")
def test_a_diffusion_that_is_not_defined_everywhere():
    """The pilot's wide paths leave the domain, where a coefficient may raise or have no numbers; the others go on."""

    def inside(t: Tensor, x: Tensor) -> Tensor:
        if bool((x * x > 16).any()):
            raise ValueError("outside")
        return 1 + torch.where(t > 0.5, x, torch.zeros_like(x))

    def nan(t: Tensor, x: Tensor) -> Tensor:
        return torch.where(x * x > 16, torch.nan, 1 + torch.where(t > 0.5, x, torch.zeros_like(x)))

    for g in (inside, nan):
        sde = FunctionSDE(None, lambda t, x, g=g: 0.8 * g(t, x))
        assert noise_structure(sde, torch.zeros(1, dtype=F64), TimeGrid(0.0, 1.0, 64)).kind == "scalar"


def test_noise_that_acts_on_nothing_that_it_depends_on():
    """Langevin: the velocity has the noise, its size depends on the position, and no correction is needed."""
    sde = FunctionSDE(
        lambda t, x: x.flip(-1) * torch.tensor([1.0, -1.0], dtype=F64),
        lambda t, x: torch.stack([0 * x[:, 0], 1 + x[:, 0] ** 2], -1).unsqueeze(-1),
        "scalar",
    )
    x0, grid = torch.tensor([0.5, 0.0], dtype=F64), TimeGrid(0.0, 1.0, 512)
    assert noise_structure(sde, x0, grid).kind == "additive"
    noise = torch.randn(512, 20, 1, generator=torch.Generator().manual_seed(0), dtype=F64) * grid.dt**0.5
    milstein, euler = (solve(sde, x0, grid, method=method, noise=noise) for method in ("milstein", "euler"))
    assert torch.equal(milstein, euler)


def test_a_step_with_additive_noise_costs_what_eulers_costs():
    calls = []
    sde = FunctionSDE(lambda t, x: calls.append("f") or -x, lambda t, x: calls.append("g") or torch.ones_like(x))
    x, t = torch.zeros(5, 2, dtype=F64), torch.tensor(0.0, dtype=F64)
    prepared = METHODS["milstein"].prepare(sde, x[0], GRID)
    for scheme in (prepared, METHODS["euler"]):
        calls.clear()
        scheme.step(sde, t, 0.1, x, torch.ones(5, 2, dtype=F64))
        assert sorted(calls) == ["f", "g"]


MUTATIONS = {
    "no scan": (structure, "SCANNED", 1, lambda: test_a_short_while_is_met_by_the_pilot(0.43)),
    "no screen": (structure, "_together", lambda *_: [], test_the_structure_is_found_where_paths_go),
    "no wide paths": (pilot, "WIDTH", 1.0, lambda: test_a_rare_excursion_is_met_by_the_pilot(3.0)),
    "not held": (HeldStructure, "hold", lambda *_: None, test_a_run_holds_the_structure),
    "any paths": (held_structure, "_outermost", lambda x, _: x[:16], test_a_run_looks_at_its_outermost_paths),
    "one time for all": (
        structure,
        "_together",
        lambda sde, t0, visits, grid: [(t0, torch.cat([visit.x for visit in visits]))],
        test_the_structure_is_found_where_paths_go,
    ),
    "wide paths are kept": (pilot, "FROM_INSIDE", (), test_a_diffusion_that_is_not_defined_everywhere),
}


@pytest.mark.parametrize("name", MUTATIONS)
@pytest.mark.filterwarnings("ignore:relu", "ignore:gt is not")
def test_what_finds_the_structure_can_fail(monkeypatch, name):
    owner, attribute, replacement, test = MUTATIONS[name]
    monkeypatch.setattr(owner, attribute, replacement)
    raised = ValueError if name == "wide paths are kept" else (AssertionError, pytest.fail.Exception)
    with pytest.raises(raised):
        test()


# -- scales


@pytest.mark.parametrize("small", [1.0, 1e-11, 1e-200])
def test_a_small_component_beside_a_large_one_is_solved_as_well_as_alone(small):
    gbm = FunctionSDE(lambda t, x: 0.1 * x, lambda t, x: 0.5 * x)
    x0 = torch.tensor([300.0, small], dtype=F64)
    grid, noise = TimeGrid(0.0, 1.0, 64), BrownianPath(3, 512, 2, 0.0, 1.0).at(6)
    exact = x0 * (0.1 - 0.125 + 0.5 * sum(noise)).exp()
    error = ((solve(gbm, x0, grid, method="milstein", noise=noise) - exact) / exact).square().mean(0).sqrt()
    assert error[1] < 1.5 * error[0] < 0.01


@pytest.mark.parametrize("dtype", [F64, torch.float32])
@pytest.mark.parametrize("large", [1.0, 1e3, 1e10])
def test_noises_of_small_components_that_do_not_commute_are_seen_beside_a_large_one(large, dtype):
    def g(t, x):
        nothing = 0 * x[:, 0]
        rows = ([0.1 * x[:, 0], nothing], [0.3 * x[:, 2], nothing], [nothing, 0.3 * x[:, 1]])
        return torch.stack([torch.stack(row, 1) for row in rows], 1)

    x0 = torch.tensor([large, 1e-3, 1e-3], dtype=dtype)
    found = noise_structure(FunctionSDE(g=g, noise_type="general"), x0, TimeGrid(0.0, 1.0, 16))
    assert found.kind == "general" and bool(found.pairs[0, 1])
