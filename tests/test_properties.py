"""What holds for every smooth system, loss and grid: exact identities on random ones, and mutations that break each.

Each property is an exact identity, so that no example can fail by chance. A few examples run by default; ``-m slow``
runs many.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import hypothesis
import numpy as np
import pytest
import torch
from hypothesis import strategies as st
from support import F64, judge_all
from torch import Tensor

from sdewm import (
    AntitheticMonteCarlo,
    FunctionSDE,
    MonteCarlo,
    PerturbedSDE,
    QuasiMonteCarlo,
    TimeGrid,
    expand,
    fundamental_matrix,
    solve,
)
from sdewm.estimate.estimates import Estimate
from sdewm.expansion import pathwise_derivatives
from sdewm.jets import Jet, JetSpace, Parameter
from sdewm.solvers.schemes.euler import EulerMaruyama
from sdewm.systems import perturbed, sde
from sdewm.testing import Case, cases, increments
from sdewm.verdicts.judge import Comparison, Inequality, Verdict
from sdewm.verdicts.record import as_record, write_json

PATHS = 4
PROPERTIES: dict[str, tuple[Callable[..., None], tuple[st.SearchStrategy, ...]]] = {}
SCALES = st.sampled_from([-2.0, -0.7, 0.3, 1.7])
SEEDS = st.integers(0, 1000)


def for_all(*strategies: st.SearchStrategy) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A property of what the strategies draw."""

    def enter(claim: Callable[..., None]) -> Callable[..., None]:
        PROPERTIES[claim.__name__] = claim, strategies
        return claim

    return enter


def hold(name: str, examples: int, *, shrink: bool = True) -> None:
    """Raise if an example of the property is false."""
    claim, strategies = PROPERTIES[name]
    quick = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
    checked = hypothesis.given(*strategies)(claim)
    hypothesis.settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        phases=(*quick, hypothesis.Phase.shrink) if shrink else quick,
        suppress_health_check=list(hypothesis.HealthCheck),
    )(checked)()


def same(found: Tensor, expected: Tensor, scale: float = 1.0) -> None:
    """To rounding, which a few steps and products amplify."""
    size = scale + float(expected.abs().max()) if expected.numel() else scale
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-10 * size)


def taylor(case: Case, dB: Tensor | None = None, order: int = 2, method: str = "euler") -> tuple[Tensor, Tensor]:
    """Coefficients in ε of the final state ``(order + 1, paths, n)`` and of its loss ``(order + 1, paths)``."""
    space = JetSpace(1, order)
    dB = increments(case, PATHS) if dB is None else dB
    x = solve(case.family.at(Parameter(space, 0)), case.x0, case.grid, method=method, noise=dB)
    return _all(x, order), _all(case.loss(x), order)


def _all(x: Tensor, order: int) -> Tensor:
    if isinstance(x, Jet):
        return x.coefficients
    return torch.cat([x[None], torch.zeros(order, *x.shape, dtype=x.dtype)])


def general(f, g) -> FunctionSDE:
    return FunctionSDE(f, g, "general")


def combined(*parts: tuple[float, object]) -> FunctionSDE:
    """Σ c (f, g), as a system with a matrix for its diffusion."""
    return general(
        lambda t, x: sum(c * s.f(t, x) for c, s in parts),
        lambda t, x: sum(c * sde.diffusion_matrix(s, t, x) for c, s in parts),
    )


def with_error(case: Case, error) -> Case:
    return case._replace(family=PerturbedSDE(case.family.base, error))


def parts(case: Case) -> tuple[Case, Case]:
    """The same with the error's drift alone, and with its diffusion alone."""
    error = case.family.error
    still = FunctionSDE(error.f, lambda t, x: torch.zeros_like(error.g(t, x)), error.noise_type)
    return with_error(case, still), with_error(case, FunctionSDE(None, error.g, error.noise_type))


# -- the expansion in the error


def another(case: Case) -> FunctionSDE:
    """An error that fits the case and has little to do with its own."""
    error = case.family.error
    return general(lambda t, x: torch.cos(error.f(t, x)), lambda t, x: sde.diffusion_matrix(error, 2 * t, 0.5 * x))


@for_all(cases(), SCALES)
def first_order_is_linear_in_the_error(case, c):
    """y of c η + ζ is c y(η) + y(ζ)."""
    error, second = case.family.error, another(case)
    y, z = (taylor(with_error(case, e))[0][1] for e in (error, second))
    same(taylor(with_error(case, combined((c, error), (1.0, second))))[0][1], c * y + z)


