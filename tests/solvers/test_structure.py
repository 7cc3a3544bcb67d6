"""The structure of a noise: found where paths go, and a declared one against coefficients, whatever the draw."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from noise_structures import GRID, KINDS, SYSTEMS, beyond, derivatives, start
from scipy.stats import binom, norm
from support import F64, FALSE_FAILURE, refuses
from torch import Tensor

from sdewm.exact.strong_problems import STRONG_PROBLEMS
from sdewm.jets import JetSpace, Parameter
from sdewm.noise.grid import TimeGrid
from sdewm.solvers import structure
from sdewm.solvers.schemes.sri2 import PreparedSRI2
from sdewm.solvers.solve import solve
from sdewm.solvers.structure import NoiseStructure, departure, noise_structure
from sdewm.systems import pilot
from sdewm.systems.perturbed import PerturbedSDE
from sdewm.systems.sde import FunctionSDE

DRAWS = 60
NAMES = (
    "twisted coordinates, ito",
    "four noises, two areas, ito",
    "three noises, all areas, stratonovich",
    "spiral, ito",
    "change of coordinates, stratonovich",
    "grushin, diagonal, ito",
    "two curves, ito",
    "rotation, ito",
)


def of(name: str) -> tuple[NoiseStructure, object, torch.Tensor]:
    problem = STRONG_PROBLEMS[name]
    states = problem.x0 + 0.3 * torch.randn(6, len(problem.x0), generator=torch.Generator().manual_seed(1), dtype=F64)
    return noise_structure(problem.sde, problem.x0, TimeGrid(0.0, 1.0, 8)), problem.sde, states


def departures(structure: NoiseStructure, sde, states):
    t = torch.tensor(0.4, dtype=F64)
    return [departure(structure, sde, t, states, torch.Generator().manual_seed(seed)) for seed in range(DRAWS)]


@pytest.mark.parametrize("name", NAMES)
def test_the_measured_structure_passes_every_draw(name):
    assert departures(*of(name)) == [None] * DRAWS


@pytest.mark.parametrize("name", NAMES)
def test_a_vector_that_is_said_not_to_act_is_found(name):
    """Whichever one, at every draw: it is seen in any combination."""
    structure, sde, states = of(name)
    for k, other in structure.acts.nonzero().tolist():
        acts = structure.acts.clone()
        acts[k, other] = False
        wrong = replace(structure, acts=acts, kind="general")
        found = departures(wrong, sde, states)
        assert all(one is not None and one.commutes for one in found), (k, other)


@pytest.mark.parametrize("name", [name for name in NAMES if STRONG_PROBLEMS[name].commuting is False])
def test_a_pair_that_is_said_to_commute_is_found(name):
    """One vector is looked at in each draw, so that a draw may miss, and many do not."""
    structure, sde, states = of(name)
    pairs = structure.pairs.triu().nonzero().tolist()
    assert pairs
    for k, other in pairs:
        left = structure.pairs.clone()
        left[k, other] = left[other, k] = False
        found = [one for one in departures(replace(structure, pairs=left), sde, states) if one is not None]
        assert found and {one.column for one in found} <= {k, other} and not any(one.commutes for one in found)


@pytest.mark.parametrize("g", [torch.sqrt, lambda x: x * torch.log(x), lambda x: 1 + torch.sqrt(x)])
def test_derivatives_that_are_no_numbers_count_for_nothing(g):
    """At 0, where there is none: beside it all is as it was."""
    sde = FunctionSDE(lambda t, x: -x, lambda t, x: g(x))
    states = torch.tensor([[0.0, 0.5], [0.7, 0.2]], dtype=F64)
    assert departures(NoiseStructure.assume("diagonal", 2), sde, states) == [None] * DRAWS


@pytest.mark.parametrize("size", [1.0, 1e-8])
def test_a_small_noise_that_changes_with_time_is_looked_at_again(size):
    """Diagonal until half of the time, and with every vector acting on the other from then on."""

    def g(t, x):
        return size * torch.where(t < 0.5, x, x.flip(-1))

    found = noise_structure(FunctionSDE(lambda t, x: -x, g), torch.tensor([0.8, 0.5], dtype=F64), TimeGrid(0.0, 1.0, 8))
    assert bool(found.acts.all())


def test_a_vector_acts_on_another_that_does_not_act_on_it():
    """dx_0 = dB_0, dx_1 = x_0 dB_1: ∂g_1[g_0] ≠ 0 = ∂g_0[g_1], and Rößler's scheme moves the second vector only.

    One step is then exact, x_1 = ∫ B_0 dB_1, of which the area is a part.
    """

    def g(t, x):
        one, zero = torch.ones_like(x[:, 0]), torch.zeros_like(x[:, 0])
        return torch.stack([torch.stack([one, zero], 1), torch.stack([zero, x[:, 0]], 1)], 1)

    sde, start = FunctionSDE(None, g, "general"), torch.zeros(2, dtype=F64)
    structure = noise_structure(sde, start, TimeGrid(0.0, 1.0, 8))
    assert structure.acts.tolist() == [[False, True], [False, False]]
    scheme = PreparedSRI2(structure)
    assert scheme.moved == (1,)
    dB = torch.randn(5, 2, generator=torch.Generator().manual_seed(0), dtype=F64)
    levy = torch.randn(5, generator=torch.Generator().manual_seed(1), dtype=F64)
    area = torch.stack([torch.stack([0 * levy, levy], 1), torch.stack([-levy, 0 * levy], 1)], 1)
    end = scheme.step(sde, torch.tensor(0.0, dtype=F64), 1.0, start.expand(5, -1), dB, area)
    torch.testing.assert_close(end, torch.stack([dB[:, 0], 0.5 * dB[:, 0] * dB[:, 1] + levy], 1))


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


def test_the_structure_is_found_where_paths_go():
    """Diffusions that are flat near the start: one beyond a threshold that paths cross, one late in time."""
    grid, x0 = TimeGrid(0.0, 1.0, 64), torch.zeros(1, dtype=F64)
    beyond = FunctionSDE(lambda t, x: 4 + 0 * x, lambda t, x: 0.2 + 0.6 * torch.relu(x - 2.5))
    late = FunctionSDE(None, lambda t, x: torch.where(t > 0.9, x, torch.ones_like(x)))
    flat = FunctionSDE(lambda t, x: 4 + 0 * x, lambda t, x: 0.2 + 0 * x)
    kinds = [noise_structure(sde, x0, grid).kind for sde in (beyond, late, flat)]
    assert "additive" not in kinds[:2] and kinds[2] == "additive"


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


MUTATIONS = {
    "no scan": (structure, "SCANNED", 1, lambda: test_a_short_while_is_met_by_the_pilot(0.43)),
    "no screen": (structure, "_together", lambda *_: [], test_the_structure_is_found_where_paths_go),
    "no wide paths": (pilot, "WIDTH", 1.0, lambda: test_a_rare_excursion_is_met_by_the_pilot(3.0)),
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
