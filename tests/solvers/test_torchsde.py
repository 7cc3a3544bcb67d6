"""torchsde's methods as steppers: its own sdeint on the same increments, jets, areas, and orders."""

from __future__ import annotations

import sys

import pytest
import torch
import torchsde
from support import F64, normal_increments, refuses
from torchsde._core.methods import select

import sdewm
from sdewm.jets import Jet
from sdewm.noise.brownian import BrownianPath
from sdewm.noise.grid import TimeGrid
from sdewm.noise.stored_areas import StoredAreas
from sdewm.solvers.orders import convergence
from sdewm.solvers.registry import METHODS
from sdewm.solvers.solve import solve
from sdewm.systems.calculus import to_stratonovich
from sdewm.systems.sde import FunctionSDE

GRID = TimeGrid(0.25, 1.25, 16)
PATH = BrownianPath(3, 5, 2, GRID.t0, GRID.t1)
NOISE = PATH.at(4, finest=4)
X0 = torch.tensor([0.5, -1.0], dtype=F64)
OURS = {name: stepper for name, stepper in METHODS.items() if name.startswith("torchsde:")}


def drift(t, x):
    return torch.cos(t) - x.flip(-1)


def diffusion(noise_type: str):
    if noise_type == "diagonal":
        return lambda t, x: 0.6 + 0.3 * torch.cos(x + t)
    if noise_type == "additive":
        return lambda t, x: torch.stack([torch.ones_like(x), 0.3 * torch.ones_like(x)], -1) * (1 + t)
    if noise_type == "scalar":
        return lambda t, x: (0.6 + 0.3 * torch.cos(x.flip(-1) + t)).unsqueeze(-1)
    return lambda t, x: torch.stack([0.6 + 0.3 * torch.cos(x.flip(-1) + t), 0.2 * torch.sin(x)], -1)


def system(noise_type: str, sde_type: str) -> FunctionSDE:
    return FunctionSDE(drift, diffusion(noise_type), noise_type, sde_type)


def noise_for(noise_type: str):
    return BrownianPath(3, 5, 1 if noise_type == "scalar" else 2, GRID.t0, GRID.t1).at(4, finest=4)


class Given:
    """What torchsde asks of a Brownian motion, from a table of steps, as torchsde's own ``sdeint`` calls it."""

    def __init__(self, noise, of_time: bool) -> None:
        self.dB = torch.stack(list(noise))
        kind = noise.time_areas if of_time else noise.areas
        self.area = torch.stack([area for _, area in kind()])
        self.levy_area_approximation = "space-time" if of_time else "foster"
        self.shape, self.dtype, self.device = self.dB.shape[1:], F64, self.dB.device

    def __call__(self, ta, tb, return_U=False, return_A=False):
        i = round((float(ta) - GRID.t0) / GRID.dt)
        assert abs(float(tb) - GRID.time(i + 1)) < 1e-12
        return (self.dB[i], self.area[i]) if return_U or return_A else self.dB[i]


CASES = [
    (name, sde_type, noise_type)
    for name, stepper in OURS.items()
    for sde_type in stepper.sde_types
    for noise_type in stepper.noise_types
]


def test_every_method_of_torchsde_is_there_with_what_it_declares():
    there = {f"torchsde:{name}" for name in torchsde.settings.METHODS.all()} - {"torchsde:adjoint_reversible_heun"}
    assert set(OURS) == there
    for name, stepper in OURS.items():
        for sde_type in stepper.sde_types:
            scheme = select(stepper.method, sde_type)
            assert scheme.sde_type == sde_type and set(scheme.noise_types) == set(stepper.noise_types), name
            bm = torchsde.BrownianInterval(0.0, 1.0, (1, 1), levy_area_approximation="foster")
            least = min(
                scheme(
                    sde=FunctionSDE(None, None, noise_type, sde_type),
                    bm=bm,
                    dt=0.1,
                    adaptive=False,
                    rtol=0,
                    atol=0,
                    dt_min=0,
                    options={},
                ).strong_order
                for noise_type in scheme.noise_types
            )
            assert (least, scheme.weak_order) == (stepper.strong_order, stepper.weak_order), name