@for_all(cases(), SCALES)
def second_order_is_quadratic_in_the_error(case, c):
    """w(c η) = c² w(η), and the parallelogram's law, which sees cross terms."""
    error, second = case.family.error, another(case)

    def w(*of: tuple[float, object]) -> Tensor:
        return taylor(with_error(case, combined(*of)))[0][2]

    same(w((c, error)), c * c * w((1.0, error)))
    same(
        w((1.0, error), (1.0, second)) + w((1.0, error), (-1.0, second)),
        2 * w((1.0, error)) + 2 * w((1.0, second)),
    )


@for_all(cases(), st.integers(0, 3))
def drift_and_diffusion_parts_add(case, seed):
    """First = P~ of the drift error + P of the diffusion error; at second order what is left over is the cross term."""
    drift, diffusion = (expand(*part, paths=16, sampler="mc", seed=seed) for part in parts(case))
    whole = expand(*case, paths=16, sampler="mc", seed=seed)
    assert drift.terms["P"].mean == 0 and diffusion.terms["P~"].mean == 0
    size = 1 + abs(whole.second.mean) + abs(whole.terms["Q"].mean) + abs(whole.terms["S"].mean)
    for found, expected in (
        (whole.first.mean, drift.first.mean + diffusion.first.mean),
        (whole.terms["P"].mean, diffusion.first.mean),
        (whole.terms["P~"].mean, drift.first.mean),
        (0.5 * (whole.terms["Q"].mean + whole.terms["S"].mean), diffusion.second.mean),
        (whole.terms["Q~"].mean + whole.terms["S~"].mean, whole.second.mean - diffusion.second.mean),
    ):
        assert found == pytest.approx(expected, rel=1e-9, abs=1e-10 * size)


@for_all(cases())
def without_an_error_nothing_changes(case):
    none = combined((0.0, case.family.error))
    x, loss = taylor(with_error(case, none))
    assert not x[1:].any() and not loss[1:].any()
    same(x[0], taylor(case)[0][0])


@for_all(cases(), SCALES)
def constant_and_linear_losses_have_no_curvature(case, c):
    """A constant has no coefficients, a linear loss those of the state, and S = S~ = 0."""
    direction = torch.linspace(-1, c, len(case.x0), dtype=F64)
    flat = case._replace(loss=lambda x: 0 * x.sum(-1) + c)
    assert not taylor(flat)[1][1:].any()
    linear = case._replace(loss=lambda x: (direction * x).sum(-1) + c)
    x, loss = taylor(linear)
    same(loss[1:], (direction * x[1:]).sum(-1))
    found = expand(*linear, paths=16, sampler="mc")
    assert found.terms["S"].mean == found.terms["S~"].mean == 0


@for_all(cases())
def at_zero_is_the_base(case):
    """Coefficient by coefficient, in every combination of noise types; and the expansion's start is the base's loss."""
    zero, base = case.family.at(0.0), case.family.base
    x = case.x0 + torch.linspace(0, 1, PATHS, dtype=F64)[:, None]
    t = torch.tensor(case.grid.t0, dtype=F64)
    same(zero.f(t, x), base.f(t, x))
    same(sde.diffusion_matrix(zero, t, x), sde.diffusion_matrix(base, t, x))
    dB = increments(case, PATHS)
    same(sde.diffusion_product(zero, t, x, dB[0]), sde.diffusion_product(base, t, x, dB[0]))
    end = solve(base, case.x0, case.grid, noise=dB)
    same(solve(zero, case.x0, case.grid, noise=dB), end)
    same(taylor(case, dB)[0][0], end)


@for_all(cases())
def the_expansion_is_the_derivative(case):
    """c_1 and c_2 against a fit through solutions at Chebyshev points of ε: a route without derivatives."""
    dB, points = increments(case, PATHS), 0.1 * np.cos(np.pi * (np.arange(17) + 0.5) / 17)
    ends = torch.stack([solve(case.family.at(float(e)), case.x0, case.grid, noise=dB) for e in points])
    fit = np.linalg.lstsq(np.vander(points / 0.1, increasing=True), ends.flatten(1).numpy(), rcond=None)[0]
    x, _ = taylor(case, dB)
    size = 1 + float(x.abs().max())
    for k, tolerance in ((0, 1e-10), (1, 1e-8), (2, 1e-6)):
        found = torch.from_numpy(fit[k] / 0.1**k).view_as(x[k])
        torch.testing.assert_close(found, x[k], rtol=tolerance, atol=tolerance * size)