@pytest.mark.parametrize("name, sde_type, noise_type", CASES)
def test_numbers_are_those_of_sdeint(name, sde_type, noise_type):
    sde, noise = system(noise_type, sde_type), noise_for(noise_type)
    found = solve(sde, X0, GRID, method=name, noise=noise, save="path").detach()
    given = Given(noise, of_time=name == "torchsde:srk")
    times = torch.tensor([GRID.time(i) for i in range(GRID.steps + 1)], dtype=F64)
    start = X0.expand(5, -1)
    expected = torchsde.sdeint(sde, start, times, bm=given, dt=GRID.dt, method=name.removeprefix("torchsde:"))
    torch.testing.assert_close(found, expected.detach(), rtol=0, atol=1e-13)


@pytest.mark.parametrize(
    "name, own, noise_type, sde_type",
    [
        ("torchsde:euler", "euler", "general", "ito"),
        ("torchsde:milstein", "milstein", "diagonal", "ito"),
        ("torchsde:milstein", "milstein", "diagonal", "stratonovich"),
        ("torchsde:heun", "heun", "general", "stratonovich"),
    ],
)
def test_what_means_the_same_formula_is_the_same(name, own, noise_type, sde_type):
    sde, noise = system(noise_type, sde_type), noise_for(noise_type)
    found = solve(sde, X0, GRID, method=name, noise=noise).detach()
    torch.testing.assert_close(found, solve(sde, X0, GRID, method=own, noise=noise), rtol=0, atol=1e-12)


def test_its_milstein_scheme_is_another_one_for_scalar_noise():
    """It multiplies by the transpose of the Jacobian."""
    sde, noise = system("scalar", "ito"), noise_for("scalar")
    found = solve(sde, X0, GRID, method="torchsde:milstein", noise=noise).detach()
    assert float((found - solve(sde, X0, GRID, method="milstein", noise=noise)).abs().max()) > 1e-3


# -- jets


@pytest.mark.parametrize("name, sde_type, noise_type", [case for case in CASES if OURS[case[0]].carries_jets])
def test_jets_are_carried(name, sde_type, noise_type):
    """Φ by jets is Φ by reverse differentiation of the same solve."""
    sde, noise = system(noise_type, sde_type), noise_for(noise_type)
    found = sdewm.fundamental_matrix(sde, X0, GRID, method=name, noise=noise)
    expected = torch.autograd.functional.jacobian(lambda x: solve(sde, x, GRID, method=name, noise=noise), X0)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", [name for name, stepper in OURS.items() if not stepper.carries_jets])
def test_jets_are_refused_by_name(name):
    sde_type = OURS[name].sde_types[-1]
    with refuses(ValueError, f"method: '{name}' does not carry jets", "Use one of", "'heun', 'milstein'"):
        sdewm.fundamental_matrix(system("diagonal", sde_type), X0, GRID, method=name, noise=NOISE)


def test_an_expansion_goes_through_its_steps():
    family = sdewm.PerturbedSDE(system("diagonal", "ito"), system("diagonal", "ito"))
    found = [
        sdewm.expand(family, lambda x: (x**2).sum(-1), X0, GRID, method=method, paths=64)
        for method in ("euler", "torchsde:euler")
    ]
    assert found[0].second.mean == pytest.approx(found[1].second.mean, rel=1e-12)


# -- refusals


def test_noise_that_a_method_is_not_for_is_refused():
    for name in ("torchsde:milstein", "torchsde:srk"):
        with refuses(ValueError, f"method: '{name}' is for noise of type", "'diagonal'", "got an SDE", "'general'"):
            solve(system("general", "ito"), X0, GRID, method=name, noise=NOISE)


def test_noise_without_the_areas_that_a_method_takes_is_refused():
    increments = normal_increments(GRID, 5, 2)
    with refuses(ValueError, "noise: 'torchsde:srk' needs integrals", "StoredIncrements", "BrownianPath"):
        solve(system("diagonal", "ito"), X0, GRID, method="torchsde:srk", noise=increments)
    with refuses(ValueError, "noise: 'torchsde:log_ode' needs Lévy areas", "StoredIncrements"):
        solve(system("general", "stratonovich"), X0, GRID, method="torchsde:log_ode", noise=increments)
    plain = solve(system("diagonal", "stratonovich"), X0, GRID, method="torchsde:log_ode", noise=increments)
    assert torch.isfinite(plain).all()  # areas are multiplied by zero there


def test_without_torchsde_there_is_one_clear_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchsde", None)
    with pytest.raises(ImportError) as caught:
        solve(system("diagonal", "ito"), X0, GRID, method="torchsde:srk", noise=NOISE)
    assert str(caught.value) == (
        "method: 'torchsde:srk' needs torchsde, which is not installed: pip install 'sdewm[torchsde]'"
    )


# -- what reversible Heun hands on


def test_a_walk_starts_afresh_each_time():
    sde = system("general", "stratonovich")
    prepared = METHODS["torchsde:reversible_heun"].prepare(sde, X0, GRID)
    one, other = (solve(sde, X0, GRID, method=prepared, noise=NOISE) for _ in range(2))
    assert torch.equal(one, other)
    # Steps that hand nothing on make another scheme, explicit Heun's first step again and again.
    torch.testing.assert_close(
        solve(sde, X0, GRID, method=Forgetful(), noise=NOISE),
        solve(sde, X0, GRID, method="heun", noise=NOISE),
        rtol=0,
        atol=1e-12,
    )
    assert float((one - solve(sde, X0, GRID, method="heun", noise=NOISE)).abs().max()) > 1e-4


class Forgetful(type(METHODS["torchsde:reversible_heun"])):
    def __init__(self) -> None:
        super().__init__("reversible_heun", "", 0.5, 1.0, ("stratonovich",))

    def prepare(self, sde, x0, grid):
        return self

    def step(self, *arguments):
        return super().prepare(arguments[0], X0, GRID).step(*arguments)


# -- integrals over time


def test_integrals_over_time_have_their_moments():
    """∫(B(s) − B(t)) ds over a step: given ΔB of mean ½hΔB and variance h³/12; over two steps joined as they should."""
    path = BrownianPath(0, 40_000, 1, 0.0, 2.0)
    (coarse,) = path.at(0, finest=2).time_areas()
    fine = list(path.at(2, finest=2).time_areas())
    h, B, total = 0.5, torch.zeros_like(coarse[0]), torch.zeros_like(coarse[0])
    for dB, area in fine:
        total += area + h * B
        B += dB
    torch.testing.assert_close(coarse[1], total, rtol=0, atol=1e-13)
    torch.testing.assert_close(coarse[0], B, rtol=0, atol=1e-13)
    for dB, area, step in ((*coarse, 2.0), (*fine[1], 0.5)):
        rest = (area - 0.5 * step * dB).flatten()
        variance = step**3 / 12
        assert abs(float(rest.mean())) < 4 * (variance / 40_000) ** 0.5
        assert abs(float(rest.var()) / variance - 1) < 4 * (2 / 40_000) ** 0.5
        assert abs(float((rest * dB.flatten()).mean())) < 4 * (variance * step / 40_000) ** 0.5