# -- invariance


def changed(system, forward: Callable[[Tensor], Tensor], back: Callable[[Tensor], Tensor]) -> FunctionSDE:
    """The system in the coordinates z = forward(x), a linear map."""
    return general(
        lambda t, z: forward(system.f(t, back(z))),
        lambda t, z: forward(sde.diffusion_matrix(system, t, back(z)).mT).mT,
    )


def in_coordinates(case: Case, forward, back) -> Case:
    family = PerturbedSDE(changed(case.family.base, forward, back), changed(case.family.error, forward, back))
    return Case(family, lambda z: case.loss(back(z)), forward(case.x0[None])[0], case.grid)


@for_all(cases(), SEEDS)
def orthogonal_coordinates_change_nothing(case, seed):
    generator = torch.Generator().manual_seed(seed)
    q, _ = torch.linalg.qr(torch.randn(len(case.x0), len(case.x0), generator=generator, dtype=F64))
    x, loss = taylor(case)
    z, turned = taylor(in_coordinates(case, lambda x: x @ q.mT, lambda z: z @ q), increments(case, PATHS))
    same(z, x @ q.mT)
    same(turned, loss)


@for_all(cases(), SCALES)
def units_of_the_state_change_nothing(case, c):
    x, loss = taylor(case)
    z, scaled = taylor(in_coordinates(case, lambda x: c * x, lambda z: z / c), increments(case, PATHS))
    same(z, c * x)
    same(scaled, loss)


@for_all(cases(), SEEDS)
def the_noises_have_no_order(case, seed):
    dB = increments(case, PATHS)
    order = torch.randperm(dB.shape[-1], generator=torch.Generator().manual_seed(seed))

    def relabelled(system) -> FunctionSDE:
        return general(system.f, lambda t, x: sde.diffusion_matrix(system, t, x)[..., order])

    family = PerturbedSDE(relabelled(case.family.base), relabelled(case.family.error))
    for found, expected in zip(taylor(case._replace(family=family), dB[..., order]), taylor(case, dB), strict=True):
        same(found, expected)


@for_all(cases(), st.sampled_from([-3.0, 0.5, 8.0]))
def the_clock_has_no_zero(case, shift):
    dB, grid = increments(case, PATHS), case.grid

    def later(system) -> FunctionSDE:
        return FunctionSDE(lambda t, x: system.f(t - shift, x), lambda t, x: system.g(t - shift, x), system.noise_type)

    moved = Case(
        PerturbedSDE(later(case.family.base), later(case.family.error)),
        case.loss,
        case.x0,
        TimeGrid(grid.t0 + shift, grid.t1 + shift, grid.steps),
    )
    for found, expected in zip(taylor(moved, dB), taylor(case, dB), strict=True):
        same(found, expected)


@for_all(cases(), st.sampled_from([0.25, 2.0, 9.0]))
def units_of_time_change_nothing(case, c):
    """Time times c: drifts by 1/c, diffusions by 1/√c, and Brownian motion by √c."""
    dB, grid = increments(case, PATHS), case.grid

    def slower(system) -> FunctionSDE:
        return FunctionSDE(
            lambda t, x: system.f(t / c, x) / c, lambda t, x: system.g(t / c, x) / math.sqrt(c), system.noise_type
        )

    slow = Case(
        PerturbedSDE(slower(case.family.base), slower(case.family.error)),
        case.loss,
        case.x0,
        TimeGrid(c * grid.t0, c * grid.t1, grid.steps),
    )
    for found, expected in zip(taylor(slow, math.sqrt(c) * dB), taylor(case, dB), strict=True):
        same(found, expected)


# -- flows


@for_all(cases(steps=(2, 3, 4)), SEEDS)
def flows_compose(case, seed):
    """To the end is to a time between and on from there: for states, ε-coefficients, and products of Φ."""
    dB, grid = increments(case, PATHS, seed), case.grid
    cut = 1 + seed % (grid.steps - 1)
    first = TimeGrid(grid.t0, grid.time(cut), cut)
    second = TimeGrid(grid.time(cut), grid.t1, grid.steps - cut)
    family = case.family.at(Parameter(JetSpace(1, 2), 0))
    between = solve(family, case.x0, first, noise=dB[:cut])
    same(_all(solve(family, between, second, noise=dB[cut:]), 2), taylor(case, dB)[0])
    base = case.family.base
    middle = solve(base, case.x0, first, noise=dB[:cut])
    whole = fundamental_matrix(base, case.x0, grid, noise=dB)
    steps = [
        fundamental_matrix(base, case.x0, first, noise=dB[:cut]),
        fundamental_matrix(base, middle, second, noise=dB[cut:]),
    ]
    same(steps[1] @ steps[0], whole)


# -- how the work is cut


@for_all(cases(), SEEDS, st.sampled_from(["mc", "antithetic", "rqmc"]))
def blocks_and_workers_change_nothing(case, seed, name):
    sampler = {"mc": MonteCarlo, "antithetic": AntitheticMonteCarlo, "rqmc": QuasiMonteCarlo}[name]
    whole = expand(*case, sampler=sampler(64, seed))
    for block in (2, 24):  # parts of a replicate, or several together
        cut = expand(*case, sampler=sampler(64, seed, block=block))
        for name, value in whole.sample.values.items():
            np.testing.assert_allclose(cut.sample[name], value, rtol=1e-10, atol=1e-12)
    with ThreadPoolExecutor(2) as workers:
        spread = expand(*case, sampler=sampler(64, seed, block=16), executor=workers)
    alone = expand(*case, sampler=sampler(64, seed, block=16))
    assert all(np.array_equal(spread.sample[n], v) for n, v in alone.sample.values.items())


# -- records


numbers = st.floats(-1e6, 1e6)
sizes = st.floats(1e-9, 1e6) | st.just(math.inf)


@st.composite
def claims(draw) -> Comparison | Inequality:
    statistic = Estimate(
        draw(numbers), draw(st.floats(0, 10)), draw(st.integers(16, 10**6)), draw(st.integers(1, 500)), draw(SEEDS)
    )
    named = {name: draw(st.text(max_size=8)) for name in ("claim", "system", "quantity", "reading")}
    named |= {"form": draw(st.sampled_from(["printed", "corrected"])), "config": {"ε": draw(st.floats(0, 1))}}
    named |= {"statistic": statistic, "numerical": draw(st.floats(0, 1)), "scale": draw(st.floats(0, 1e6))}
    if draw(st.booleans()):
        return Comparison(**named, expected=draw(numbers), margin=draw(sizes))
    return Inequality(**named, bound=draw(numbers), vacuous=draw(st.booleans()))


@pytest.fixture(scope="module", autouse=True)
def folder(tmp_path_factory):
    records_survive_json.folder = tmp_path_factory.mktemp("json")


@for_all(st.lists(claims(), min_size=1, max_size=4))
def records_survive_json(claimed):
    """Every verdict of a run is read back as it was."""
    found = judge_all(claimed)
    path = records_survive_json.folder / "report.json"
    write_json(path, as_record(found, left_out=[], terms=[], curves=[], run={"seed": 1}))
    records = json.loads(path.read_text(encoding="utf-8"))["records"]
    fields = [f.name for f in dataclasses.fields(Verdict)]
    assert [Verdict(**{name: record[name] for name in fields}) for record in records] == found


# -- running them


@pytest.mark.parametrize("name", PROPERTIES)
def test_property(name):
    hold(name, examples=15)


@pytest.mark.slow
@pytest.mark.parametrize("name", PROPERTIES)
def test_property_on_many_examples(name):
    hold(name, examples=400)


# -- each property can fail: what is broken, and which properties see it


def a_magnitude_that_is_squared_too(patch):
    """ε + ε² for ε: the second order has a linear part."""
    at = PerturbedSDE.at
    patch.setattr(PerturbedSDE, "at", lambda self, eps, drift=None: at(self, _bent(eps), drift and _bent(drift)))


def _bent(eps):
    return eps * (1 + eps) if isinstance(eps, float) else _Bent(eps)


class _Bent(Parameter):
    """A parameter that stands for ε + ε²."""

    def __init__(self, of: Parameter) -> None:
        super().__init__(of.space, of.index)

    def __mul__(self, value):
        once = super().__mul__(value)
        return once + Parameter.__mul__(self, once)


def an_error_that_is_squared(patch):
    scaled = perturbed._scaled
    patch.setattr(perturbed, "_scaled", lambda eps, g, x: scaled(eps, lambda y: g(y) + 0.1 * g(y) ** 2, x))


def errors_that_are_swapped(patch):
    at = PerturbedSDE.at
    patch.setattr(PerturbedSDE, "at", lambda self, eps, drift=None: at(self, eps if drift is None else drift, eps))


def an_error_that_does_not_see_the_state(patch):
    patch.setattr(Parameter, "lower", lambda self, x: x.value if isinstance(x, Jet) else x)