def test_stored_integrals_are_coarsened():
    path = BrownianPath(0, 4, 2, 0.0, 2.0)
    steps = list(path.at(3, finest=3).time_areas())
    dB, area = (torch.stack(column) for column in zip(*steps, strict=True))
    stored = StoredAreas(dB, torch.zeros(8, 4, 2, 2, dtype=F64), area, dt=0.25).coarsen(2).coarsen(2)
    for (dB, area), (dB_, area_) in zip(stored.time_areas(), path.at(1, finest=3).time_areas(), strict=True):
        torch.testing.assert_close(dB, dB_, rtol=0, atol=1e-14)
        torch.testing.assert_close(area, area_, rtol=0, atol=1e-14)
    with refuses(ValueError, "integrals, dt", "(8, 4, 2)", "None"):
        StoredAreas(stored.values.repeat(4, 1, 1), torch.zeros(8, 4, 2, 2, dtype=F64), torch.zeros(8, 4, 2), dt=None)
    with refuses(ValueError, "integrals", "got None"):
        StoredAreas(dB[None], torch.zeros(1, 4, 2, 2, dtype=F64)).time_areas()


# -- orders


def exact_gbm(B):
    return torch.exp((0.1 - 0.125) + 0.5 * B)


GBM = FunctionSDE(lambda t, x: 0.1 * x, lambda t, x: 0.5 * x)
LEVELS = (3, 4, 5, 6, 7)


@pytest.mark.parametrize("name, order", [("euler", 0.5), ("milstein", 1.0), ("srk", 1.5)])
def test_strong_orders_on_geometric_brownian_motion(name, order):
    one = torch.ones(1, dtype=F64)
    found = convergence(GBM, one, (0.0, 1.0), method=f"torchsde:{name}", reference=exact_gbm, levels=LEVELS, paths=2048)
    assert found.declared == order
    assert found.contains(order) and not found.contains(order - 0.5) and not found.contains(order + 0.5), str(found)


@pytest.mark.parametrize("name", ["heun", "midpoint", "euler_heun", "reversible_heun", "log_ode", "milstein"])
def test_strong_orders_in_stratonovich_form(name):
    """Order 1, as the noise commutes; ½ or 1 is declared."""
    one = torch.ones(1, dtype=F64)
    found = convergence(
        to_stratonovich(GBM),
        one,
        (0.0, 1.0),
        method=f"torchsde:{name}",
        reference=exact_gbm,
        levels=(5, 6, 7, 8),
        paths=1024,
    )
    assert found.contains(1.0) and not found.contains(0.5) and not found.contains(1.5), str(found)


def test_its_milstein_scheme_has_less_than_its_order_for_scalar_noise():
    """Held against our Milstein scheme, whose limit is the right one."""
    options = {"levels": (4, 5, 6, 7, 8), "refine": 1, "paths": 4096}
    theirs = convergence(system("scalar", "ito"), X0, (0.0, 1.0), method="torchsde:milstein", **options)
    ours = convergence(system("scalar", "ito"), X0, (0.0, 1.0), method="milstein", **options)
    assert theirs.interval()[1] < 0.9, str(theirs)
    assert ours.contains(1.0) and not ours.contains(0.9), str(ours)


def test_areas_reach_the_log_ode():
    """On noise that does not commute it has order 1, and ½ without areas: then it is the midpoint rule."""
    sde = FunctionSDE(
        None, lambda t, x: torch.diag_embed(0.8 * torch.sqrt(1 + x.flip(-1) ** 2)), "general", "stratonovich"
    )
    found = {
        name: convergence(sde, X0, (0.0, 1.0), method=f"torchsde:{name}", levels=(4, 5, 6, 7), paths=1024)
        for name in ("log_ode", "midpoint")
    }
    assert found["midpoint"].contains(0.5) and not found["midpoint"].contains(1.0), str(found["midpoint"])
    assert found["log_ode"].contains(1.0) and not found["log_ode"].contains(0.5), str(found["log_ode"])


def test_jets_are_jets():
    x = Jet(torch.stack([X0.expand(5, -1), torch.ones(5, 2, dtype=F64)]), sdewm.jets.JetSpace(1, 1))
    assert isinstance(solve(system("diagonal", "ito"), x, GRID, method="torchsde:srk", noise=NOISE), Jet)