def an_error_of_its_own(patch):
    """Something that ε moves even without an error, and even at ε = 0."""
    scaled = perturbed._scaled
    patch.setattr(perturbed, "_scaled", lambda eps, g, x: scaled(eps, lambda y: g(y) + 0.1, x) + 1e-6)


def an_expansion_with_a_curvature_of_its_own(patch):
    """What is without first order keeps a little of it."""
    without = pathwise_derivatives._without_first_order
    patch.setattr(pathwise_derivatives, "_without_first_order", lambda x: without(x) + 1e-3 * x)


def step(change: Callable[..., Tensor]) -> Callable[[pytest.MonkeyPatch], None]:
    """Euler's step replaced."""

    def mutate(patch):
        patch.setattr(EulerMaruyama, "step", lambda self, system, t, dt, x, dB, area=None: change(system, t, dt, x, dB))

    return mutate


def euler(system, t, dt, x, dB) -> Tensor:
    return x + system.f(t, x) * dt + sde.diffusion_product(system, t, x, dB)


a_first_coordinate_that_is_preferred = step(
    lambda system, t, dt, x, dB: euler(system, t, dt, x, dB) + 0.1 * dt * torch.cat([x[..., :1], 0 * x[..., 1:]], -1)
)
a_first_noise_that_is_preferred = step(
    lambda system, t, dt, x, dB: euler(system, t, dt, x, torch.cat([1.1 * dB[..., :1], dB[..., 1:]], -1))
)
a_rounded_state = step(lambda system, t, dt, x, dB: euler(system, t, dt, x, dB) + 1e-3 * torch.sin(x))
a_clock_of_its_own = step(lambda system, t, dt, x, dB: euler(system, t, dt, x, dB) + 1e-3 * t)
a_step_that_is_not_linear_in_time = step(lambda system, t, dt, x, dB: euler(system, t, dt**1.1, x, dB))


def a_first_step_that_is_longer(patch):
    time = TimeGrid.time
    patch.setattr(TimeGrid, "time", lambda self, i: time(self, i) + (0.1 * self.dt if i == 1 else 0.0))


def streams_that_depend_on_the_block(patch):
    draw = MonteCarlo.draw
    patch.setattr(
        MonteCarlo, "draw", lambda self, replicates, *rest: draw(self, [r + len(replicates) for r in replicates], *rest)
    )


def a_record_that_is_rounded(patch):
    as_dict = Verdict.as_dict
    patch.setattr(Verdict, "as_dict", lambda self: as_dict(self) | {"statistic": round(self.statistic, 3)})


def a_record_that_loses_a_relation(patch):
    as_dict = Verdict.as_dict
    patch.setattr(Verdict, "as_dict", lambda self: as_dict(self) | {"relation": "="})


MUTATIONS = [
    (an_error_that_is_squared, "first_order_is_linear_in_the_error"),
    (a_magnitude_that_is_squared_too, "second_order_is_quadratic_in_the_error"),
    (an_error_that_is_squared, "second_order_is_quadratic_in_the_error"),
    (errors_that_are_swapped, "drift_and_diffusion_parts_add"),
    (an_error_of_its_own, "without_an_error_nothing_changes"),
    (an_error_of_its_own, "at_zero_is_the_base"),
    (an_error_that_does_not_see_the_state, "the_expansion_is_the_derivative"),
    (an_expansion_with_a_curvature_of_its_own, "constant_and_linear_losses_have_no_curvature"),
    (a_first_coordinate_that_is_preferred, "orthogonal_coordinates_change_nothing"),
    (a_rounded_state, "units_of_the_state_change_nothing"),
    (a_first_noise_that_is_preferred, "the_noises_have_no_order"),
    (a_clock_of_its_own, "the_clock_has_no_zero"),
    (a_step_that_is_not_linear_in_time, "units_of_time_change_nothing"),
    (a_first_step_that_is_longer, "flows_compose"),
    (streams_that_depend_on_the_block, "blocks_and_workers_change_nothing"),
    (a_record_that_is_rounded, "records_survive_json"),
    (a_record_that_loses_a_relation, "records_survive_json"),
]


@pytest.mark.parametrize(("mutate", "name"), MUTATIONS)
def test_every_property_can_fail(monkeypatch, mutate, name):
    mutate(monkeypatch)
    with pytest.raises(AssertionError):
        hold(name, examples=100, shrink=False)


def test_every_property_has_a_mutation():
    assert {name for _, name in MUTATIONS} == set(PROPERTIES)
